//! A real `wharf serve` process in folders of its own.

use std::fmt::Write;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::{Answer, Client, eventually, guest, root, within};

/// Lines that a process has written.
type Lines = Arc<Mutex<Vec<String>>>;

/// Says how a Wharf starts.
#[derive(Debug)]
pub struct Builder {
    dir: Arc<TempDir>,
    setup: Setup,
    wait_ready: bool,
}

/// What a process is started with.
#[derive(Debug, Clone, Default)]
struct Setup {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    without_flags: bool,
}

/// A running Wharf; killed when dropped.
#[derive(Debug)]
pub struct Wharf {
    child: Child,
    dir: Arc<TempDir>,
    setup: Setup,
    address: SocketAddr,
    admin: SocketAddr,
    client: Client,
    stderr: Lines,
    stdout: Lines,
}

impl Builder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["plugins", "gateway-config/services", "gateway-config/env"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        Self { dir: Arc::new(dir), setup: Setup::default(), wait_ready: true }
    }

    /// A built guest as a service of the same name.
    pub fn plugin(self, name: &str) -> Self {
        self.plugin_as(name, name)
    }

    /// A built guest as a service (`orders`) or as one version of it (`orders@2`).
    pub fn plugin_as(self, name: &str, file_stem: &str) -> Self {
        self.file(file_stem, &guest(name))
    }

    /// These bytes as `<file_stem>.wasm`.
    pub fn file(self, file_stem: &str, wasm: &[u8]) -> Self {
        std::fs::write(self.dir.path().join("plugins").join(format!("{file_stem}.wasm")), wasm).unwrap();
        self
    }

    /// `gateway.yaml`
    pub fn gateway(self, yaml: &str) -> Self {
        self.config_file("gateway.yaml", yaml)
    }

    /// `services/<name>.yaml`
    pub fn service(self, name: &str, yaml: &str) -> Self {
        self.config_file(&format!("services/{name}.yaml"), yaml)
    }

    /// A file in `gateway-config/`.
    pub fn config_file(self, name: &str, yaml: &str) -> Self {
        std::fs::write(self.dir.path().join("gateway-config").join(name), yaml).unwrap();
        self
    }

    /// Another argument of `wharf serve`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.setup.arguments.push(argument.to_owned());
        self
    }

    /// A variable of the process's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.setup.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns from `start` when the listener is open, not when all services are up.
    pub fn without_waiting(mut self) -> Self {
        self.wait_ready = false;
        self
    }

    /// Starts it in its folder without a flag: everything comes from files and defaults. The configuration must name
    /// free ports.
    pub fn without_flags(mut self) -> Self {
        self.setup.without_flags = true;
        self
    }

    /// Its folder for everything: `plugins/`, `gateway-config/`, `state/`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts it though it must not start; what it says, as soon as it has ended with an error.
    pub async fn refused(self) -> String {
        let output = tokio::time::timeout(Duration::from_secs(30), self.command().output());
        let output = output.await.expect("it ends").unwrap();
        assert_eq!(output.status.code(), Some(1), "it starts, or ends strangely: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.arg("serve").current_dir(self.dir.path());
        if !self.setup.without_flags {
            let path = |name: &str| self.dir.path().join(name);
            command.arg("--config").arg(path("gateway-config")).arg("--plugins").arg(path("plugins"));
            command.arg("--state").arg(path("state")).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        }
        command
            .args(&self.setup.arguments)
            .env_remove("WHARF_ENV")
            .envs(self.setup.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Wharf {
        let mut child = self.command().spawn().unwrap();
        let stderr = collect(child.stderr.take().unwrap());
        let stdout = collect(child.stdout.take().unwrap());
        let listening = within(Duration::from_secs(30), "the process listens", async || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("wharf ended with {status}:\n{}", stderr.lock().unwrap().join("\n"));
            }
            stderr.lock().unwrap().iter().find_map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).ok()?;
                (event["message"] == "listening").then_some(event)
            })
        })
        .await;
        let address = |key: &str| listening[key].as_str().unwrap().parse().unwrap();
        let (address, admin) = (address("address"), address("admin"));
        let wharf =
            Wharf { child, dir: self.dir, setup: self.setup, address, admin, client: Client::new(), stderr, stdout };
        if self.wait_ready {
            within(Duration::from_secs(60), "it is ready", async || {
                (wharf.admin_get("/readyz").await.status == 200).then_some(())
            })
            .await;
        }
        wharf
    }
}

impl Wharf {
    /// A Wharf with no services and default configuration.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The public listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The operators' listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it is running")
    }

    /// GET of the gateway.
    pub async fn get(&self, path: &str) -> Answer {
        self.client.get(&self.url(path)).await
    }

    /// A request to the gateway with this body.
    pub async fn send(&self, method: &str, path: &str, body: impl Into<bytes::Bytes>) -> Answer {
        self.client.send(method, &self.url(path), &[], body).await
    }

    /// The client, for requests that are not simple.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sends these bytes on a connection of their own; all that comes back until it ends.
    pub async fn raw(&self, request: &str) -> String {
        let exchange = async {
            let mut socket = TcpStream::connect(self.address).await?;
            socket.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            // A reset after the answer does not unsay it.
            let _ = socket.read_to_end(&mut answer).await;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = tokio::time::timeout(Duration::from_secs(20), exchange).await;
        answer.unwrap_or_else(|_| panic!("the connection is not closed after {request:?}")).unwrap()
    }

    /// Asks for a WebSocket; the head of the answer, and the connection.
    pub async fn web_socket(&self, path: &str) -> (String, TcpStream) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(Duration::from_secs(10), socket.read_u8()).await.expect("an answer comes");
            head.push(byte.expect("a whole head"));
        }
        (String::from_utf8(head).unwrap(), socket)
    }

    /// GET of the admin listener.
    pub async fn admin_get(&self, path: &str) -> Answer {
        self.client.get(&format!("http://{}{path}", self.admin)).await
    }

    /// What the admin API tells about a service's versions.
    pub async fn versions(&self, service: &str) -> Vec<serde_json::Value> {
        let list = self.admin_get("/api/services").await.json();
        let services = list["services"].as_array().unwrap();
        let Some(service) = services.iter().find(|known| known["name"] == service) else { return Vec::new() };
        service["versions"].as_array().unwrap().clone()
    }

    /// States of a service's versions as `file state`, as the admin API tells.
    pub async fn states(&self, service: &str) -> Vec<String> {
        let versions = self.versions(service).await;
        versions.iter().map(|v| format!("{} {}", v["file"].as_str().unwrap(), v["state"].as_str().unwrap())).collect()
    }

    /// Why a file was rejected, as soon as it is.
    pub async fn rejection(&self, service: &str) -> String {
        within(Duration::from_secs(30), "the file is rejected", async || {
            let versions = self.versions(service).await;
            let rejected = versions.iter().find(|version| version["state"] == "rejected")?;
            Some(rejected["reason"].as_str()?.to_owned())
        })
        .await
    }

    /// A path in the folder of components.
    pub fn plugin_path(&self, file: &str) -> PathBuf {
        self.dir.path().join("plugins").join(file)
    }

    /// Its folder for everything: `plugins/`, `gateway-config/`, `state/`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a component there in one step, as `mv` does.
    pub fn install(&self, file: &str, wasm: &[u8]) {
        let hidden = self.plugin_path(&format!(".{file}.new"));
        std::fs::write(&hidden, wasm).unwrap();
        std::fs::rename(hidden, self.plugin_path(file)).unwrap();
    }

    /// Writes a file of the configuration, in one step.
    pub fn configure(&self, file: &str, yaml: &str) {
        let path = self.dir.path().join("gateway-config").join(file);
        let hidden = path.with_extension("new");
        std::fs::write(&hidden, yaml).unwrap();
        std::fs::rename(hidden, path).unwrap();
    }

    /// What it wrote to stderr (its log) so far.
    pub fn log(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// What it wrote to stdout (the access log) so far.
    pub fn access_log(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// A line of its log that contains this, as soon as there is one.
    pub async fn logged(&self, text: &str) -> String {
        eventually(&format!("`{text}` is in the log"), async || self.log().into_iter().find(|line| line.contains(text)))
            .await
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(Duration::from_secs(40), self.child.wait()).await.expect("it ends").unwrap()
    }

    /// Stops it in order, and gives what starts it again in the same folders.
    pub async fn stop(mut self) -> Builder {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert!(status.success(), "it ended with {status}");
        self.again()
    }

    /// What starts it again in the same folders, after it was killed.
    pub fn again(&self) -> Builder {
        Builder { dir: Arc::clone(&self.dir), setup: self.setup.clone(), wait_ready: true }
    }

    /// Kills it where it stands, and gives what starts it again in the same folders.
    pub async fn kill(mut self) -> Builder {
        self.signal(Signal::KILL);
        self.ended().await;
        Builder { dir: Arc::clone(&self.dir), setup: self.setup.clone(), wait_ready: true }
    }

    /// Resident memory of the process in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// CPU time that the process has used, in seconds: ticks of 10 ms.
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(&std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap())
    }

    /// The same of its threads with this name.
    pub fn cpu_seconds_of(&self, thread: &str) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        // One that ends meanwhile has no file any more.
        let stats = threads.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path().join("stat")).ok());
        stats.filter(|stat| stat.contains(&format!("({thread})"))).map(|stat| cpu_seconds(&stat)).sum()
    }
}

/// What a `stat` of `/proc` says.
fn cpu_seconds(stat: &str) -> f64 {
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>();
    ticks as f64 / 100.0
}

impl Drop for Wharf {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut report = String::new();
            for line in self.stderr.lock().unwrap().iter() {
                let _ = writeln!(report, "  {line}");
            }
            eprintln!("the log of wharf:\n{report}");
        }
        // It must never end by a crash that nobody noticed.
        if let Ok(Some(status)) = self.child.try_wait()
            && status.signal().is_some_and(|signal| signal != 9)
            && !std::thread::panicking()
        {
            panic!("wharf ended by signal: {status}");
        }
    }
}

/// The binary under test, built by the same cargo run into the folder beside ours.
pub fn binary() -> PathBuf {
    let mut dir = std::env::current_exe().unwrap();
    while dir.pop() {
        let binary = dir.join("wharf");
        if binary.is_file() {
            return binary;
        }
    }
    panic!("the wharf binary is not built (looked beside this test and in {}): cargo build -p wharf", root().display());
}

fn collect(stream: impl AsyncRead + Unpin + Send + 'static) -> Lines {
    let lines = Lines::default();
    let sink = Arc::clone(&lines);
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream).lines();
        while let Ok(Some(line)) = reader.next_line().await {
            sink.lock().unwrap().push(line);
        }
    });
    lines
}
