//! `wharf import`: routes of the Kubernetes Gateway API in Wharf's words.
//!
//! Prints what `gateway.yaml` would say, and on the other stream what could not be carried over, each with its line.
//! What is printed loads; what it lost has to be looked at by a person, so losing something is not success.

use std::io::{self, Write};
use std::path::Path;

use crate::config::{self, Problem, Problems};

/// Why nothing was carried over.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not YAML.
    #[error(transparent)]
    File(#[from] Problems),
    /// The result cannot be written as YAML.
    #[error("the routes cannot be written as YAML: {0}")]
    Yaml(String),
    /// Printing failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Prints the routes of a file on `out` and what was lost on `warnings`. Returns whether everything was carried over.
///
/// # Errors
/// When the text is no YAML, or nothing can be printed.
pub fn run(path: &Path, text: &str, out: &mut dyn Write, warnings: &mut dyn Write) -> Result<bool, ImportError> {
    let imported = config::import(path, text)?;
    let yaml = serde_saphyr::to_string(&imported.config).map_err(|error| ImportError::Yaml(error.to_string()))?;
    out.write_all(yaml.as_bytes())?;
    for (word, problems) in [("warning", &imported.losses), ("note", &imported.notes)] {
        for problem in problems {
            writeln!(warnings, "{word}: {}: {}", place(problem), problem.message())?;
        }
    }
    Ok(imported.losses.is_empty())
}

/// `routes.yaml:12`.
fn place(problem: &Problem) -> String {
    let file = problem.file().display();
    problem.position().map_or_else(|| file.to_string(), |(line, _)| format!("{file}:{line}"))
}

#[cfg(test)]
mod tests;
