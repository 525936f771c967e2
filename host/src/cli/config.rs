//! `wharf config`: the effective configuration, with every default filled in.
//!
//! The whole is printed in the form of an overlay (`gateway.yaml`'s fields, and `services:` by name), one service in
//! the form of its own file; both can be read back in and mean the same.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::config::{self, Gateway, Problems, Service, Source};

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration is wrong.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// No service can have that name.
    #[error("{0}")]
    Name(String),
    /// The configuration has no form as YAML.
    #[error("cannot be written as YAML: {0}")]
    Yaml(String),
    /// The output cannot be written to.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
}

/// Everything, in the form of an overlay.
#[derive(Serialize)]
struct Effective<'a> {
    #[serde(flatten)]
    gateway: &'a Gateway,
    services: &'a BTreeMap<String, Service>,
}

/// Prints everything, or what holds for one service (which may have no file and no component yet).
///
/// # Errors
/// When the configuration is wrong, the name is impossible, or `out` cannot be written to.
pub fn run(source: &Source, service: Option<&str>, out: &mut dyn Write) -> Result<(), ConfigError> {
    let config = config::load(source)?;
    let text = match service {
        Some(name) => {
            config::valid_service_name(name).map_err(ConfigError::Name)?;
            serde_saphyr::to_string(&config.service(name))
        }
        None => serde_saphyr::to_string(&Effective { gateway: &config.gateway, services: &config.services }),
    };
    let text = text.map_err(|error| ConfigError::Yaml(error.to_string()))?;
    Ok(out.write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = "
listen: '[::1]:8081'
trustedProxies: [10.0.0.0/8]
defaults: { limits: { memory: 1MiB } }
routes:
  - name: shop
    hostnames: ['*.shop.localhost']
    rules:
      - matches: [{ path: { prefix: /api }, method: GET, headers: { version: '2' }, queryParams: { a: 'true' } }]
        filters: [{ rewrite: { prefix: / } }]
        timeouts: { request: 1s500ms }
        backendRefs: [{ service: users, version: '1.10', weight: 3 }]
";
    const USERS: &str = "
expose: false
slots: reuse
config: { empty: '', number: '1.10', flag: 'no', nothing: 'null', lines: \"a\\nb\", odd: '# {x}: *' }
";

    fn print(dir: &tempfile::TempDir, env: Option<&str>, service: Option<&str>) -> String {
        let source = Source { dir: dir.path().to_owned(), env: env.map(str::to_owned) };
        let mut out = Vec::new();
        run(&source, service, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn written(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_configuration() {
        let dir = written(&[("gateway.yaml", GATEWAY), ("services/users.yaml", USERS)]);
        let printed = print(&dir, None, None);
        let again = written(&[("env/all.yaml", &printed)]);
        let load = |dir: &tempfile::TempDir, env: Option<&str>| {
            config::load(&Source { dir: dir.path().to_owned(), env: env.map(str::to_owned) }).unwrap()
        };
        let (first, second) = (load(&dir, None), load(&again, Some("all")));
        assert_eq!(first.gateway, second.gateway, "{printed}");
        assert_eq!(first.services, second.services, "{printed}");
        assert_eq!(first.fingerprint(), second.fingerprint());
    }

    #[test]
    fn one_service_is_printed_in_the_form_of_its_file() {
        let dir = written(&[("gateway.yaml", GATEWAY), ("services/users.yaml", USERS)]);
        let printed = print(&dir, None, Some("users"));
        assert!(printed.contains("expose: false"), "{printed}");
        assert!(printed.contains("memory: 1MiB"), "the default of all services: {printed}");
        let again = written(&[("services/users.yaml", &printed)]);
        assert_eq!(print(&again, None, Some("users")), printed);
    }

    #[test]
    fn a_service_nobody_wrote_about_has_the_defaults() {
        let dir = written(&[("gateway.yaml", GATEWAY)]);
        let printed = print(&dir, None, Some("other"));
        assert!(printed.contains("memory: 1MiB") && printed.contains("cpuTime: 2s"), "{printed}");
    }

    #[test]
    fn impossible_names_and_broken_files_print_nothing() {
        let dir = written(&[]);
        let source = Source { dir: dir.path().to_owned(), env: None };
        let mut out = Vec::new();
        let error = run(&source, Some("No"), &mut out).unwrap_err();
        assert!(matches!(error, ConfigError::Name(_)));
        let source = Source { env: Some("missing".to_owned()), ..source };
        let error = run(&source, None, &mut out).unwrap_err();
        assert!(error.to_string().contains("environment `missing` has no file"), "{error}");
        assert!(out.is_empty());
    }
}
