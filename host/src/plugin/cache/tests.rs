//! Each way an entry can be hostile, and the plain life of a cache.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

const CODE: &[u8] = b"compiled code";

struct Fixture {
    dir: PathBuf,
    cache: Cache,
    _temp: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("cache");
        Self { cache: Cache::open(&dir).unwrap(), dir, _temp: temp }
    }

    /// The only entry's path.
    fn entry(&self) -> PathBuf {
        let mut entries = self.entries();
        assert_eq!(entries.len(), 1);
        entries.remove(0)
    }

    fn entries(&self) -> Vec<PathBuf> {
        let paths = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).collect()
    }

    fn get(&self, key: &Key) -> Option<Vec<u8>> {
        self.cache.get(key)
    }

    /// The entry is not handed out, and gone.
    fn assert_refused(&self, key: &Key) {
        assert_eq!(self.get(key), None);
        assert_eq!(self.entries(), Vec::<PathBuf>::new());
    }
}

fn key(n: u8) -> Key {
    Key::new(&[n; 32], b"engine")
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_put_is_got_also_by_the_next_process() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get(&key(1)), None);
    fixture.cache.put(&key(1), CODE).unwrap();
    assert_eq!(fixture.get(&key(1)).as_deref(), Some(CODE));
    assert_eq!(fixture.get(&key(2)), None);
    let next = Cache::open(&fixture.dir).unwrap();
    assert_eq!(next.get(&key(1)).as_deref(), Some(CODE));
}

#[test]
fn the_key_covers_content_and_engine() {
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), Key::new(&[1; 32], b"another engine"));
    assert_ne!(key(1), key(2));
}

#[test]
fn nobody_else_can_read_or_write_what_is_kept() {
    let fixture = Fixture::new();
    fixture.cache.put(&key(1), CODE).unwrap();
    assert_eq!(mode(&fixture.dir), 0o700);
    assert_eq!(mode(&fixture.entry()), 0o600);
    assert_eq!(mode(&fixture.dir.join(SECRET)), 0o600);
}

#[test]
fn putting_again_replaces() {
    let fixture = Fixture::new();
    fixture.cache.put(&key(1), b"old").unwrap();
    fixture.cache.put(&key(2), b"other").unwrap();
    fixture.cache.put(&key(1), b"new").unwrap();
    assert_eq!(fixture.get(&key(1)).as_deref(), Some(&b"new"[..]));
    assert_eq!(fixture.get(&key(2)).as_deref(), Some(&b"other"[..]));
    assert_eq!(fixture.entries().len(), 2);
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    for bad in [0o770, 0o707, 0o777] {
        chmod(temp.path(), bad);
        let error = Cache::open(temp.path()).unwrap_err();
        assert!(matches!(error, CacheError::OpenDirectory { mode, .. } if mode == bad), "{error}");
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
    chmod(temp.path(), 0o755);
    assert!(Cache::open(temp.path()).is_ok());
}

#[test]
fn a_directory_of_another_user_is_refused() {
    // `/` is root's, and root can make a directory somebody else's: one of the two always can be tried.
    let temp = tempfile::tempdir().unwrap();
    let root = std::os::unix::fs::chown(temp.path(), Some(12345), None).is_ok();
    let dir = if root { temp.path() } else { Path::new("/") };
    assert!(matches!(Cache::open(dir), Err(CacheError::ForeignDirectory { .. })));
}

#[test]
fn a_directory_that_cannot_be_made_says_what_to_do() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Cache::open(&file.path().join("cache")).unwrap_err();
    assert!(error.to_string().contains("state.path"), "{error}");
    assert!(matches!(Cache::open(file.path()), Err(CacheError::Directory { .. })));
}

#[test]
fn a_damaged_entry_is_refused() {
    let fixture = Fixture::new();
    fixture.cache.put(&key(1), CODE).unwrap();
    let mut bytes = CODE.to_vec();
    bytes[3] ^= 1;
    fs::write(fixture.entry(), bytes).unwrap();
    fixture.assert_refused(&key(1));
}

#[test]
fn an_entry_that_is_cut_short_or_grew_is_refused() {
    for len in [0, 5, 100] {
        let fixture = Fixture::new();
        fixture.cache.put(&key(1), CODE).unwrap();
        fs::File::options().write(true).open(fixture.entry()).unwrap().set_len(len).unwrap();
        fixture.assert_refused(&key(1));
    }
}

#[test]
fn an_entry_renamed_to_another_key_is_refused() {
    let fixture = Fixture::new();
    fixture.cache.put(&key(1), CODE).unwrap();
    let name = fixture.entry().file_name().unwrap().to_str().unwrap().replace(&key(1).hex(), &key(2).hex());
    fs::rename(fixture.entry(), fixture.dir.join(name)).unwrap();
    fixture.assert_refused(&key(2));
}

#[test]
fn an_entry_made_with_another_secret_is_refused() {
    let fixture = Fixture::new();
    let other = Fixture::new();
    other.cache.put(&key(1), b"evil").unwrap();
    let forged = other.entry();
    fs::copy(&forged, fixture.dir.join(forged.file_name().unwrap())).unwrap();
    fixture.assert_refused(&key(1));
}

#[test]
fn an_entry_that_others_may_write_to_is_refused() {
    for bad in [0o620, 0o602, 0o666] {
        let fixture = Fixture::new();
        fixture.cache.put(&key(1), CODE).unwrap();
        chmod(&fixture.entry(), bad);
        fixture.assert_refused(&key(1));
    }
}

#[test]
fn an_entry_of_another_user_is_refused() {
    let fixture = Fixture::new();
    fixture.cache.put(&key(1), CODE).unwrap();
    // Only root can give a file away; for others nothing can be tried.
    if std::os::unix::fs::chown(fixture.entry(), Some(12345), None).is_ok() {
        fixture.assert_refused(&key(1));
    }
}

#[test]
fn a_link_is_refused_even_to_the_right_content() {
    let fixture = Fixture::new();
    fixture.cache.put(&key(1), CODE).unwrap();
    let entry = fixture.entry();
    let elsewhere = fixture.dir.join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    fixture.assert_refused(&key(1));
    assert!(elsewhere.exists(), "the link is removed, not what it points to");
}

#[test]
fn a_directory_or_a_pipe_in_place_of_an_entry_is_refused() {
    for pipe in [false, true] {
        let fixture = Fixture::new();
        fixture.cache.put(&key(1), CODE).unwrap();
        let entry = fixture.entry();
        fs::remove_file(&entry).unwrap();
        if pipe {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, &entry, kind, Mode::RUSR | Mode::WUSR, 0).unwrap();
        } else {
            fs::create_dir(&entry).unwrap();
        }
        fixture.assert_refused(&key(1));
    }
}

#[test]
fn a_bad_entry_does_not_hide_a_good_one() {
    let fixture = Fixture::new();
    fixture.cache.put(&key(1), CODE).unwrap();
    for digit in ["0", "f"] {
        fs::write(fixture.dir.join(format!("{}.{}.cwasm", key(1).hex(), digit.repeat(64))), b"evil").unwrap();
    }
    assert_eq!(fixture.get(&key(1)).as_deref(), Some(CODE));
}

#[test]
fn a_secret_that_others_can_read_or_that_is_damaged_is_replaced_and_old_entries_are_void() {
    let damages: [fn(&Path); 4] = [
        |secret| chmod(secret, 0o640),
        |secret| fs::write(secret, b"short").unwrap(),
        |secret| fs::write(secret, [0; SECRET_LEN + 1]).unwrap(),
        |secret| {
            fs::rename(secret, secret.with_extension("moved")).unwrap();
            symlink(secret.with_extension("moved"), secret).unwrap();
        },
    ];
    for damage in damages {
        let fixture = Fixture::new();
        fixture.cache.put(&key(1), CODE).unwrap();
        damage(&fixture.dir.join(SECRET));
        let next = Cache::open(&fixture.dir).unwrap();
        assert!(next.get(&key(1)).is_none());
        assert_eq!(mode(&fixture.dir.join(SECRET)), 0o600);
        let mut secret = Vec::new();
        File::open(fixture.dir.join(SECRET)).unwrap().read_to_end(&mut secret).unwrap();
        assert_eq!(secret.len(), SECRET_LEN);
    }
}

#[test]
fn pruning_removes_what_was_used_longest_ago() {
    let fixture = Fixture::new();
    let used_at = |n: u8, secs: u64| {
        fixture.cache.put(&key(n), &[n; 100]).unwrap();
        let entry = fixture.entries().into_iter().find(|path| path.to_str().unwrap().contains(&key(n).hex())).unwrap();
        let file = File::options().append(true).open(entry).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(secs)).unwrap();
    };
    used_at(1, 1000);
    used_at(2, 3000);
    used_at(3, 2000);
    assert_eq!(fixture.cache.prune(300).unwrap(), Pruned { removed: 0, left: 300 });
    // Getting is using.
    assert!(fixture.get(&key(1)).is_some());
    assert_eq!(fixture.cache.prune(250).unwrap(), Pruned { removed: 1, left: 200 });
    assert_eq!(fixture.get(&key(3)), None);
    assert!(fixture.get(&key(1)).is_some() && fixture.get(&key(2)).is_some());
    assert_eq!(fixture.cache.prune(0).unwrap(), Pruned { removed: 2, left: 0 });
}

#[test]
fn pruning_removes_files_that_were_left_half_written_but_not_those_being_written() {
    let fixture = Fixture::new();
    let (old, new) = (fixture.dir.join(".partial-1-1"), fixture.dir.join(".partial-1-2"));
    fs::write(&old, b"x").unwrap();
    fs::write(&new, b"x").unwrap();
    let long_ago = SystemTime::now() - 2 * PARTIAL_LIFE;
    File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    fixture.cache.prune(u64::MAX).unwrap();
    assert!(!old.exists() && new.exists());
}

#[test]
fn threads_may_put_and_get_at_once() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let cache = &fixture.cache;
            scope.spawn(move || {
                for _ in 0..10 {
                    cache.put(&key(n % 2), &vec![n % 2; 50_000]).unwrap();
                    let got = cache.get(&key(n % 2));
                    assert!(got.is_none_or(|got| got == vec![n % 2; 50_000]));
                }
            });
        }
    });
    assert_eq!(fixture.entries().len(), 2);
}
