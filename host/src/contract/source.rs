//! Where the document of a component lies: inside of it, or in a file beside it.
//!
//! `orders@2.wasm` looks for `orders@2.openapi.yaml` (or `.yml`, `.json`) and then for `orders.openapi.yaml`. Inside,
//! it is a custom section `wharf:openapi`. Both places at once are refused, because nobody could say which of them
//! counts.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::text::MAX_BYTES;
use super::{Contract, ContractError};

/// The name of the section.
pub(crate) const SECTION: &str = "wharf:openapi";

/// Ends of names, the first of which counts.
const ENDS: [&str; 3] = ["openapi.yaml", "openapi.yml", "openapi.json"];

/// Why there is no document to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// More than one section, or one that is no text.
    #[error("its section `{SECTION}` cannot be used: {0}")]
    Section(&'static str),
    /// In the component and beside it.
    #[error("it has an OpenAPI document inside of it and in {0}: remove one of them")]
    Both(String),
    /// The file cannot be read.
    #[error("cannot read its OpenAPI document {0}: {1}")]
    Read(String, String),
    /// The document is wrong.
    #[error("its OpenAPI document is broken: {0}")]
    Broken(#[from] ContractError),
}

/// Takes what a section says.
pub(crate) fn read_section(section: &[u8], found: &mut Option<String>) -> Result<(), SourceError> {
    if section.len() > MAX_BYTES {
        return Err(SourceError::Section("it is larger than 2 MiB"));
    }
    let text = std::str::from_utf8(section).map_err(|_not_utf8| SourceError::Section("it is no UTF-8 text"))?;
    // What is patched into a fixed place is filled up with zeros.
    let text = text.trim_matches('\0');
    if text.trim().is_empty() {
        return Ok(());
    }
    // Linkers put sections of several files together: two documents in one are caught when it is read.
    match found.replace(text.to_owned()) {
        None => Ok(()),
        Some(_) => Err(SourceError::Section("there is more than one")),
    }
}

/// A file beside a component as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractFile {
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
}

/// A document that can be read, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractSource {
    /// The file's own name, or that of the section.
    pub name: String,
    /// The text.
    pub text: String,
}

impl ContractFile {
    /// The file that belongs to this component, if there is one. Reads the disk.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn beside(component: &Path) -> Result<Option<Self>, SourceError> {
        let stem = component.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let service = stem.split_once('@').map_or(stem, |(service, _)| service);
        for name in [stem, service] {
            for end in ENDS {
                let path = component.with_file_name(format!("{name}.{end}"));
                match std::fs::metadata(&path) {
                    Ok(metadata) if !metadata.is_file() => {
                        return Err(SourceError::Read(shown(&path), "it is no file".to_owned()));
                    }
                    Ok(metadata) => {
                        return Ok(Some(Self { size: metadata.len(), modified: metadata.modified().ok(), path }));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(SourceError::Read(shown(&path), error.to_string())),
                }
            }
        }
        Ok(None)
    }

    fn read(&self) -> Result<ContractSource, SourceError> {
        let wrong = |why: String| SourceError::Read(shown(&self.path), why);
        let file = std::fs::File::open(&self.path).map_err(|error| wrong(error.to_string()))?;
        let mut bytes = Vec::new();
        // One more than is allowed: then it is too large whatever its size was a moment ago.
        let limit = MAX_BYTES as u64 + 1;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
        if bytes.len() > MAX_BYTES {
            return Err(wrong(format!("it has more than {MAX_BYTES} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_not_utf8| wrong("it is no UTF-8 text".to_owned()))?;
        Ok(ContractSource { name: shown(&self.path), text })
    }
}

impl ContractSource {
    /// The document.
    ///
    /// # Errors
    /// When it is broken.
    pub fn contract(&self) -> Result<Contract, SourceError> {
        Ok(Contract::read(&self.name, &self.text)?)
    }
}

/// The document of a component: that inside of it, or that beside it. Reads the disk.
///
/// # Errors
/// When it is in both places, or cannot be read.
pub fn contract_of(inside: Option<&str>, component: &Path) -> Result<Option<ContractSource>, SourceError> {
    match (inside, ContractFile::beside(component)?) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(ContractSource { name: SECTION.to_owned(), text: text.to_owned() })),
        (None, Some(file)) => file.read().map(Some),
        (Some(_), Some(file)) => Err(SourceError::Both(shown(&file.path))),
    }
}

/// The file's own name: where the plugins lie is the operator's matter.
fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_lies_inside_or_beside_and_not_in_both_places() {
        let root = tempfile::tempdir().unwrap();
        let component = root.path().join("orders@2.wasm");
        let name = |inside| contract_of(inside, &component).map(|found| found.map(|source| source.name));
        assert_eq!(name(None), Ok(None));
        assert_eq!(name(Some("{}")), Ok(Some(SECTION.to_owned())));
        std::fs::write(root.path().join("orders.openapi.json"), "{}").unwrap();
        assert_eq!(name(None), Ok(Some("orders.openapi.json".to_owned())));
        assert_eq!(name(Some("{}")), Err(SourceError::Both("orders.openapi.json".to_owned())));
        std::fs::write(root.path().join("orders@2.openapi.yaml"), "a: 1").unwrap();
        assert_eq!(name(None), Ok(Some("orders@2.openapi.yaml".to_owned())));
        std::fs::write(root.path().join("orders@2.openapi.yaml"), " ".repeat(MAX_BYTES + 1)).unwrap();
        assert!(matches!(name(None), Err(SourceError::Read(_, why)) if why.contains("more than")));
        std::fs::write(root.path().join("orders@2.openapi.yaml"), [0xff]).unwrap();
        assert!(matches!(name(None), Err(SourceError::Read(_, why)) if why.contains("UTF-8")));
    }

    #[test]
    fn a_section_is_one_text() {
        let mut found = None;
        read_section(b" \0\0", &mut found).unwrap();
        assert_eq!(found, None);
        read_section(b"openapi: 3.1.0\0\0", &mut found).unwrap();
        assert_eq!(found.as_deref(), Some("openapi: 3.1.0"));
        assert!(read_section(b"openapi: 3.1.0", &mut found).is_err());
        assert!(read_section(&[0xff], &mut None).is_err());
        assert!(read_section(&vec![b' '; MAX_BYTES + 1], &mut None).is_err());
    }
}
