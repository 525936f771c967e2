//! What a folder of files amounts to, and what is said when it is wrong.

mod agreement;
mod auth;
mod auth_filters;
mod bad_values;
mod circuit_breaker;
mod filters;
mod layers;
mod listeners;
mod routing;
mod settings;

use std::path::Path;

use super::*;

/// A folder with these files in it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn load_with(dir: &Path, env: Option<&str>) -> Result<Config, Problems> {
    load(&Source { dir: dir.to_owned(), env: env.map(str::to_owned) })
}

fn load_files(files: &[(&str, &str)], env: Option<&str>) -> Result<Config, Problems> {
    load_with(folder(files).path(), env)
}

/// `file:line:column message` of everything that is wrong with the files.
fn complaints(files: &[(&str, &str)], env: Option<&str>) -> Vec<String> {
    let dir = folder(files);
    let Err(problems) = load_with(dir.path(), env) else { return Vec::new() };
    let lines = problems.iter().map(|problem| {
        let file = problem.file().strip_prefix(dir.path()).unwrap().display().to_string();
        let place = problem.position().map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
        format!("{file}{place} {}", problem.message())
    });
    lines.collect()
}
