//! The limit: hyper answering every request with the same bytes that the service answers, and nothing in between. Or,
//! with `--points`, with what rusqlite reads from a table.
//!
//! Same HTTP library, runtime, allocator and build settings as Wharf, so that what is left between the two is what a
//! gateway and a sandbox cost. Prints the address it listens on and serves until it is killed.

use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rusqlite::Connection;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Answers every request with one file.
#[derive(Parser)]
struct Cli {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// File with the body
    #[arg(long, required_unless_present = "points")]
    body: Option<PathBuf>,
    /// Instead of a file: reads so many rows by key for each request, and answers their sum
    #[arg(long, requires = "database")]
    points: Option<i64>,
    /// The file of the database that they are in; made anew
    #[arg(long)]
    database: Option<PathBuf>,
    /// Its type
    #[arg(long)]
    content_type: HeaderValue,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let answer = match (cli.points, cli.database, cli.body) {
        (Some(points), Some(database), _) => Answer::Points(Arc::new(Points::make(database, points)?)),
        (_, _, Some(body)) => {
            Answer::Body(Bytes::from(std::fs::read(&body).with_context(|| format!("cannot read {}", body.display()))?))
        }
        _ => anyhow::bail!("give --body, or --points and --database"),
    };
    tokio::runtime::Builder::new_multi_thread().enable_io().build()?.block_on(serve(
        cli.listen,
        answer,
        cli.content_type,
    ))
}

/// What every request is answered with.
#[derive(Clone)]
enum Answer {
    Body(Bytes),
    Points(Arc<Points>),
}

/// Rows that are read by key.
struct Points {
    database: PathBuf,
    count: i64,
}

thread_local! {
    static CONNECTION: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

impl Points {
    /// The same table as the service has.
    fn make(database: PathBuf, count: i64) -> anyhow::Result<Self> {
        let connection = Connection::open(&database)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.execute_batch(
            "DROP TABLE IF EXISTS accounts;
             CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
             INSERT INTO accounts WITH RECURSIVE n (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM n LIMIT 10)
             SELECT id, 1000 FROM n;",
        )?;
        Ok(Self { database, count })
    }

    fn read(&self) -> rusqlite::Result<Bytes> {
        CONNECTION.with_borrow_mut(|connection| {
            let connection = match connection {
                Some(connection) => connection,
                None => connection.insert(Connection::open(&self.database)?),
            };
            let mut sum = 0_i64;
            for id in 0..self.count {
                let mut statement = connection.prepare_cached("SELECT balance FROM accounts WHERE id = ?1")?;
                sum += statement.query_row([id % 10], |row| row.get::<_, i64>(0))?;
            }
            Ok(Bytes::from(sum.to_string()))
        })
    }
}

impl Answer {
    fn give(&self) -> rusqlite::Result<Bytes> {
        match self {
            Self::Body(body) => Ok(body.clone()),
            Self::Points(points) => points.read(),
        }
    }
}

async fn serve(listen: SocketAddr, answer: Answer, content_type: HeaderValue) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (answer, content_type) = (answer.clone(), content_type.clone());
        let service = service_fn(move |_| {
            let response = answer.give().map(|body| {
                let mut response = Response::new(Full::new(body));
                response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
                response
            });
            std::future::ready(response)
        });
        // A connection that breaks is the client's business.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
    }
}
