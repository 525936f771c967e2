//! `wharf validate`: is the configuration right, and if not, what is wrong with it.
//!
//! Reads what `wharf serve` would read, touches nothing else and needs no running host, so it fits into CI. Whether
//! the services that routes name exist is not its business: that depends on the plugins folder of the moment. Warnings
//! are shown, but a configuration with nothing worse is right.

use std::io::{self, Write};

use serde::Serialize;

use crate::config::{self, Problems, Source};

/// How problems are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// With the line and a caret, for people.
    Text,
    /// One JSON object, for programs.
    Json,
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to say.
    Right,
    /// It can be put in force, but has warnings.
    Warned,
    /// It cannot be put in force.
    Wrong,
}

/// What [`OutputFormat::Json`] prints.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    files: usize,
    services: usize,
    routes: usize,
    problems: &'a [&'a config::Problem],
}

/// Prints what is wrong, or warnings and a summary.
///
/// # Errors
/// When `out` cannot be written to.
pub fn run(source: &Source, format: OutputFormat, colour: bool, out: &mut dyn Write) -> io::Result<Verdict> {
    let loaded = config::load(source);
    match format {
        OutputFormat::Text => match &loaded {
            Ok(config) => {
                if let Some(warnings) = &config.warnings {
                    writeln!(out, "{}\n", warnings.render(colour))?;
                }
                let (files, services) = (count(config.files.len(), "file"), count(config.services.len(), "service"));
                writeln!(out, "ok: {files}, {services}, {}", count(config.gateway.routes.len(), "route"))?;
            }
            Err(problems) => writeln!(out, "{}", problems.render(colour))?,
        },
        OutputFormat::Json => {
            let config = loaded.as_ref().ok();
            let problems = loaded.as_ref().map_or_else(Some, |config| config.warnings.as_ref());
            let problems: Vec<_> = problems.into_iter().flat_map(Problems::iter).collect();
            let report = Report {
                ok: config.is_some(),
                files: config.map_or(0, |config| config.files.len()),
                services: config.map_or(0, |config| config.services.len()),
                routes: config.map_or(0, |config| config.gateway.routes.len()),
                problems: &problems,
            };
            serde_json::to_writer(&mut *out, &report)?;
            writeln!(out)?;
        }
    }
    Ok(match loaded {
        Ok(config) if config.warnings.is_none() => Verdict::Right,
        Ok(_) => Verdict::Warned,
        Err(_) => Verdict::Wrong,
    })
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_on(gateway: &str, format: OutputFormat) -> (Verdict, String) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("gateway.yaml"), gateway).unwrap();
        let mut out = Vec::new();
        let verdict = run(&Source { dir: dir.path().to_owned(), env: None }, format, false, &mut out).unwrap();
        (verdict, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_good_configuration_is_summed_up() {
        let (verdict, text) = run_on("listen: 127.0.0.1:8080\n", OutputFormat::Text);
        assert_eq!(verdict, Verdict::Right);
        assert_eq!(text, "ok: 1 file, 0 services, 0 routes\n");
        let (verdict, json) = run_on("", OutputFormat::Json);
        assert_eq!(verdict, Verdict::Right);
        assert_eq!(json, "{\"ok\":true,\"files\":1,\"services\":0,\"routes\":0,\"problems\":[]}\n");
    }

    #[test]
    fn a_bad_one_is_shown_with_its_lines_or_as_json() {
        let (verdict, text) = run_on("listn: 1\n", OutputFormat::Text);
        assert_eq!(verdict, Verdict::Wrong);
        assert!(text.contains("did you mean `listen`?"), "{text}");
        assert!(text.ends_with("\n1 problem in the configuration\n"), "{text}");
        let (verdict, json) = run_on("listn: 1\n", OutputFormat::Json);
        assert_eq!(verdict, Verdict::Wrong);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["problems"][0]["severity"], "error");
        assert_eq!(json["problems"][0]["line"], 1);
        assert_eq!(json["problems"][0]["column"], 1);
        assert_eq!(json["problems"][0]["message"], "unknown field `listn`");
    }

    #[test]
    fn warnings_are_shown_and_all_is_right_all_the_same() {
        let gateway = "trustedProxies: [10.0.0.0/8, 0.0.0.0/0]\n";
        let (verdict, text) = run_on(gateway, OutputFormat::Text);
        assert_eq!(verdict, Verdict::Warned);
        assert!(text.starts_with("warning: `0.0.0.0/0` believes everybody"), "{text}");
        assert!(text.ends_with("\n1 warning in the configuration\n\nok: 1 file, 0 services, 0 routes\n"), "{text}");
        let (verdict, json) = run_on(gateway, OutputFormat::Json);
        assert_eq!(verdict, Verdict::Warned);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["ok"], &json["problems"][0]["severity"]), (&true.into(), &"warning".into()));
        assert_eq!(json["problems"][0]["column"], 30);
    }
}
