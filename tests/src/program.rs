//! Other people's programs as clients of the gateway: a browser, load generators, attack tools.
//!
//! None of them is needed to build or to test. [`have`] looks for one in `PATH`; a test whose program is not there
//! says so in one line, with the number of checks that it leaves out, and passes. CONTRIBUTING.md names the packages.
//!
//! A program gets a process group of its own, a folder of its own to write in, and a time limit. Its whole group is
//! killed, by its id, when the time is over or the test fails.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// A program that is installed.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
}

/// One that runs; its group is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Pid,
    _dir: TempDir,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

/// What one has left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none if it was killed.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// The first of these names that is installed. If none is: says how many checks are left out.
pub fn have(names: &[&str], checks: usize) -> Option<Program> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED {checks} checks: {} is not installed (see CONTRIBUTING.md)", names[0]);
    }
    found.map(|path| Program { path })
}

impl Program {
    /// Starts it in an empty folder.
    pub fn start(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Running {
        self.start_on(arguments, Stdio::null())
    }

    fn start_on(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, input: Stdio) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(&self.path)
            .args(arguments)
            .current_dir(dir.path())
            // Whatever it keeps for its user is none of ours.
            .env("HOME", dir.path())
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stdout = tokio::spawn(async move {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes).await;
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let stderr = tokio::spawn(async move {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes).await;
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Running { child, group, _dir: dir, stdout, stderr }
    }

    /// Runs it to its end, which comes within `limit`.
    pub async fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, limit: Duration) -> Outcome {
        self.start(arguments).ended(limit).await
    }

    /// The same with something to read.
    pub async fn run_on(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: Stdio,
        limit: Duration,
    ) -> Outcome {
        self.start_on(arguments, input).ended(limit).await
    }
}

impl Running {
    /// Waits for its end.
    pub async fn ended(mut self, limit: Duration) -> Outcome {
        if tokio::time::timeout(limit, self.child.wait()).await.is_err() {
            let outcome = self.stop().await;
            panic!("it does not end in {limit:?}:\n{}\n{}", outcome.stdout, outcome.stderr);
        }
        self.stop().await
    }

    /// Ends it now.
    pub async fn stop(mut self) -> Outcome {
        self.kill();
        let code = self.child.wait().await.unwrap().code();
        let stdout = (&mut self.stdout).await.unwrap();
        let stderr = (&mut self.stderr).await.unwrap();
        Outcome { code, stdout, stderr }
    }

    fn kill(&self) {
        // What has ended before cannot be killed, which is as well.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Outcome {
    /// Fails unless it ended well.
    pub fn assert_success(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }
}
