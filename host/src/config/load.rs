//! From a folder to a checked configuration.
//!
//! What is absent (the folder, `gateway.yaml`, `services/`) means defaults; only an overlay that was asked for by name
//! must exist. A file that is not valid YAML is one problem and counts as empty, so that the other files are still
//! checked. Files below an overlay must be right by themselves: a mistake in them is reported even where the overlay
//! covers it, because it would strike on the day the overlay is left out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::check::{At, Check, valid_service_name};
use super::lint::lint;
use super::merge::merge;
use super::model::Gateway;
use super::problem::{File, Problem, Problems, Severity};
use super::read::{Expect, read};
use super::service::Service;
use super::settings::check_settings;
use super::tree::{Kind, Node, parse};

/// The key of an overlay that holds what would stand in `services/<name>.yaml`.
const SERVICES: &str = "services";

/// Where the configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The folder of `gateway.yaml`, `services/` and `env/`; need not exist.
    pub dir: PathBuf,
    /// Name of the overlay in `env/`, if one is to be laid over the rest.
    pub env: Option<String>,
}

/// A configuration in which everything is right, as far as files can tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// What concerns the host as a whole.
    pub gateway: Gateway,
    /// The services that something was said about; [`Config::service`] also knows the others.
    pub services: BTreeMap<String, Service>,
    /// The files that were read, in the order in which they lie over each other.
    pub files: Vec<PathBuf>,
    /// What is allowed and hardly meant, if anything is.
    pub warnings: Option<Problems>,
}

impl Config {
    /// What holds for a service, whether or not anything was said about it.
    pub fn service(&self, name: &str) -> Service {
        self.services.get(name).cloned().unwrap_or_else(|| Service::from_defaults(&self.gateway.defaults))
    }

    /// 16 hex digits that are equal for equal configurations, wherever and in however many files they stand.
    pub fn fingerprint(&self) -> String {
        let Self { gateway, services, files: _, warnings: _ } = self;
        // The debug form has every field, a fixed order, and, unlike JSON, cannot fail on a path that is not UTF-8.
        let digest = Sha256::digest(format!("{gateway:?}{services:?}"));
        digest.iter().take(8).fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Reads, merges and checks everything.
///
/// # Errors
/// All problems of all files.
pub fn load(source: &Source) -> Result<Config, Problems> {
    let mut loader = Loader { files: Vec::new(), problems: Vec::new() };
    let config = loader.load(source);
    match Problems::from_list(loader.problems) {
        None => Ok(config),
        Some(problems) => Err(problems),
    }
}

/// Reads and checks a text as `gateway.yaml`, without files. Nothing if there is anything wrong with it.
#[cfg(fuzzing)]
pub(crate) fn fuzz(text: &str) -> Option<Gateway> {
    let mut problems = Vec::new();
    let file = Arc::new(File { path: "gateway.yaml".into(), text: text.to_owned() });
    let gateway = parse(&file, &mut problems).map(|tree| {
        let gateway: Gateway = read(&tree, Expect::default(), &mut problems);
        Check { problems: &mut problems }.gateway(&gateway, At::root(&tree));
        gateway
    });
    match Problems::from_list(problems) {
        None => gateway,
        Some(problems) => {
            assert!(!problems.to_string().is_empty());
            None
        }
    }
}

/// What is collected on the way.
struct Loader {
    files: Vec<PathBuf>,
    problems: Vec<Problem>,
}

impl Loader {
    fn load(&mut self, source: &Source) -> Config {
        let base = self.optional(&source.dir.join("gateway.yaml"));
        let incomplete = !self.problems.is_empty();
        read::<Gateway>(&base, Expect::default(), &mut self.problems);
        let files = self.services(&source.dir.join(SERVICES));
        let mut overlays = BTreeMap::new();
        let root = match source.env.as_deref().and_then(|env| self.overlay(&source.dir.join("env"), env)) {
            None => base,
            Some(overlay) => {
                let (overlay, services) = self.split(overlay);
                overlays = services;
                merge(base, overlay)
            }
        };
        let gateway: Gateway = read(&root, Expect { also: &[SERVICES], incomplete }, &mut self.problems);
        Check { problems: &mut self.problems }.gateway(&gateway, At::root(&root));

        let mut trees = files;
        for (name, overlay) in overlays {
            let tree = match trees.remove(&name) {
                Some(below) => merge(below, overlay),
                None => overlay,
            };
            trees.insert(name, tree);
        }
        let secrets = (!incomplete && !At::root(&root).get("secrets").has_refused()).then_some(&gateway.secrets);
        let mut services = BTreeMap::new();
        for (name, tree) in &mut trees {
            if let Some(defaults) = root.get("defaults") {
                *tree = merge(defaults.clone(), tree.clone());
            }
            let service: Service = read(tree, Expect::default(), &mut self.problems);
            let (at, inherited) = (At::root(tree), &gateway.defaults.circuit_breaker);
            let mut check = Check { problems: &mut self.problems };
            check.service(&service, &gateway.auth, at);
            check_settings(&service, secrets, &mut check, at);
            service.circuit_breaker.check_written_for(name, inherited, &mut check, at.get("circuitBreaker"));
            services.insert(name.clone(), service);
        }
        Check { problems: &mut self.problems }.exposed(&services, &trees);
        let mut config = Config { gateway, services, files: std::mem::take(&mut self.files), warnings: None };
        // A value that is wrong stands here with its default, about which there would be nothing true to say.
        if self.problems.iter().all(|problem| problem.severity() == Severity::Warning) {
            let mut warnings = std::mem::take(&mut self.problems);
            warnings.extend(lint(&config, &root, &trees));
            config.warnings = Problems::from_list(warnings);
        }
        config
    }

    /// The trees of `services/*.yaml`, by name.
    fn services(&mut self, dir: &Path) -> BTreeMap<String, Node> {
        let mut trees = BTreeMap::new();
        for path in self.list(dir) {
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            if let Err(message) = valid_service_name(name) {
                self.problems.push(Problem::of_file(&path, message).hint("name the file after its service"));
                continue;
            }
            let tree = self.optional(&path);
            read::<Service>(&tree, Expect::default(), &mut self.problems);
            trees.insert(name.to_owned(), tree);
        }
        trees
    }

    /// The tree of the overlay; nothing when it cannot be used.
    fn overlay(&mut self, dir: &Path, env: &str) -> Option<Node> {
        let path = dir.join(format!("{env}.yaml"));
        // A name, not a path: nothing outside of `env/` is read.
        if env.is_empty() || env.contains(['/', '\\']) || env.starts_with('.') {
            let shown = env.escape_debug();
            self.problems.push(Problem::of_file(dir, format!("`{shown}` is no name of an environment")));
            return None;
        }
        let tree = self.file(&path);
        if tree.is_none() && !self.problems.iter().any(|problem| problem.file() == path) {
            let known: Vec<String> =
                self.list(dir).iter().filter_map(|path| path.file_stem()?.to_str().map(str::to_owned)).collect();
            let problem = Problem::of_file(&path, format!("environment `{env}` has no file"));
            self.problems.push(match known.as_slice() {
                [] => problem.hint("write one, or leave out --env and WHARF_ENV"),
                known => problem.hint(format!("there is {}", known.join(", "))),
            });
        }
        tree
    }

    /// Takes the services out of an overlay.
    fn split(&mut self, mut overlay: Node) -> (Node, BTreeMap<String, Node>) {
        let mut services = BTreeMap::new();
        if let Kind::Map(entries) = &mut overlay.kind
            && let Some(at) = entries.iter().position(|entry| entry.key == SERVICES)
        {
            let entry = entries.remove(at);
            match entry.value.kind {
                Kind::Null => {}
                Kind::Map(entries) => {
                    for entry in entries {
                        match valid_service_name(&entry.key) {
                            Ok(()) => drop(services.insert(entry.key, entry.value)),
                            Err(message) => self.problems.push(Problem::at(&entry.span, message)),
                        }
                    }
                }
                Kind::Scalar { .. } | Kind::List(_) => {
                    self.problems.push(Problem::at(&entry.value.span, "expected a map from service names to settings"));
                }
            }
        }
        (overlay, services)
    }

    /// A file that may be missing, or broken: then it says nothing.
    fn optional(&mut self, path: &Path) -> Node {
        let nothing = || Node::empty(&Arc::new(File { path: path.to_owned(), text: String::new() }));
        self.file(path).unwrap_or_else(nothing)
    }

    /// A file's tree; nothing when there is no such file, or when it has a problem as a whole.
    fn file(&mut self, path: &Path) -> Option<Node> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.misnamed(path);
                return None;
            }
            Err(error) => {
                self.problems.push(Problem::of_file(path, format!("cannot be read: {error}")));
                return None;
            }
        };
        self.files.push(path.to_owned());
        match text {
            Ok(text) => parse(&Arc::new(File { path: path.to_owned(), text }), &mut self.problems),
            Err(_) => {
                self.problems.push(Problem::of_file(path, "is not UTF-8 text"));
                None
            }
        }
    }

    /// A file under the other usual ending would be overlooked in silence.
    fn misnamed(&mut self, path: &Path) {
        let other = path.with_extension("yml");
        if other.is_file() {
            self.problems.push(Problem::of_file(&other, "files here end in .yaml").hint("rename it"));
        }
    }

    /// The `.yaml` files directly in a folder, by name. Others may lie there too: notes, an editor's copies.
    fn list(&mut self, dir: &Path) -> Vec<PathBuf> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.problems.push(Problem::of_file(dir, format!("cannot be read: {error}")));
                return Vec::new();
            }
        };
        let mut files = Vec::new();
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            let ending = path.extension().and_then(|ending| ending.to_str());
            match ending {
                Some("yaml") if !hidden => files.push(path),
                Some("yml") if !hidden => self.misnamed(&path.with_extension("yaml")),
                _ => {}
            }
        }
        files.sort();
        files
    }
}
