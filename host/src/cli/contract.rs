//! `wharf contract diff OLD NEW`, and what `wharf validate --plugins DIR` says of OpenAPI documents.
//!
//! Needs no running host, and compiles nothing: documents are read from components, from the files beside them, or
//! given themselves. In a folder, versions of one service with the same first number are held against each other, each
//! against the one before it; versions with another number may break what they like.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::OutputFormat;
use crate::contract::diff::{Break, breaks};
use crate::contract::{Contract, ContractSource, contract_of};
use crate::plugin::{Inspection, major, number, services_in};

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum ContractCommandError {
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, io::Error),
    /// What is in it cannot be used.
    #[error("{0}: {1}")]
    Wrong(PathBuf, String),
    /// A component without a document.
    #[error("{0} has no OpenAPI document, and there is none beside it")]
    None(PathBuf),
    /// The output.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// What a folder comes to, as JSON.
#[derive(Debug, Default, Serialize)]
struct Report {
    contracts: usize,
    broken: Vec<Broken>,
    breaking: Vec<Breaking>,
}

/// A document that cannot be used.
#[derive(Debug, Serialize)]
struct Broken {
    file: String,
    reason: String,
}

/// A version that breaks clients of another.
#[derive(Debug, Serialize)]
struct Breaking {
    file: String,
    of: String,
    breaks: Vec<Break>,
}

/// Prints what `new` breaks. Returns whether that is nothing.
///
/// # Errors
/// When there are no two documents, or `out` cannot be written to.
pub fn diff(old: &Path, new: &Path, format: OutputFormat, out: &mut dyn Write) -> Result<bool, ContractCommandError> {
    let found = breaks(&given(old)?, &given(new)?);
    match format {
        OutputFormat::Json => {
            serde_json::to_writer(&mut *out, &serde_json::json!({ "breaks": found })).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        OutputFormat::Text if found.is_empty() => writeln!(out, "nothing that clients rely on is gone")?,
        OutputFormat::Text => found.iter().try_for_each(|one| writeln!(out, "{one}"))?,
    }
    Ok(found.is_empty())
}

/// Prints what is wrong with the documents of the components in a folder, and what their versions break. Returns
/// whether that is nothing.
///
/// # Errors
/// When `out` cannot be written to.
pub fn folder(dir: &Path, format: OutputFormat, out: &mut dyn Write) -> io::Result<bool> {
    let mut report = Report::default();
    for (service, labels) in services_in(dir) {
        let mut versions: BTreeMap<(Option<u64>, semver::Version, String), (String, Contract)> = BTreeMap::new();
        for label in labels {
            let file = match &label {
                Some(label) => format!("{service}@{label}.wasm"),
                None => format!("{service}.wasm"),
            };
            match of_component(&dir.join(&file)) {
                Ok(None) => {}
                Ok(Some((inside, contract))) => {
                    report.contracts += 1;
                    let label = label.or(inside).unwrap_or_default();
                    let number = number(&label).unwrap_or_else(|| semver::Version::new(0, 0, 0));
                    versions.insert((major(&label), number, file.clone()), (file, contract));
                }
                Err(reason) => report.broken.push(Broken { file, reason }),
            }
        }
        let versions: Vec<_> = versions.into_iter().collect();
        for pair in versions.windows(2) {
            let [((before, ..), (of, old)), ((number, ..), (file, new))] = pair else { continue };
            if before != number {
                continue;
            }
            let found = breaks(old, new);
            if !found.is_empty() {
                report.breaking.push(Breaking { file: file.clone(), of: of.clone(), breaks: found });
            }
        }
    }
    let kept = report.broken.is_empty() && report.breaking.is_empty();
    match format {
        OutputFormat::Json => {
            serde_json::to_writer(&mut *out, &report)?;
            writeln!(out)?;
        }
        OutputFormat::Text => {
            for Broken { file, reason } in &report.broken {
                writeln!(out, "{file}: {reason}")?;
            }
            for Breaking { file, of, breaks } in &report.breaking {
                writeln!(out, "{file} breaks clients of {of}:")?;
                breaks.iter().try_for_each(|one| writeln!(out, "  {one}"))?;
            }
            if kept {
                let plural = if report.contracts == 1 { "" } else { "s" };
                writeln!(out, "ok: {} OpenAPI document{plural}", report.contracts)?;
            }
        }
    }
    Ok(kept)
}

/// A component's document, and the version in its metadata.
fn of_component(file: &Path) -> Result<Option<(Option<String>, Contract)>, String> {
    let wasm = std::fs::read(file).map_err(|error| error.to_string())?;
    let inspection = Inspection::read(&wasm).map_err(|error| error.to_string())?;
    let source = contract_of(inspection.openapi.as_deref(), file).map_err(|error| error.to_string())?;
    let Some(source) = source else { return Ok(None) };
    Ok(Some((inspection.version, source.contract().map_err(|error| error.to_string())?)))
}

/// The document of a file that is named: a component, or a document itself.
fn given(file: &Path) -> Result<Contract, ContractCommandError> {
    let wrong = |reason: String| ContractCommandError::Wrong(file.to_owned(), reason);
    let bytes = std::fs::read(file).map_err(|error| ContractCommandError::Read(file.to_owned(), error))?;
    if bytes.starts_with(b"\0asm") {
        let found = of_component(file).map_err(wrong)?;
        return found.map(|(_, contract)| contract).ok_or_else(|| ContractCommandError::None(file.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_not_utf8| wrong("it is no UTF-8 text".to_owned()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ContractSource { name, text }.contract().map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "openapi: 3.1.0\npaths: { /a: { get: {} }, /b: { get: {} } }\n";
    const NEW: &str = "openapi: 3.1.0\npaths: { /a: { get: {} } }\n";
    /// An empty component: enough to have a name.
    const WASM: &[u8] = b"\0asm\x0d\0\x01\0";

    fn with_section(document: &str) -> Vec<u8> {
        let mut content = vec![13];
        content.extend(b"wharf:openapi");
        content.extend(document.as_bytes());
        let mut wasm = WASM.to_vec();
        wasm.push(0);
        let (mut left, mut size) = (content.len(), Vec::new());
        while left >= 0x80 {
            size.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        size.push(left as u8);
        wasm.extend(size);
        wasm.extend(content);
        wasm
    }

    fn folder_of(files: &[(&str, &[u8])]) -> (bool, String) {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(root.path().join(name), bytes).unwrap();
        }
        let mut out = Vec::new();
        let kept = folder(root.path(), OutputFormat::Text, &mut out).unwrap();
        (kept, String::from_utf8(out).unwrap())
    }

    #[test]
    fn documents_are_found_in_components_beside_them_and_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::write(path("old.wasm"), with_section(OLD)).unwrap();
        std::fs::write(path("new.wasm"), WASM).unwrap();
        std::fs::write(path("plain.yaml"), NEW).unwrap();
        let diff = |old: &str, new: &str, format| {
            let mut out = Vec::new();
            let kept = diff(&path(old), &path(new), format, &mut out)?;
            Ok::<_, ContractCommandError>((kept, String::from_utf8(out).unwrap()))
        };
        assert!(matches!(diff("old.wasm", "new.wasm", OutputFormat::Text), Err(ContractCommandError::None(_))));
        std::fs::write(path("new.openapi.yaml"), NEW).unwrap();
        for new in ["new.wasm", "plain.yaml"] {
            let (kept, text) = diff("old.wasm", new, OutputFormat::Text).unwrap();
            assert_eq!((kept, text.as_str()), (false, "/b: the path is gone (at /paths/~1b)\n"));
        }
        let (_, json) = diff("old.wasm", "new.wasm", OutputFormat::Json).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["breaks"][0]["pointer"], "/paths/~1b");
        assert!(diff("plain.yaml", "old.wasm", OutputFormat::Text).unwrap().0);
        std::fs::write(path("plain.yaml"), "openapi: 9").unwrap();
        let error = diff("old.wasm", "plain.yaml", OutputFormat::Text).unwrap_err().to_string();
        assert!(error.contains("plain.yaml:1:1"), "{error}");
    }

    #[test]
    fn versions_with_the_same_first_number_are_held_against_each_other() {
        let (kept, text) = folder_of(&[
            ("a@1.0.0.wasm", &with_section(OLD)),
            ("a@1.10.0.wasm", &with_section(NEW)),
            ("a@1.9.0.wasm", &with_section(OLD)),
            ("a@2.wasm", &with_section(NEW)),
            ("b.wasm", WASM),
        ]);
        assert!(!kept);
        assert_eq!(text, "a@1.10.0.wasm breaks clients of a@1.9.0.wasm:\n  /b: the path is gone (at /paths/~1b)\n");
        let (kept, text) = folder_of(&[("a@1.wasm", &with_section(OLD)), ("a@2.wasm", &with_section(NEW))]);
        assert_eq!((kept, text.as_str()), (true, "ok: 2 OpenAPI documents\n"));
        let (kept, text) = folder_of(&[("a.wasm", WASM), ("a.openapi.yaml", b"openapi: 3.1.0\npaths: 5")]);
        assert!(!kept && text.contains("a.openapi.yaml:2:1"), "{text}");
    }
}
