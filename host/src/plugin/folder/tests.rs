//! Every way a file can come, change and go, on real directories.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::*;

/// Longer than anything here may take, shorter than patience is with a test.
const BOUND: Duration = Duration::from_secs(20);
/// Long enough for a wrong report to show up.
const CALM: Duration = Duration::from_millis(700);
/// Never reached in a test: what is seen was seen by notification.
const NO_POLL: Duration = Duration::from_secs(3600);

/// As in production, but without polling.
const NOTIFIED: Settings = Settings { poll_interval: NO_POLL, patience: PATIENCE, notifications: true };
/// The same, and incomplete files are not waited for long.
const IMPATIENT: Settings = Settings { patience: Duration::from_millis(1500), ..NOTIFIED };
const POLLED: Settings = Settings { poll_interval: Duration::from_millis(100), notifications: false, ..NOTIFIED };

/// A component-like file: header and one custom section filled with `fill`; `len` bytes after the section header.
fn wasm(fill: u8, len: usize) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0\0".to_vec();
    let mut size = u32::try_from(len).unwrap();
    while size >= 0x80 {
        bytes.push(size.to_le_bytes()[0] | 0x80);
        size >>= 7;
    }
    bytes.push(size.to_le_bytes()[0]);
    bytes.resize(bytes.len() + len, fill);
    bytes
}

struct Watched {
    dir: PathBuf,
    _temp: TempDir,
    _folder: Folder,
    changes: mpsc::Receiver<Change>,
}

impl Watched {
    async fn start() -> Self {
        Self::with(&[], NOTIFIED).await
    }

    /// Starts with files lying there, and has already taken the reports up to the end of the first scan.
    async fn with(files: &[(&str, &[u8])], settings: Settings) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("plugins");
        fs::create_dir(&dir).unwrap();
        for (name, bytes) in files {
            fs::write(dir.join(name), bytes).unwrap();
        }
        let (folder, changes) = Folder::start(&dir, settings).unwrap();
        let mut watched = Self { dir, _temp: temp, _folder: folder, changes };
        for _ in files {
            watched.present().await;
        }
        assert_eq!(watched.next().await, Change::InitialScanDone);
        watched
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    async fn next(&mut self) -> Change {
        timeout(BOUND, self.changes.recv()).await.expect("a report in time").expect("a running watch")
    }

    async fn present(&mut self) -> FileVersion {
        match self.next().await {
            Change::Present(version) => version,
            other => panic!("expected a file, got {other:?}"),
        }
    }

    async fn rejected(&mut self) -> (String, String) {
        match self.next().await {
            Change::Rejected { file_name, reason } => (file_name, reason),
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    async fn gone(&mut self, name: &str) {
        assert_eq!(self.next().await, Change::Gone { file_name: name.into() });
    }

    async fn nothing(&mut self) {
        if let Ok(change) = timeout(CALM, self.changes.recv()).await {
            panic!("unexpected {change:?}");
        }
    }
}

#[tokio::test]
async fn a_new_file_is_reported_with_service_label_and_digest() {
    let mut watched = Watched::start().await;
    let bytes = wasm(1, 100_000);
    watched.write("orders@1.2.wasm", &bytes);
    let version = watched.present().await;
    assert_eq!(version.file_name, "orders@1.2.wasm");
    assert_eq!(version.service, "orders");
    assert_eq!(version.label.as_deref(), Some("1.2"));
    assert_eq!(version.path, watched.path("orders@1.2.wasm"));
    assert_eq!(version.bytes, bytes);
    assert_eq!(
        version.digest,
        <[u8; 32]>::from(sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            &bytes
        )))
    );
    watched.nothing().await;
}

#[tokio::test]
async fn files_that_lie_there_at_the_start_come_before_the_end_of_the_first_scan() {
    // `with` checks the order itself.
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 10)), ("b.wasm", &wasm(2, 10))], NOTIFIED).await;
    watched.nothing().await;
}

#[tokio::test]
async fn a_plain_copy_is_reported_within_a_second() {
    let mut watched = Watched::start().await;
    let source = watched.dir.parent().unwrap().join("source");
    fs::write(&source, wasm(1, 100_000)).unwrap();
    let begun = Instant::now();
    fs::copy(&source, watched.path("a.wasm")).unwrap();
    watched.present().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_file_that_comes_by_rename_is_reported_at_once() {
    let mut watched = Watched::start().await;
    // The best of three, so that a busy machine does not fail the test.
    let mut best = BOUND;
    for fill in 1..=3 {
        watched.write(".a.wasm.part", &wasm(fill, 100_000));
        let begun = Instant::now();
        fs::rename(watched.path(".a.wasm.part"), watched.path("a.wasm")).unwrap();
        assert_eq!(watched.present().await.bytes, wasm(fill, 100_000));
        best = best.min(begun.elapsed());
    }
    assert!(best < Duration::from_millis(150), "{best:?}");
    watched.nothing().await;
}

#[tokio::test]
async fn a_file_replaced_in_place_is_reported_once_with_its_new_content() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 5000))], NOTIFIED).await;
    watched.write("a.wasm", &wasm(2, 5000));
    assert_eq!(watched.present().await.bytes, wasm(2, 5000));
    watched.nothing().await;
}

#[tokio::test]
async fn the_same_content_and_a_touch_are_no_news() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 5000))], NOTIFIED).await;
    watched.write("a.wasm", &wasm(1, 5000));
    watched.nothing().await;
    let file = fs::File::options().append(true).open(watched.path("a.wasm")).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    drop(file);
    watched.nothing().await;
}

#[tokio::test]
async fn a_slow_copy_in_pieces_is_reported_once_and_whole() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 100))], NOTIFIED).await;
    let bytes = wasm(2, 20 << 20);
    let mut file = fs::File::create(watched.path("a.wasm")).unwrap();
    // The first pause comes where a section could end: only the writer's open file tells that more will come.
    let pieces = [&bytes[..8], &bytes[8..10 << 20], &bytes[10 << 20..]];
    for piece in pieces {
        file.write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(watched.changes.is_empty(), "half a file was reported");
    }
    drop(file);
    assert_eq!(watched.present().await.bytes, bytes);
    watched.nothing().await;
}

#[tokio::test]
async fn a_slow_copy_that_opens_the_file_for_each_piece_is_reported_once_and_whole() {
    let mut watched = Watched::start().await;
    let bytes = wasm(2, 300_000);
    for piece in bytes.chunks(100_000) {
        let mut file = fs::File::options().create(true).append(true).open(watched.path("a.wasm")).unwrap();
        file.write_all(piece).unwrap();
        drop(file);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert_eq!(watched.present().await.bytes, bytes);
    watched.nothing().await;
}

#[tokio::test]
async fn a_writer_that_never_closes_does_not_hold_its_file_back_for_ever() {
    let mut watched = Watched::start().await;
    let mut file = fs::File::create(watched.path("a.wasm")).unwrap();
    file.write_all(&wasm(1, 100)).unwrap();
    assert_eq!(watched.present().await.bytes, wasm(1, 100));
    drop(file);
    watched.nothing().await;
}

#[tokio::test]
async fn an_incomplete_file_is_rejected_after_a_while_and_taken_when_the_rest_comes() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 100))], IMPATIENT).await;
    let bytes = wasm(2, 1000);
    watched.write("a.wasm", &bytes[..500]);
    let begun = Instant::now();
    let (name, reason) = watched.rejected().await;
    assert_eq!(name, "a.wasm");
    assert!(reason.starts_with("incomplete: ends inside a section"), "{reason}");
    assert!(begun.elapsed() >= IMPATIENT.patience);
    watched.write("a.wasm", &bytes);
    assert_eq!(watched.present().await.bytes, bytes);
}

#[tokio::test]
async fn a_refusal_is_taken_back_when_the_old_content_returns() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 100))], NOTIFIED).await;
    watched.write("a.wasm", b"not wasm at all");
    assert!(watched.rejected().await.1.contains("not WebAssembly"));
    watched.write("a.wasm", &wasm(1, 100));
    assert_eq!(watched.present().await.bytes, wasm(1, 100));
}

#[tokio::test]
async fn an_empty_file_is_waited_for_and_then_rejected() {
    let mut watched = Watched::with(&[], IMPATIENT).await;
    watched.write("a.wasm", b"");
    let (_, reason) = watched.rejected().await;
    assert!(reason.starts_with("incomplete: is empty"), "{reason}");
}

#[tokio::test]
async fn the_first_scan_waits_for_an_incomplete_file_but_not_for_ever() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("a.wasm"), &wasm(1, 100)[..50]).unwrap();
    let begun = Instant::now();
    let (_folder, mut changes) = Folder::start(temp.path(), IMPATIENT).unwrap();
    let done = async {
        let mut before = Vec::new();
        loop {
            match changes.recv().await.unwrap() {
                Change::InitialScanDone => break before,
                other => before.push(other),
            }
        }
    };
    let before = timeout(BOUND, done).await.unwrap();
    assert!(begun.elapsed() >= IMPATIENT.patience);
    assert!(before.iter().all(|change| matches!(change, Change::Rejected { .. })), "{before:?}");
}

#[tokio::test]
async fn a_deleted_file_is_gone() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 100))], NOTIFIED).await;
    fs::remove_file(watched.path("a.wasm")).unwrap();
    watched.gone("a.wasm").await;
    watched.write("a.wasm", &wasm(1, 100));
    watched.present().await;
}

#[tokio::test]
async fn deleting_and_copying_again_is_a_replacement() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 100))], NOTIFIED).await;
    fs::remove_file(watched.path("a.wasm")).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    watched.write("a.wasm", &wasm(2, 100));
    assert_eq!(watched.present().await.bytes, wasm(2, 100));
    watched.nothing().await;
}

#[tokio::test]
async fn many_files_at_once_all_arrive_with_their_last_content() {
    let mut watched = Watched::start().await;
    let count: u8 = 100;
    for round in 0..3 {
        for n in 0..count {
            watched.write(&format!("s{n}.wasm"), &wasm(n.wrapping_add(round), 2000));
        }
    }
    let mut last = BTreeMap::new();
    let whole = |last: &BTreeMap<String, FileVersion>| {
        (0..count).all(|n| {
            last.get(&format!("s{n}.wasm")).is_some_and(|v: &FileVersion| v.bytes == wasm(n.wrapping_add(2), 2000))
        })
    };
    while !whole(&last) {
        let version = watched.present().await;
        last.insert(version.file_name.clone(), version);
    }
    watched.nothing().await;
}

#[tokio::test]
async fn a_slow_receiver_still_gets_the_last_content() {
    let mut watched = Watched::start().await;
    for fill in 0..10 {
        for n in 0..QUEUE * 3 {
            watched.write(&format!("s{n}.wasm"), &wasm(fill, 100));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut last = BTreeMap::new();
    while let Ok(Some(change)) = timeout(CALM, watched.changes.recv()).await {
        let Change::Present(version) = change else { panic!("unexpected {change:?}") };
        last.insert(version.file_name.clone(), version.bytes);
    }
    assert_eq!(last.len(), QUEUE * 3);
    assert!(last.values().all(|bytes| *bytes == wasm(9, 100)));
}

#[tokio::test]
async fn a_link_that_is_pointed_elsewhere_is_a_replacement() {
    let mut watched = Watched::start().await;
    let versions = watched.dir.parent().unwrap().join("versions");
    fs::create_dir(&versions).unwrap();
    fs::write(versions.join("a.wasm"), wasm(1, 100)).unwrap();
    fs::write(versions.join("b.wasm"), wasm(2, 100)).unwrap();
    symlink("../versions/a.wasm", watched.path("x.wasm")).unwrap();
    assert_eq!(watched.present().await.bytes, wasm(1, 100));
    symlink("../versions/b.wasm", watched.path("next")).unwrap();
    fs::rename(watched.path("next"), watched.path("x.wasm")).unwrap();
    assert_eq!(watched.present().await.bytes, wasm(2, 100));
    watched.nothing().await;
}

#[tokio::test]
async fn a_data_directory_swapped_as_kubernetes_does_replaces_all_files_in_it() {
    let mut watched = Watched::start().await;
    for (release, fill) in [("..v1", 1), ("..v2", 2)] {
        fs::create_dir(watched.path(release)).unwrap();
        fs::write(watched.path(release).join("x.wasm"), wasm(fill, 100)).unwrap();
    }
    symlink("..v1", watched.path("..data")).unwrap();
    symlink("..data/x.wasm", watched.path("x.wasm")).unwrap();
    assert_eq!(watched.present().await.bytes, wasm(1, 100));
    symlink("..v2", watched.path("..data_tmp")).unwrap();
    fs::rename(watched.path("..data_tmp"), watched.path("..data")).unwrap();
    assert_eq!(watched.present().await.bytes, wasm(2, 100));
    watched.nothing().await;
}

#[tokio::test]
async fn a_change_behind_a_link_is_found_by_polling() {
    let mut watched = Watched::with(&[], Settings { notifications: true, ..POLLED }).await;
    let target = watched.dir.parent().unwrap().join("target");
    fs::write(&target, wasm(1, 100)).unwrap();
    symlink(&target, watched.path("x.wasm")).unwrap();
    assert_eq!(watched.present().await.bytes, wasm(1, 100));
    fs::write(&target, wasm(2, 100)).unwrap();
    assert_eq!(watched.present().await.bytes, wasm(2, 100));
}

#[tokio::test]
async fn a_broken_link_is_rejected_and_does_not_remove_the_service() {
    let mut watched = Watched::start().await;
    let target = watched.dir.parent().unwrap().join("target");
    fs::write(&target, wasm(1, 100)).unwrap();
    symlink(&target, watched.path("x.wasm")).unwrap();
    watched.present().await;
    symlink("nowhere", watched.path("next")).unwrap();
    fs::rename(watched.path("next"), watched.path("x.wasm")).unwrap();
    let (name, reason) = watched.rejected().await;
    assert_eq!(name, "x.wasm");
    assert!(reason.contains("nowhere"), "{reason}");
    fs::remove_file(watched.path("x.wasm")).unwrap();
    watched.gone("x.wasm").await;
}

#[tokio::test]
async fn a_file_that_becomes_unreadable_is_rejected_and_taken_when_it_can_be_read() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 100))], NOTIFIED).await;
    // Reading one's own memory at address 0 fails for every user, root included.
    symlink("/proc/self/mem", watched.path("next")).unwrap();
    fs::rename(watched.path("next"), watched.path("a.wasm")).unwrap();
    let (name, reason) = watched.rejected().await;
    assert_eq!(name, "a.wasm");
    assert!(reason.contains("cannot be read"), "{reason}");
    fs::remove_file(watched.path("a.wasm")).unwrap();
    watched.write("a.wasm", &wasm(1, 100));
    watched.present().await;
}

#[tokio::test]
async fn what_is_no_file_of_a_service_is_rejected_with_the_reason() {
    let mut watched = Watched::start().await;
    fs::create_dir(watched.path("dir.wasm")).unwrap();
    symlink("/dev/null", watched.path("device.wasm")).unwrap();
    symlink("loop.wasm", watched.path("loop.wasm")).unwrap();
    watched.write("Bad.wasm", &wasm(1, 1));
    let large = fs::File::create(watched.path("large.wasm")).unwrap();
    large.set_len(read::MAX_FILE + 1).unwrap();
    drop(large);
    let mut reasons = BTreeMap::new();
    for _ in 0..5 {
        reasons.extend([watched.rejected().await]);
    }
    let expected = [
        ("dir.wasm", "is a directory"),
        ("device.wasm", "not a regular file"),
        ("loop.wasm", "cannot be examined"),
        ("Bad.wasm", "no service name"),
        ("large.wasm", "at most 536870912 are read"),
    ];
    for (name, part) in expected {
        assert!(reasons.get(name).is_some_and(|reason| reason.contains(part)), "{name}: {reasons:?}");
    }
    watched.nothing().await;
}

#[tokio::test]
async fn hidden_files_other_endings_and_sub_folders_are_nobodys_business() {
    let mut watched = Watched::start().await;
    watched.write(".a.wasm", &wasm(1, 1));
    watched.write("a.wasm.part", &wasm(1, 1));
    fs::create_dir(watched.path("sub")).unwrap();
    watched.write("sub/b.wasm", &wasm(1, 1));
    watched.nothing().await;
}

#[tokio::test]
async fn a_folder_that_is_removed_and_made_again_is_watched_again() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 100))], NOTIFIED).await;
    fs::remove_dir_all(&watched.dir).unwrap();
    watched.gone("a.wasm").await;
    fs::create_dir(&watched.dir).unwrap();
    watched.write("a.wasm", &wasm(2, 100));
    assert_eq!(watched.present().await.bytes, wasm(2, 100));
    watched.write("a.wasm", &wasm(3, 100));
    assert_eq!(watched.present().await.bytes, wasm(3, 100));
}

#[tokio::test]
async fn a_folder_that_is_exchanged_for_another_is_no_outage() {
    let mut watched = Watched::with(&[("a.wasm", &wasm(1, 100))], NOTIFIED).await;
    let old = watched.dir.parent().unwrap().join("old");
    let new = watched.dir.parent().unwrap().join("new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("a.wasm"), wasm(2, 100)).unwrap();
    fs::rename(&watched.dir, &old).unwrap();
    fs::rename(&new, &watched.dir).unwrap();
    assert_eq!(watched.present().await.bytes, wasm(2, 100));
    watched.nothing().await;
}

#[tokio::test]
async fn a_folder_may_come_later() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("later");
    let (_folder, mut changes) = Folder::watch(&dir, NO_POLL).unwrap();
    assert_eq!(timeout(BOUND, changes.recv()).await.unwrap(), Some(Change::InitialScanDone));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a.wasm"), wasm(1, 100)).unwrap();
    assert!(matches!(timeout(BOUND, changes.recv()).await.unwrap(), Some(Change::Present(_))));
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Folder::watch(file.path(), NO_POLL), Err(FolderError::NotADirectory { .. })));
}

#[tokio::test]
async fn without_notifications_polling_finds_everything() {
    let mut watched = Watched::with(&[], POLLED).await;
    watched.write("a.wasm", &wasm(1, 100));
    assert_eq!(watched.present().await.bytes, wasm(1, 100));
    watched.write("a.wasm", &wasm(2, 100));
    assert_eq!(watched.present().await.bytes, wasm(2, 100));
    let bytes = wasm(3, 1 << 20);
    let mut file = fs::File::create(watched.path("a.wasm")).unwrap();
    for piece in bytes.chunks(600_000) {
        file.write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(watched.present().await.bytes, bytes);
    fs::remove_file(watched.path("a.wasm")).unwrap();
    watched.gone("a.wasm").await;
    watched.nothing().await;
}

#[tokio::test]
async fn a_file_rewritten_without_pause_never_shows_a_torn_state() {
    let mut watched = Watched::start().await;
    let path = watched.path("a.wasm");
    let writer = spawn_blocking(move || {
        let end = std::time::Instant::now() + Duration::from_secs(2);
        let mut fill = 0_u8;
        while std::time::Instant::now() < end {
            fill = fill % 100 + 1;
            fs::write(&path, wasm(fill, 200_000)).unwrap();
        }
        fs::write(&path, wasm(200, 200_000)).unwrap();
    });
    loop {
        let bytes = watched.present().await.bytes;
        let fill = *bytes.last().unwrap();
        assert!(bytes == wasm(fill, 200_000), "a mixture of two contents was reported");
        if fill == 200 {
            break;
        }
    }
    writer.await.unwrap();
    watched.nothing().await;
}

#[tokio::test]
async fn dropping_the_folder_ends_the_reports() {
    let Watched { _folder: folder, mut changes, .. } = Watched::start().await;
    drop(folder);
    assert_eq!(timeout(BOUND, changes.recv()).await.unwrap(), None);
}

#[test]
fn services_are_known_by_the_names_of_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["orders.wasm", "orders@2.wasm", "users@1.0.wasm", "Bad.wasm", ".hidden.wasm", "notes.txt"] {
        std::fs::write(dir.path().join(file), "no component").unwrap();
    }
    let found = services_in(dir.path());
    let labels = |service: &str| found[service].iter().map(Option::as_deref).collect::<Vec<_>>();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(labels("orders"), [None, Some("2")]);
    assert_eq!(labels("users"), [Some("1.0")]);
    assert!(services_in(&dir.path().join("missing")).is_empty());
}
