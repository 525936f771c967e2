//! The process: a real `wharf serve` in its folder, started, killed where it stands, stopped in order. Only what was
//! started here is ever signalled, by its own handle, and it ends when this is dropped.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::Trouble;
use crate::folder::{ENVIRONMENT, Folder};
use crate::http::Http;

/// The first start compiles all components, which takes a slow machine with a debug build minutes.
const READY: Duration = Duration::from_secs(420);
/// More than the host gives requests in flight.
const STOP: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(50);

/// See the module header.
#[derive(Debug)]
pub struct Host {
    binary: PathBuf,
    /// Where it lives. What is changed there counts as soon as the host has noticed.
    pub folder: Folder,
    child: Option<Child>,
}

impl Host {
    /// Starts this binary and waits until all services serve.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub async fn start(binary: &Path, folder: Folder) -> Result<Self, Trouble> {
        let mut host = Self { binary: binary.to_owned(), folder, child: None };
        host.again().await?;
        Ok(host)
    }

    /// Starts it again in the same folder, with the same ports.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn again(&mut self) -> Result<(), Trouble> {
        self.stop().await?;
        let path = self.folder.log();
        let log = OpenOptions::new().create(true).append(true).open(&path).map_err(Trouble::io(path.display()))?;
        let log_too = log.try_clone().map_err(Trouble::io(path.display()))?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .arg("--config")
            .arg(self.folder.dir().join("gateway-config"))
            .args(["--env", ENVIRONMENT])
            .current_dir(self.folder.dir())
            .stdin(Stdio::null())
            .stdout(log_too)
            .stderr(log)
            // A ^C is for whoever started this; the host is stopped in order then.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Trouble::io(self.binary.display()))?;
        self.child = Some(child);
        self.ready().await
    }

    async fn ready(&mut self) -> Result<(), Trouble> {
        let admin = self.admin();
        let began = Instant::now();
        while began.elapsed() < READY {
            self.check()?;
            if admin.get("/readyz").send().await.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Trouble::Host(format!("wharf is not ready in {READY:?}:\n{}", self.last_lines(20))))
    }

    /// Its public listener.
    pub fn gateway(&self) -> Http {
        Http::new(format!("http://127.0.0.1:{}", self.folder.port))
    }

    /// Its operators' listener.
    pub fn admin(&self) -> Http {
        Http::new(format!("http://127.0.0.1:{}", self.folder.admin_port))
    }

    /// The process, while there is one.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Whether it goes on.
    ///
    /// # Errors
    /// When it has ended, though nobody ended it.
    pub fn check(&mut self) -> Result<(), Trouble> {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => {
                Err(Trouble::Host(format!("wharf ended with {status}:\n{}", self.last_lines(20))))
            }
            Some(Err(error)) => Err(Trouble::io("the end of wharf")(error)),
            Some(Ok(None)) | None => Ok(()),
        }
    }

    /// Ends it where it stands, as a power cut would.
    ///
    /// # Errors
    /// When it has ended already, though nobody ended it.
    pub async fn kill(&mut self) -> Result<(), Trouble> {
        self.check()?;
        match self.child.take() {
            Some(mut child) => child.kill().await.map_err(Trouble::io("kill -9")),
            None => Ok(()),
        }
    }

    /// Ends it in order: requests in flight are answered.
    ///
    /// # Errors
    /// When it does not end in time. It is killed then.
    pub async fn stop(&mut self) -> Result<(), Trouble> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(|error| Trouble::io("SIGTERM")(error.into()))?;
        }
        match tokio::time::timeout(STOP, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Trouble::Host(format!("wharf ended with {status}:\n{}", self.last_lines(20)))),
            Ok(Err(error)) => Err(Trouble::io("the end of wharf")(error)),
            Err(_) => {
                child.kill().await.map_err(Trouble::io("kill -9"))?;
                Err(Trouble::Host(format!("wharf does not end within {STOP:?}")))
            }
        }
    }

    /// The last lines of its log that are no access log.
    pub fn last_lines(&self, most: usize) -> String {
        let text = std::fs::read_to_string(self.folder.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().filter(|line| !line.contains("\"requestId\"")).collect();
        lines.get(lines.len().saturating_sub(most)..).unwrap_or_default().join("\n")
    }
}
