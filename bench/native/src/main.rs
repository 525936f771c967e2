//! The limit: hyper answering every request with the same bytes that the service answers, and nothing in between.
//!
//! Same HTTP library, runtime, allocator and build settings as Wharf, so that what is left between the two is what a
//! gateway and a sandbox cost. Prints the address it listens on and serves until it is killed.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use bytes::Bytes;
use clap::Parser;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
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
    #[arg(long)]
    body: PathBuf,
    /// Its type
    #[arg(long)]
    content_type: HeaderValue,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let body = Bytes::from(std::fs::read(&cli.body).with_context(|| format!("cannot read {}", cli.body.display()))?);
    tokio::runtime::Builder::new_multi_thread().enable_io().build()?.block_on(serve(cli.listen, body, cli.content_type))
}

async fn serve(listen: SocketAddr, body: Bytes, content_type: HeaderValue) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (body, content_type) = (body.clone(), content_type.clone());
        let service = service_fn(move |_| {
            let mut response = Response::new(Full::new(body.clone()));
            response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
            std::future::ready(Ok::<_, Infallible>(response))
        });
        // A connection that breaks is the client's business.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
    }
}
