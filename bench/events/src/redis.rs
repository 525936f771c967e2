//! Redis Streams: a server that is started here, and just as much of its protocol as is needed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::{DATA, PAGE};

const STREAM: &[u8] = b"order.created";

pub(crate) struct Server {
    /// Killed when this is dropped.
    _child: Child,
    port: u16,
}

impl Server {
    pub(crate) async fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir(folder)?;
        let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
        let child = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
            .arg(folder)
            .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let server = Self { _child: child, port };
        for _ in 0..100 {
            if server.connect().await.is_ok() {
                return Ok(server);
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("redis-server does not answer");
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Connection(BufReader::new(stream)))
    }

    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        let Reply::Text(info) = self.connect().await?.call(&[b"INFO", b"server"]).await? else { bail!("no info") };
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?");
        Ok(format!("Redis {version}"))
    }

    /// Durable publishes per second.
    pub(crate) async fn publish(&self, publishers: usize, span: Duration) -> anyhow::Result<f64> {
        let mut connections = Vec::new();
        for _ in 0..publishers {
            connections.push(self.connect().await?);
        }
        let start = Instant::now();
        let tasks: Vec<_> = connections
            .into_iter()
            .map(|mut connection| {
                tokio::spawn(async move {
                    let data = vec![b'x'; DATA];
                    let command: [&[u8]; 13] = [
                        b"XADD",
                        STREAM,
                        b"*",
                        b"source",
                        b"/services/orders",
                        b"type",
                        b"order.created",
                        b"time",
                        b"2026-01-01T00:00:00Z",
                        b"datacontenttype",
                        b"application/json",
                        b"data",
                        &data,
                    ];
                    let mut done = 0_u64;
                    while start.elapsed() < span {
                        ensure!(matches!(connection.call(&command).await?, Reply::Text(_)), "no id");
                        done += 1;
                    }
                    Ok(done)
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await??;
        }
        Ok(sum as f64 / start.elapsed().as_secs_f64())
    }

    /// Entries per second that a new consumer group reads and acknowledges.
    pub(crate) async fn deliver(&self, round: u32, span: Duration) -> anyhow::Result<f64> {
        let mut connection = self.connect().await?;
        let (group, page) = (round.to_string(), PAGE.to_string());
        let (group, page) = (group.as_bytes(), page.as_bytes());
        connection.call(&[b"XGROUP", b"CREATE", STREAM, group, b"0"]).await?;
        let read: [&[u8]; 9] = [b"XREADGROUP", b"GROUP", group, b"c", b"COUNT", page, b"STREAMS", STREAM, b">"];
        let start = Instant::now();
        let mut sum = 0;
        while start.elapsed() < span {
            // [[stream, [[id, fields], …]]]
            let Reply::List(mut streams) = connection.call(&read).await? else { break };
            let Some(Reply::List(mut stream)) = streams.pop() else { break };
            let Some(Reply::List(entries)) = stream.pop() else { break };
            let ids: Vec<String> = entries
                .into_iter()
                .filter_map(|entry| match entry {
                    Reply::List(entry) => match entry.into_iter().next() {
                        Some(Reply::Text(id)) => Some(id),
                        _ => None,
                    },
                    _ => None,
                })
                .collect();
            let mut acknowledge: Vec<&[u8]> = vec![b"XACK", STREAM, group];
            acknowledge.extend(ids.iter().map(String::as_bytes));
            connection.call(&acknowledge).await?;
            sum += ids.len();
        }
        Ok(sum as f64 / start.elapsed().as_secs_f64())
    }
}

struct Connection(BufReader<TcpStream>);

#[derive(Debug)]
enum Reply {
    Nothing,
    Text(String),
    List(Vec<Reply>),
}

impl Connection {
    async fn call(&mut self, words: &[&[u8]]) -> anyhow::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&request).await?;
        self.reply().await
    }

    async fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let line = line.trim_end();
        let (kind, rest) = line.split_at_checked(1).context("the connection is closed")?;
        Ok(match kind {
            "+" | ":" => Reply::Text(rest.to_owned()),
            "$" if rest == "-1" => Reply::Nothing,
            "*" if rest == "-1" => Reply::Nothing,
            "$" => {
                let mut text = vec![0; rest.parse::<usize>()? + 2];
                self.0.read_exact(&mut text).await?;
                text.truncate(text.len() - 2);
                Reply::Text(String::from_utf8(text)?)
            }
            "*" => {
                let mut list = Vec::new();
                for _ in 0..rest.parse::<usize>()? {
                    list.push(Box::pin(self.reply()).await?);
                }
                Reply::List(list)
            }
            _ => bail!("redis-server says {line}"),
        })
    }
}
