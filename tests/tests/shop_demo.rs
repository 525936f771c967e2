//! The demonstration as a person runs it: how it ends, and that it leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use wharf_tests::{binary, root, within};

fn demo(arguments: &[&str], temporary: &Path) -> Child {
    let demo = binary().with_file_name("wharf-demo");
    assert!(demo.is_file(), "{} is not built: cargo build -p wharf-demo", demo.display());
    Command::new(demo)
        .args(arguments)
        .arg("--root")
        .arg(root())
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn ended(child: Child) -> (Option<i32>, String) {
    let output = tokio::time::timeout(Duration::from_secs(500), child.wait_with_output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// The folders of demonstrations in here.
fn folders(temporary: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("wharf-demo-")).collect()
}

/// Processes whose arguments name this folder.
fn hosts(folder: &Path) -> usize {
    let arguments = |entry: &std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
    let name = folder.as_os_str().as_encoded_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().map(Result::unwrap);
    processes.filter(|entry| arguments(entry).windows(name.len()).any(|part| part == name)).count()
}

#[tokio::test]
async fn a_day_in_the_shop_ends_with_books_that_are_right() {
    let temporary = tempfile::tempdir().unwrap();
    let (code, told) = ended(demo(&["--orders", "16", "--seed", "3"], temporary.path())).await;
    assert_eq!(code, Some(0), "{told}");
    let chapters = ["The shop opens", "Morning", "Noon", "Afternoon", "Evening", "Closing", "One of each", "The books"];
    let places: Vec<_> = chapters.iter().map(|chapter| told.find(&format!("\n{chapter}"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{told}");
    assert_eq!(told.matches("\n  ok ").count(), 12, "{told}");
    assert!(
        told.contains("the books are right: 12 checks (--seed 3 --orders 16)") && !told.contains("BROKEN"),
        "{told}"
    );
    assert!(folders(temporary.path()).is_empty());
}

#[tokio::test]
async fn a_demonstration_that_is_stopped_leaves_no_host_and_no_folder() {
    let temporary = tempfile::tempdir().unwrap();
    let child = demo(&["--quiet"], temporary.path());
    let folder = within(Duration::from_secs(30), "the host starts", async || {
        folders(temporary.path()).pop().filter(|folder| hosts(folder) > 0)
    })
    .await;
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let (code, told) = ended(child).await;
    assert_eq!(code, Some(130), "{told}");
    assert!(folders(temporary.path()).is_empty());
    within(Duration::from_secs(10), "the host is gone", async || (hosts(&folder) == 0).then_some(())).await;
}

#[tokio::test]
async fn a_demonstration_that_cannot_begin_says_why() {
    let temporary = tempfile::tempdir().unwrap();
    let (code, told) = ended(demo(&["--wharf", "/nowhere/wharf"], temporary.path())).await;
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("the binary of the host (`--wharf FILE`): No such file or directory"), "{told}");
    let (code, told) = ended(demo(&["--wharf", "/bin/false"], temporary.path())).await;
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("wharf ended with exit status: 1"), "{told}");
    assert!(folders(temporary.path()).is_empty());
}
