//! A server that stands for an instance of a service: it does what a script says, and remembers what it was asked.
//!
//! HTTP/1.1 is written by hand, because tests want what no library does: to close in the middle, to reset, to hang.
//! [`Upstream::with_hyper`] is for what a library does better, HTTP/2 and TLS.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use http::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// As much of a request's body is remembered.
const REMEMBERED: usize = 64 << 10;
const PIECE: usize = 64 << 10;

/// See the module header. Ends when dropped, with all its connections.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct Shared {
    script: RwLock<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// How many came before it, health checks not counted.
    pub number: usize,
    /// Which connection it came by, from 0.
    pub connection: usize,
    /// When its head was complete.
    pub at: Instant,
    /// As it was written.
    pub method: String,
    /// As it was written.
    pub target: String,
    /// By lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The first 64 KiB of the body; not there yet for the script.
    pub body: Vec<u8>,
    /// Bytes of the body so far.
    pub body_bytes: u64,
}

/// What a request gets.
#[derive(Debug, Clone)]
pub struct Reply {
    after: Duration,
    what: What,
    closing: bool,
}

#[derive(Debug, Clone)]
enum What {
    Answer { status: u16, headers: String, body: String },
    Echo,
    Stream { bytes: u64 },
    Part { bytes: u64 },
    Events { count: usize, gap: Duration },
    WebSocket,
    Reset,
    Close,
    Hang,
}

impl Reply {
    fn of(what: What) -> Self {
        Self { after: Duration::ZERO, what, closing: false }
    }

    /// 200 with this text.
    pub fn text(text: &str) -> Self {
        Self::of(What::Answer { status: 200, headers: String::new(), body: text.to_owned() })
    }

    /// This status, which is the body too.
    pub fn status(status: u16) -> Self {
        let body = if matches!(status, 204 | 304) { String::new() } else { status.to_string() };
        Self::of(What::Answer { status, headers: String::new(), body })
    }

    /// 200 with the request's body, as it comes.
    pub fn echo() -> Self {
        Self::of(What::Echo)
    }

    /// 200 with so many bytes.
    pub fn stream(bytes: u64) -> Self {
        Self::of(What::Stream { bytes })
    }

    /// 200 with so many bytes and nothing more, though more are promised.
    pub fn part(bytes: u64) -> Self {
        Self::of(What::Part { bytes })
    }

    /// Server-sent events.
    pub fn events(count: usize, gap: Duration) -> Self {
        Self::of(What::Events { count, gap })
    }

    /// 101, and from then on what comes goes back.
    pub fn web_socket() -> Self {
        Self::of(What::WebSocket)
    }

    /// The connection is reset.
    pub fn reset() -> Self {
        Self::of(What::Reset)
    }

    /// The connection ends without an answer.
    pub fn close() -> Self {
        Self::of(What::Close)
    }

    /// Nothing ever comes.
    pub fn hang() -> Self {
        Self::of(What::Hang)
    }

    /// Not before this time is over.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// The connection ends after it.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.closing = true;
        self
    }

    /// Another header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let What::Answer { headers, .. } = &mut self.what {
            let _ = write!(headers, "{name}: {value}\r\n");
        }
        self
    }
}

impl Upstream {
    /// Does what the script says.
    pub async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(Arc::new(script)));
        let for_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&for_task);
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(async move {
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    // Whoever leaves in the middle does so on purpose.
                    let _ = serve(&shared, number, socket).await;
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, shared, task }
    }

    /// Answers 200 with its name.
    pub async fn named(name: &str) -> Self {
        let name = name.to_owned();
        Self::start(move |_| Reply::text(&name)).await
    }

    /// A server made of hyper: HTTP/1.1, HTTP/2 with prior knowledge and, with this, TLS. Its answer is the version and
    /// the authority that it was asked for.
    pub async fn with_hyper(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(Arc::new(|_| Reply::status(200))));
        let for_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                for_task.connections.fetch_add(1, Ordering::SeqCst);
                let tls = tls.clone();
                connections.spawn(async move {
                    let service = service_fn(async |request: http::Request<hyper::body::Incoming>| {
                        let authority = request.uri().authority().map(ToString::to_string);
                        let host = request.headers().get("host").and_then(|host| host.to_str().ok());
                        let host = authority.as_deref().or(host).unwrap_or_default();
                        Ok::<_, Infallible>(Response::new(format!("{:?} {host}", request.version())))
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A client that leaves is no failure of the test.
                    if let Some(tls) = tls {
                        let Ok(stream) = tls.accept(socket).await else { return };
                        let _ = server.serve_connection(TokioIo::new(stream), service).await;
                    } else {
                        let _ = server.serve_connection(TokioIo::new(socket), service).await;
                    }
                });
            }
        });
        Self { address, shared, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does something else from now on.
    pub fn script(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *self.shared.script.write().unwrap() = Arc::new(script);
    }

    /// The requests so far, without health checks.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().iter().filter(|seen| !seen.is_check()).cloned().collect()
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|seen| !seen.is_check()).count()
    }

    /// How many health checks there were.
    pub fn checks(&self) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|seen| seen.is_check()).count()
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// A header's value, empty if it did not come.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Whether the gateway asks on its own account.
    pub fn is_check(&self) -> bool {
        self.header("user-agent") == "wharf-health"
    }
}

impl Shared {
    fn new(script: Script) -> Self {
        Self {
            script: RwLock::new(script),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
        }
    }

    /// Remembers a request; its place among all.
    fn remember(&self, mut request: Seen) -> (usize, Seen) {
        let mut seen = self.seen.lock().unwrap();
        request.number = seen.iter().filter(|seen| !seen.is_check()).count();
        seen.push(request.clone());
        (seen.len() - 1, request)
    }

    fn got(&self, place: usize, bytes: &[u8]) {
        let seen = &mut self.seen.lock().unwrap()[place];
        seen.body_bytes += bytes.len() as u64;
        let room = REMEMBERED.saturating_sub(seen.body.len()).min(bytes.len());
        seen.body.extend_from_slice(&bytes[..room]);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

type Socket = BufReader<TcpStream>;

async fn serve(shared: &Shared, connection: usize, socket: TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut socket = BufReader::with_capacity(PIECE, socket);
    while let Some(request) = head(&mut socket, connection).await? {
        let (place, request) = shared.remember(request);
        let script = Arc::clone(&shared.script.read().unwrap());
        let reply = script(&request);
        let mut body = Body::of(&request);
        if !matches!(reply.what, What::Echo) {
            while let Some(piece) = body.next(&mut socket).await? {
                shared.got(place, &piece);
            }
        }
        if !reply.after.is_zero() {
            tokio::time::sleep(reply.after).await;
        }
        if !answer(shared, place, &mut socket, &mut body, &reply).await? {
            return Ok(());
        }
    }
    Ok(())
}

async fn head(socket: &mut Socket, connection: usize) -> std::io::Result<Option<Seen>> {
    let mut first = String::new();
    if socket.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    let at = Instant::now();
    Ok(Some(Seen { number: 0, connection, at, method, target, headers, body: Vec::new(), body_bytes: 0 }))
}

enum Body {
    Left(u64),
    Chunked,
}

impl Body {
    fn of(request: &Seen) -> Self {
        if request.headers.contains_key("transfer-encoding") {
            return Self::Chunked;
        }
        Self::Left(request.header("content-length").parse().unwrap_or(0))
    }

    async fn next(&mut self, socket: &mut Socket) -> std::io::Result<Option<Vec<u8>>> {
        match self {
            Self::Left(0) => Ok(None),
            Self::Left(left) => {
                let mut piece = vec![0; PIECE.min(usize::try_from(*left).unwrap_or(PIECE))];
                let read = socket.read(&mut piece).await?;
                if read == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                piece.truncate(read);
                *left -= read as u64;
                Ok(Some(piece))
            }
            Self::Chunked => {
                let mut size = String::new();
                socket.read_line(&mut size).await?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(std::io::Error::other)?;
                let mut piece = vec![0; size + 2];
                socket.read_exact(&mut piece).await?;
                piece.truncate(size);
                if size == 0 {
                    *self = Self::Left(0);
                    return Ok(None);
                }
                Ok(Some(piece))
            }
        }
    }
}

/// Whether there may be another request.
async fn answer(
    shared: &Shared,
    place: usize,
    socket: &mut Socket,
    body: &mut Body,
    reply: &Reply,
) -> std::io::Result<bool> {
    let closing = if reply.closing { "connection: close\r\n" } else { "" };
    let ok = |more: &str| format!("HTTP/1.1 200 OK\r\n{closing}{more}\r\n").into_bytes();
    match &reply.what {
        What::Answer { status, headers, body } => {
            let length = body.len();
            let length =
                if matches!(status, 204 | 304) { String::new() } else { format!("content-length: {length}\r\n") };
            let is_head = shared.seen.lock().unwrap()[place].method == "HEAD";
            let body = if is_head { "" } else { body };
            let answer = format!("HTTP/1.1 {status} As-Asked\r\n{closing}{length}{headers}\r\n{body}");
            socket.write_all(answer.as_bytes()).await?;
        }
        What::Echo => {
            socket.write_all(&ok("transfer-encoding: chunked\r\n")).await?;
            while let Some(piece) = body.next(socket).await? {
                shared.got(place, &piece);
                socket.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                socket.write_all(&piece).await?;
                socket.write_all(b"\r\n").await?;
            }
            socket.write_all(b"0\r\n\r\n").await?;
        }
        What::Stream { bytes } => {
            socket.write_all(&ok(&format!("content-length: {bytes}\r\n"))).await?;
            let piece = vec![b'.'; PIECE];
            let mut left = *bytes;
            while left > 0 {
                let length = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
                socket.write_all(&piece[..length]).await?;
                left -= length as u64;
            }
        }
        What::Part { bytes } => {
            socket.write_all(&ok(&format!("content-length: {}\r\n", bytes + 1000))).await?;
            socket.write_all(&vec![b'.'; usize::try_from(*bytes).unwrap_or(0)]).await?;
            gone(socket).await?;
            return Ok(false);
        }
        What::Events { count, gap } => {
            socket.write_all(&ok("content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n")).await?;
            for number in 0..*count {
                let event = format!("data: {number}\n\n");
                socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
                tokio::time::sleep(*gap).await;
            }
            socket.write_all(b"0\r\n\r\n").await?;
        }
        What::WebSocket => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                        sec-websocket-accept: as-asked\r\n\r\n";
            socket.write_all(head.as_bytes()).await?;
            let mut piece = [0; 4096];
            loop {
                let read = socket.read(&mut piece).await?;
                if read == 0 {
                    return Ok(false);
                }
                socket.write_all(&piece[..read]).await?;
            }
        }
        What::Reset => {
            socket.get_ref().set_zero_linger()?;
            return Ok(false);
        }
        What::Close => return Ok(false),
        What::Hang => {
            gone(socket).await?;
            return Ok(false);
        }
    }
    Ok(!reply.closing)
}

/// Waits until the other side has left.
async fn gone(socket: &mut Socket) -> std::io::Result<()> {
    let mut ignored = [0; 1024];
    while socket.read(&mut ignored).await? > 0 {}
    Ok(())
}
