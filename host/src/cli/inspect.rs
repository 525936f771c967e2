//! `wharf inspect FILE.wasm`: what a component is, wants and gets, without running it.

use std::io::{self, Write};
use std::path::Path;

use crate::contract::contract_of;
use crate::plugin::{HttpVersion, InspectError, Inspection, Migration, MigrationsError, Serves, migrations_of};

/// Prints the component's shape, and the migrations and the contract inside of it or beside `file`. Returns whether this host can run it.
///
/// # Errors
/// When `out` cannot be written to.
pub fn run(wasm: &[u8], file: &Path, json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let read = Inspection::read(wasm);
    if json {
        return print_json(read, file, out);
    }
    let inspection = match read {
        Ok(inspection) => inspection,
        Err(error) => {
            writeln!(out, "cannot run: {error}")?;
            return Ok(false);
        }
    };
    writeln!(out, "size      {} bytes", inspection.size)?;
    writeln!(out, "version   {}", inspection.version.as_deref().unwrap_or("none in its metadata"))?;
    if !inspection.producers.is_empty() {
        writeln!(out, "made by   {}", printable(&inspection.producers.join(", ")))?;
    }
    writeln!(out, "exports")?;
    for export in &inspection.exports {
        writeln!(out, "  {}", printable(export))?;
    }
    writeln!(out, "imports")?;
    let width = inspection.imports.iter().map(|import| import.name.len()).max().unwrap_or_default();
    for import in &inspection.imports {
        let sign = if import.provided { ' ' } else { '!' };
        writeln!(out, "{sign} {:width$}  {}", printable(&import.name), import.meaning)?;
    }
    let migrations = migrations_of(&inspection.migrations, file);
    if let Ok(migrations) = &migrations
        && !migrations.is_empty()
    {
        writeln!(out, "migrations")?;
        for migration in migrations {
            writeln!(out, "  {}", printable(&migration.name))?;
        }
    }
    let contract = contract_of(inspection.openapi.as_deref(), file)
        .and_then(|source| source.map(|source| Ok((source.name.clone(), source.contract()?.operations()))).transpose());
    if let Ok(Some((name, operations))) = &contract {
        writeln!(out, "contract  {}, {operations} operations", printable(name))?;
    }
    match runnable(&inspection, &migrations).and_then(|serves| contract.map(|_| serves).map_err(Into::into)) {
        Ok(serves) => {
            writeln!(out, "\nthis host can run it, {serves}")?;
            Ok(true)
        }
        Err(error) => {
            writeln!(out, "\ncannot run: {error}")?;
            Ok(false)
        }
    }
}

fn runnable(
    inspection: &Inspection,
    migrations: &Result<Vec<Migration>, MigrationsError>,
) -> Result<Serves, InspectError> {
    let serves = inspection.runnable()?;
    migrations.as_ref().map_err(Clone::clone)?;
    Ok(serves)
}

fn print_json(read: Result<Inspection, InspectError>, file: &Path, out: &mut dyn Write) -> io::Result<bool> {
    let migrations = read.as_ref().map_or(Ok(Vec::new()), |inspection| migrations_of(&inspection.migrations, file));
    let contract = read.as_ref().ok().and_then(|inspection| {
        let source = contract_of(inspection.openapi.as_deref(), file);
        source.and_then(|source| source.map(|source| source.contract()).transpose()).transpose()
    });
    let runnable = read.as_ref().map_err(Clone::clone).and_then(|inspection| runnable(inspection, &migrations));
    let broken = contract.as_ref().and_then(|contract| contract.as_ref().err().cloned());
    let runnable = runnable.and_then(|serves| broken.map_or(Ok(serves), |error| Err(error.into())));
    let names = migrations.iter().flatten().map(|migration| migration.name.as_str());
    let report = serde_json::json!({
        "component": read.as_ref().ok(),
        "migrations": names.collect::<Vec<_>>(),
        "operations": contract.and_then(Result::ok).map(|contract| contract.operations()),
        "runs": runnable.is_ok(),
        "http": runnable.as_ref().ok().and_then(|serves| serves.http).map(HttpVersion::as_str),
        "events": runnable.as_ref().is_ok_and(|serves| serves.events),
        "reason": runnable.as_ref().err().map(ToString::to_string),
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)?;
    Ok(runnable.is_ok())
}

/// Names in a foreign file must not drive the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(wasm: &[u8], json: bool) -> (bool, String) {
        let mut out = Vec::new();
        let runs = run(wasm, Path::new("/nowhere/a.wasm"), json, &mut out).unwrap();
        (runs, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_core_module_is_told_what_to_do() {
        let (runs, text) = inspect(b"\0asm\x01\0\0\0", false);
        assert!(!runs);
        assert!(text.contains("wasm-tools component new"), "{text}");
    }

    #[test]
    fn json_says_the_same() {
        let (runs, text) = inspect(b"\0asm\x0d\0\x01\0", true);
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(!runs);
        assert_eq!(report["runs"], false);
        assert_eq!(report["component"]["size"], 8);
        assert!(report["reason"].as_str().unwrap().contains("no HTTP handler"), "{report}");
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[31m"), "a\u{fffd}[31m");
    }
}
