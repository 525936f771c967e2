//! What a `.wasm` file says about itself, read without compiling it.
//!
//! Decides whether this host can run it at all, in words that say what to do: a core module instead of a component,
//! no HTTP handler, an interface that this host does not have or has in another version. A component that passes
//! here can still fail to compile or to link; then wasmtime's own words are used.

use std::fmt;

use serde::Serialize;
use wasmparser::{Encoding, Parser, Payload};

use super::engine::HttpVersion;
use super::migrations::{self, MigrationsError};
use super::needs::{Needs, NeedsError};
use crate::capability::Migration;
use crate::capability::event_handler::EVENT_HANDLER;
use crate::capability::interfaces::{Explained, explain};
use crate::contract::{self, SourceError};

/// The outer shape of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Bytes of the file.
    pub size: usize,
    /// Semantic version from the component's metadata.
    pub version: Option<String>,
    /// Tools that made it, as `name version`.
    pub producers: Vec<String>,
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// What it wants from the host.
    pub imports: Vec<Import>,
    /// What it says that it must be granted.
    pub needs: Needs,
    /// Migrations inside of it, by name in order.
    #[serde(serialize_with = "names")]
    pub migrations: Vec<Migration>,
    /// The OpenAPI document inside of it. Shown is whether there is one.
    #[serde(serialize_with = "is_there")]
    pub openapi: Option<String>,
}

/// One import and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Import {
    /// Interface name with its version.
    pub name: String,
    /// What it means when the host has it, or why the host has not got it and what to do.
    pub meaning: String,
    /// Whether the host has it.
    pub provided: bool,
}

/// What a component is called for, and which engine runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serves {
    /// The engine. One that handles events only runs where the interfaces of WASI that it imports are.
    pub engine: HttpVersion,
    /// The wasi:http that it exports a handler of, if it does.
    pub http: Option<HttpVersion>,
    /// Whether it has a typed event handler.
    pub events: bool,
}

impl fmt::Display for Serves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let also = if self.events { ", and calls it with the events that it subscribes to" } else { "" };
        match self.http {
            Some(http) => write!(f, "as a wasi:http {} service{also}", http.as_str()),
            None => f.write_str("and calls it with the events that it subscribes to; it answers no HTTP requests"),
        }
    }
}

/// Why a file is no service that this host can run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// Not wasm, or broken.
    #[error("not a wasm component: {0}")]
    Malformed(String),
    /// A core module.
    #[error(
        "this is a core wasm module, not a component: build for wasm32-wasip2, or turn it into a component with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// No handler.
    #[error(
        "it exports no HTTP handler that this host knows (wasi:http/incoming-handler@0.2 or wasi:http/handler@0.3) and \
         no wharf:service/event-handler@0.1, only: {}", list(.0)
    )]
    NoHandler(Vec<String>),
    /// What it says of its needs cannot be understood.
    #[error(transparent)]
    Needs(#[from] NeedsError),
    /// Its migrations cannot be used.
    #[error(transparent)]
    Migrations(#[from] MigrationsError),
    /// Its OpenAPI document cannot be used.
    #[error(transparent)]
    Contract(#[from] SourceError),
    /// Imports that the host has not got.
    #[error("it needs what this host does not have: {}", missing(.0))]
    Missing(Vec<Import>),
}

impl Inspection {
    /// Reads the outer level of a component.
    ///
    /// # Errors
    /// When it is a core module or not readable.
    pub fn read(wasm: &[u8]) -> Result<Self, InspectError> {
        let mut found = Self {
            size: wasm.len(),
            version: None,
            producers: Vec::new(),
            exports: Vec::new(),
            imports: Vec::new(),
            needs: Needs::default(),
            migrations: Vec::new(),
            openapi: None,
        };
        let malformed = |error: wasmparser::BinaryReaderError| InspectError::Malformed(error.to_string());
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(malformed)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(InspectError::CoreModule);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        found.imports.push(Import::new(import.map_err(malformed)?.name.name));
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        found.exports.push(export.map_err(malformed)?.name.name.to_owned());
                    }
                }
                // At any depth: a linker leaves what a language put there in the module inside the component.
                Payload::CustomSection(section) if section.name() == Needs::SECTION => {
                    found.needs.read(section.data())?;
                }
                Payload::CustomSection(section) if section.name() == migrations::SECTION => {
                    migrations::read_section(section.data(), &mut found.migrations)?;
                }
                Payload::CustomSection(section) if section.name() == contract::SECTION => {
                    contract::read_section(section.data(), &mut found.openapi)?;
                }
                Payload::CustomSection(section) if depth == 0 => match section.as_known() {
                    wasmparser::KnownCustom::Producers(producers) => found.read_producers(producers),
                    _ if section.name() == "version" => {
                        found.version = std::str::from_utf8(section.data()).ok().and_then(clean_version);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        found.migrations = migrations::in_order(found.migrations)?;
        Ok(found)
    }

    /// What it can be called for.
    ///
    /// # Errors
    /// When that is nothing, or it needs an interface that this host has not got.
    pub fn runnable(&self) -> Result<Serves, InspectError> {
        let exports = |prefix: &str| self.exports.iter().any(|name| is_final_version(name, prefix));
        let http = if exports("wasi:http/incoming-handler@0.2.") {
            Some(HttpVersion::V02)
        } else if exports("wasi:http/handler@0.3.") {
            Some(HttpVersion::V03)
        } else {
            None
        };
        let events = exports(EVENT_HANDLER);
        if http.is_none() && !events {
            return Err(InspectError::NoHandler(self.exports.clone()));
        }
        let engine = http.unwrap_or_else(|| {
            let is_p3 = |import: &Import| import.name.starts_with("wasi:") && import.name.contains("@0.3.");
            if self.imports.iter().any(is_p3) { HttpVersion::V03 } else { HttpVersion::V02 }
        });
        let missing: Vec<_> = self.imports.iter().filter(|import| !import.provided).cloned().collect();
        if missing.is_empty() { Ok(Serves { engine, http, events }) } else { Err(InspectError::Missing(missing)) }
    }

    fn read_producers(&mut self, producers: wasmparser::ProducersSectionReader<'_>) {
        // A broken producers section says nothing about whether the component works.
        for field in producers.into_iter().flatten() {
            for value in field.values.into_iter().flatten() {
                self.producers.push(format!("{} {}", value.name, value.version).trim_end().to_owned());
            }
        }
    }
}

impl Import {
    fn new(name: &str) -> Self {
        let (provided, meaning) = match explain(name) {
            Explained::Provided { meaning, older: None } => (true, meaning.to_owned()),
            Explained::Provided { meaning, older: Some(older) } => {
                (true, format!("{meaning} (this host has {older}: what is newer in it fails to link)"))
            }
            Explained::OtherVersion { have } => {
                (false, format!("this host has {}: rebuild the component against one of them", have.join(", ")))
            }
            Explained::Unknown { suggestion: Some(similar) } => {
                (false, format!("this host has no such interface; it has {similar}"))
            }
            Explained::Unknown { suggestion: None } => (
                false,
                "this host has no such interface: build the component without it, or compose it with a component \
                 that provides it (`wac plug`)"
                    .to_owned(),
            ),
        };
        Self { name: name.to_owned(), meaning, provided }
    }
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.meaning)
    }
}

/// `0.3.0` and `0.3.1`, but not `0.3.0-rc-2026-03-15`: prereleases are other interfaces.
fn is_final_version(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A label from untrusted metadata: what may stand in a file name, and not long.
fn clean_version(text: &str) -> Option<String> {
    let text = text.trim();
    let good = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+'));
    good.then(|| text.to_owned())
}

fn names<S: serde::Serializer>(migrations: &[Migration], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(migrations.iter().map(|migration| &migration.name))
}

fn is_there<S: serde::Serializer>(openapi: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(openapi.is_some())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn missing(imports: &[Import]) -> String {
    imports.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_is_told_from_a_component() {
        assert_eq!(Inspection::read(b"\0asm\x01\0\0\0"), Err(InspectError::CoreModule));
    }

    #[test]
    fn text_and_cut_files_are_malformed() {
        for bytes in [&b"hello"[..], b"", b"\0asm", b"\0asm\x0d\0\x01\0\x0b\xff\xff\xff\xff\x0f"] {
            assert!(matches!(Inspection::read(bytes), Err(InspectError::Malformed(_))), "{bytes:?}");
        }
    }

    #[test]
    fn an_empty_component_is_readable_but_not_runnable() {
        let inspection = Inspection::read(b"\0asm\x0d\0\x01\0").unwrap();
        let error = inspection.runnable().unwrap_err();
        assert_eq!(error, InspectError::NoHandler(Vec::new()));
        assert!(error.to_string().contains("only: nothing"), "{error}");
    }

    #[test]
    fn a_prerelease_of_the_handler_is_not_the_handler() {
        assert!(is_final_version("wasi:http/handler@0.3.0", "wasi:http/handler@0.3."));
        assert!(!is_final_version("wasi:http/handler@0.3.0-rc-2026-03-15", "wasi:http/handler@0.3."));
    }

    #[test]
    fn labels_from_metadata_are_plain_text() {
        assert_eq!(clean_version(" 1.2.3-rc.1\n").as_deref(), Some("1.2.3-rc.1"));
        assert_eq!(clean_version("1.2\x1b[31m"), None);
        assert_eq!(clean_version(&"9".repeat(65)), None);
    }
}
