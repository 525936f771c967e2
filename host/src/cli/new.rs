//! `wharf new NAME`: a service in Rust that builds and answers, ready to be changed.
//!
//! The project stands alone: it needs the Rust target `wasm32-wasip2` and one crate, nothing of Wharf's own sources.
//! Nothing that exists is ever overwritten.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::config::valid_service_name;

/// The files of the project: where, and their text, in which `{{name}}` and `{{library}}` stand for the names.
const FILES: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("new/lib.rs.txt")),
    (".gitignore", "/target\n"),
    ("README.md", include_str!("new/README.md.txt")),
];

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// It could not be a service.
    #[error("`{name}` cannot be a service: {why}")]
    Name {
        /// The name asked for.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is something.
    #[error("{0} exists already: choose another name or --dir")]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Printing failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Makes the project in `dir`, or in a folder of the service's name.
///
/// # Errors
/// When the name is impossible, the folder exists or cannot be written.
pub fn run(name: &str, dir: Option<&Path>, out: &mut dyn Write) -> Result<(), NewError> {
    valid_service_name(name).map_err(|why| NewError::Name { name: name.to_owned(), why })?;
    let dir = dir.map_or_else(|| PathBuf::from(name), Path::to_owned);
    if dir.exists() {
        return Err(NewError::Exists(dir));
    }
    let library = name.replace('-', "_");
    for (file, template) in FILES {
        let path = dir.join(file);
        let write = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, template.replace("{{name}}", name).replace("{{library}}", &library))
        };
        write().map_err(|source| NewError::Write { path: path.clone(), source })?;
    }
    let shown = dir.display();
    writeln!(out, "made {shown}\n")?;
    writeln!(out, "  cd {shown}")?;
    writeln!(out, "  rustup target add wasm32-wasip2")?;
    writeln!(out, "  cargo build --release --target wasm32-wasip2")?;
    writeln!(out, "  cp target/wasm32-wasip2/release/{library}.wasm <plugins folder>/{name}.wasm")?;
    writeln!(out, "  curl http://127.0.0.1:8080/{name}/")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_names_the_service_and_is_never_written_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("p");
        let mut out = Vec::new();
        run("my-orders", Some(&project), &mut out).unwrap();
        let manifest = std::fs::read_to_string(project.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"my-orders\""), "{manifest}");
        assert!(!std::fs::read_to_string(project.join("src/lib.rs")).unwrap().contains("{{"));
        assert!(String::from_utf8(out).unwrap().contains("release/my_orders.wasm <plugins folder>/my-orders.wasm"));
        assert!(matches!(run("my-orders", Some(&project), &mut Vec::new()), Err(NewError::Exists(_))));
    }

    #[test]
    fn a_name_that_is_no_service_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path().join("p");
        assert!(matches!(run("Orders!", Some(&project), &mut Vec::new()), Err(NewError::Name { .. })));
        assert!(!project.exists());
    }
}
