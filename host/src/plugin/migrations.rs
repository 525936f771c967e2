//! The migrations of a component: SQL files that bring its service's database to what the component needs.
//!
//! They lie in a folder beside the file (`orders.migrations/0001_create_orders.sql`; `orders@2.wasm` looks for
//! `orders@2.migrations` first), or inside the component, in custom sections `wharf:migrations`:
//!
//! ```text
//! -- wharf:migration 0001_create_orders.sql
//! CREATE TABLE orders (id INTEGER PRIMARY KEY) STRICT;
//! -- wharf:migration 0002_total.sql
//! ALTER TABLE orders ADD COLUMN total INTEGER NOT NULL DEFAULT 0;
//! ```
//!
//! Decided here: what is a migration, and that their numbers go from 1 without a gap. Applied is by the database itself,
//! before the version is probed; a version whose migrations fail is rejected, and the one that serves goes on. Both
//! places at once are refused, because nobody could say which of them counts.
//!
//! The texts are somebody else's: at most [`MAX_FILES`] of them and [`MAX_BYTES`] together.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::capability::Migration;

/// Most migrations of a component.
const MAX_FILES: usize = 1000;
/// Most bytes of all of them.
const MAX_BYTES: usize = 4 << 20;
/// Begins the line that names a migration in a section.
const MARK: &str = "-- wharf:migration ";

/// Why migrations cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationsError {
    /// A name that says no place in the order.
    #[error("the migration `{0}` needs a name such as `0001_create_orders.sql`: four digits, then a word")]
    Name(String),
    /// A number is missing.
    #[error("the migration {0:04} is missing: {1} comes after it; migrations are numbered from 0001 without a gap")]
    Gap(u32, String),
    /// A number is there twice.
    #[error("the migrations {0} and {1} have the same number")]
    Twice(String, String),
    /// It is no text.
    #[error("the migration {0} is no UTF-8 text")]
    Text(String),
    /// A section that does not begin with the name of a migration.
    #[error("its section `wharf:migrations` cannot be used: it must begin with a line `{MARK}0001_name.sql`")]
    Section,
    /// Too many of them, or too large.
    #[error("a component has at most {MAX_FILES} migrations with {MAX_BYTES} bytes together")]
    TooMuch,
    /// In the component and in a folder.
    #[error("it has migrations inside of it and in the folder {0}: remove one of them")]
    Both(String),
    /// The folder cannot be read.
    #[error("cannot read its migrations in {0}: {1}")]
    Read(String, String),
}

/// The name of the section.
pub(super) const SECTION: &str = "wharf:migrations";

/// Adds what a section says.
pub(super) fn read_section(section: &[u8], found: &mut Vec<Migration>) -> Result<(), MigrationsError> {
    if section.len() > MAX_BYTES {
        return Err(MigrationsError::TooMuch);
    }
    let text = std::str::from_utf8(section).map_err(|_not_utf8| MigrationsError::Text(SECTION.to_owned()))?;
    // What is patched into a fixed place is filled up with zeros.
    let text = text.trim_matches('\0');
    if text.trim().is_empty() {
        return Ok(());
    }
    // Linkers put sections of several files together, with what they like between them.
    let text = text.trim_start();
    let first = text.strip_prefix(MARK).ok_or(MigrationsError::Section)?;
    for piece in first.split(&format!("\n{MARK}")) {
        let (name, sql) = piece.split_once('\n').unwrap_or((piece, ""));
        found.push(migration(name.trim(), sql.trim_matches('\0').to_owned())?);
    }
    Ok(())
}

/// Sorts them and checks that none is missing.
pub(super) fn in_order(mut migrations: Vec<Migration>) -> Result<Vec<Migration>, MigrationsError> {
    let bytes: usize = migrations.iter().map(|migration| migration.sql.len()).sum();
    if migrations.len() > MAX_FILES || bytes > MAX_BYTES {
        return Err(MigrationsError::TooMuch);
    }
    migrations.sort_by(|one, next| (one.number, &one.name).cmp(&(next.number, &next.name)));
    let mut before: Option<&Migration> = None;
    for migration in &migrations {
        let expected = before.map_or(0, |before| before.number) + 1;
        match before {
            Some(before) if before.number == migration.number => {
                return Err(MigrationsError::Twice(before.name.clone(), migration.name.clone()));
            }
            _ if migration.number != expected => {
                return Err(MigrationsError::Gap(expected, migration.name.clone()));
            }
            _ => before = Some(migration),
        }
    }
    Ok(migrations)
}

fn migration(name: &str, sql: String) -> Result<Migration, MigrationsError> {
    let wrong = || MigrationsError::Name(name.chars().take(60).collect::<String>().escape_debug().to_string());
    let (digits, word) = name.strip_suffix(".sql").and_then(|name| name.split_once('_')).ok_or_else(wrong)?;
    let number = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !number || word.is_empty() || word.len() > 100 || !word.bytes().all(letters) {
        return Err(wrong());
    }
    // The same text has the same checksum wherever it lies, and however its lines were ended on the way.
    let sql = sql.replace("\r\n", "\n").trim_end().to_owned();
    Ok(Migration { number: digits.parse().map_err(|_| wrong())?, name: name.to_owned(), sql })
}

/// A folder of migrations as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationFolder {
    path: PathBuf,
    /// Names, sizes and times.
    files: Vec<(String, u64, Option<SystemTime>)>,
}

impl MigrationFolder {
    /// The folder that belongs to this component file, if there is one. Reads the disk.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn beside(file: &Path) -> Result<Option<Self>, MigrationsError> {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let service = stem.split_once('@').map_or(stem, |(service, _)| service);
        for name in [stem, service] {
            let path = file.with_file_name(format!("{name}.migrations"));
            match list(&path) {
                Ok(files) => return Ok(Some(Self { path, files })),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(MigrationsError::Read(shown(&path), error.to_string())),
            }
        }
        Ok(None)
    }

    /// What lies in it. Reads the disk.
    ///
    /// # Errors
    /// When a file has no proper name or cannot be read, or when it is too much.
    pub fn read(&self) -> Result<Vec<Migration>, MigrationsError> {
        let total: u64 = self.files.iter().map(|(_, size, _)| size).sum();
        if self.files.len() > MAX_FILES || total > MAX_BYTES as u64 {
            return Err(MigrationsError::TooMuch);
        }
        let read = |(name, ..): &(String, u64, _)| {
            let bytes = std::fs::read(self.path.join(name))
                .map_err(|error| MigrationsError::Read(shown(&self.path), error.to_string()))?;
            migration(name, String::from_utf8(bytes).map_err(|_| MigrationsError::Text(name.clone()))?)
        };
        in_order(self.files.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Whether it is no longer what it was. Reads the disk.
    pub fn has_changed(&self) -> bool {
        list(&self.path).ok().as_ref() != Some(&self.files)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// What lies in a folder, but for hidden files, which editors and archives leave there.
fn list(path: &Path) -> io::Result<Vec<(String, u64, Option<SystemTime>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            let metadata = std::fs::metadata(entry.path())?;
            files.push((name, metadata.len(), metadata.modified().ok()));
        }
        if files.len() > MAX_FILES {
            break;
        }
    }
    files.sort();
    Ok(files)
}

/// The migrations of a component: those inside of it, or those beside it. Reads the disk.
///
/// # Errors
/// When they are in both places, or no proper migrations.
pub fn migrations_of(inside: &[Migration], file: &Path) -> Result<Vec<Migration>, MigrationsError> {
    match MigrationFolder::beside(file)? {
        None => Ok(inside.to_vec()),
        Some(folder) if inside.is_empty() => folder.read(),
        Some(folder) => Err(MigrationsError::Both(shown(folder.path()))),
    }
}

/// The folder's own name: where the plugins lie is the operator's matter.
fn shown(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(migrations: &[Migration]) -> Vec<(u32, &str)> {
        migrations.iter().map(|migration| (migration.number, migration.name.as_str())).collect()
    }

    fn section(text: &str) -> Result<Vec<Migration>, MigrationsError> {
        let mut found = Vec::new();
        read_section(text.as_bytes(), &mut found)?;
        in_order(found)
    }

    #[test]
    fn a_section_holds_files_in_any_order() {
        let text = "-- wharf:migration 0002_b.sql\nB;\n\n-- wharf:migration 0001_a.sql\n-- first\nA;\0\0";
        let migrations = section(text).unwrap();
        assert_eq!(names(&migrations), [(1, "0001_a.sql"), (2, "0002_b.sql")]);
        assert_eq!((migrations[0].sql.as_str(), migrations[1].sql.as_str()), ("-- first\nA;", "B;"));
        // The text is the same at any place, and with other ends of lines.
        let alone = section("-- wharf:migration 0001_a.sql\r\n-- first\r\nA;\r\n").unwrap();
        assert_eq!(alone[0], migrations[0]);
        assert_eq!(section(" \0").unwrap(), []);
        assert_eq!(section("A;"), Err(MigrationsError::Section));
    }

    #[test]
    fn names_are_numbers_and_words() {
        for name in
            ["1_a.sql", "00001_a.sql", "0001.sql", "0001_.sql", "0001_a", "a_0001.sql", "0001_a b.sql", "0001_\x1b.sql"]
        {
            let error = migration(name, String::new()).unwrap_err();
            assert!(matches!(&error, MigrationsError::Name(shown) if !shown.contains('\x1b')), "{name}: {error:?}");
        }
        assert_eq!(migration("0042_a-b.2.sql", String::new()).unwrap().number, 42);
    }

    #[test]
    fn no_number_is_missing_or_there_twice() {
        let of = |names: &[&str]| in_order(names.iter().map(|name| migration(name, String::new()).unwrap()).collect());
        assert_eq!(names(&of(&["0002_b.sql", "0001_a.sql"]).unwrap()), [(1, "0001_a.sql"), (2, "0002_b.sql")]);
        assert_eq!(of(&["0002_b.sql"]), Err(MigrationsError::Gap(1, "0002_b.sql".to_owned())));
        assert_eq!(of(&["0001_a.sql", "0003_c.sql"]), Err(MigrationsError::Gap(2, "0003_c.sql".to_owned())));
        assert_eq!(of(&["0000_a.sql"]), Err(MigrationsError::Gap(1, "0000_a.sql".to_owned())));
        let twice = MigrationsError::Twice("0001_a.sql".to_owned(), "0001_b.sql".to_owned());
        assert_eq!(of(&["0001_b.sql", "0001_a.sql"]), Err(twice));
        let large = Migration { number: 1, name: "0001_a.sql".to_owned(), sql: "x".repeat(MAX_BYTES + 1) };
        assert_eq!(in_order(vec![large]), Err(MigrationsError::TooMuch));
    }

    #[test]
    fn a_folder_lies_beside_its_file() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("orders@2.wasm");
        assert_eq!(migrations_of(&[], &file).unwrap(), []);
        let folder = root.path().join("orders.migrations");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("0001_a.sql"), "A;").unwrap();
        std::fs::write(folder.join(".0002_b.sql.swp"), "B;").unwrap();
        let found = migrations_of(&[], &file).unwrap();
        assert_eq!(names(&found), [(1, "0001_a.sql")]);
        assert_eq!(migrations_of(&found, &file), Err(MigrationsError::Both("orders.migrations".to_owned())));

        let seen = MigrationFolder::beside(&file).unwrap().unwrap();
        assert!(!seen.has_changed());
        std::fs::write(folder.join("0002_b.sql"), "B;").unwrap();
        assert!(seen.has_changed());
        std::fs::create_dir(root.path().join("orders@2.migrations")).unwrap();
        assert_eq!(migrations_of(&[], &file).unwrap(), []);
        std::fs::write(root.path().join("orders@2.migrations/notes.txt"), "").unwrap();
        assert!(matches!(migrations_of(&[], &file), Err(MigrationsError::Name(_))));
    }
}
