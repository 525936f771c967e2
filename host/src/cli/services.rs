//! `wharf services`: asks a running host what it serves.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;

use crate::ServiceList;
use crate::registry::VersionState;

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// Nobody listens, or it is not Wharf.
    #[error(
        "no running host answers on the admin address {address}: {cause} (is `wharf serve` running? \
             another address is given by --admin)"
    )]
    NoAnswer {
        /// Where we asked.
        address: SocketAddr,
        /// What happened.
        cause: String,
    },
    /// Printing failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Prints the services of the host whose admin listener is at `address`.
///
/// # Errors
/// When nobody answers there or `out` cannot be written to.
pub async fn run(address: SocketAddr, json: bool, out: &mut (dyn Write + Send)) -> Result<(), ServicesError> {
    let no_answer = |cause: String| ServicesError::NoAnswer { address, cause };
    let body = tokio::time::timeout(TIMEOUT, ask(address))
        .await
        .map_err(|_elapsed| no_answer("no answer in 5 s".to_owned()))?
        .map_err(|error| no_answer(error.to_string()))?;
    if json {
        out.write_all(&body)?;
        return Ok(writeln!(out)?);
    }
    let list: ServiceList = serde_json::from_slice(&body).map_err(|error| no_answer(error.to_string()))?;
    Ok(print(&list, Timestamp::now(), out)?)
}

async fn ask(address: SocketAddr) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let request = Request::get(format!("http://{address}/api/services"))
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let response = Client::builder(TokioExecutor::new()).build_http().request(request).await.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string())
    })?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("it answers {status}").into());
    }
    Ok(Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes())
}

fn print(list: &ServiceList, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    if list.services.is_empty() && list.refused.is_empty() {
        return writeln!(out, "no services: drop a component into the plugins folder");
    }
    let mut rows = vec![["SERVICE", "VERSION", "STATE", "SINCE", "HTTP", "SIZE", "FILE"].map(str::to_owned)];
    let mut reasons = Vec::new();
    for service in &list.services {
        for version in &service.versions {
            if let VersionState::Rejected(reason) = &version.state {
                reasons.push((&version.file, reason));
            }
            rows.push([
                service.name.clone(),
                or_dash(&version.label),
                version.state.word().to_owned(),
                ago(now, version.since),
                or_dash(&version.http),
                format!("{} KiB", version.size.div_ceil(1024)),
                version.file.clone(),
            ]);
        }
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..7).map(width).collect();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    for (file, reason) in reasons {
        writeln!(out, "\n{file} is rejected: {reason}")?;
    }
    for refused in &list.refused {
        writeln!(out, "\n{} is no service: {}", refused.file, refused.reason)?;
    }
    Ok(())
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

fn ago(now: Timestamp, since: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{RefusedFile, ServiceRecord, VersionRecord};

    #[test]
    fn the_table_shows_states_and_reasons() {
        let version = |digest: &str, state| VersionRecord {
            label: "1.0.0".to_owned(),
            digest: digest.to_owned(),
            file: "orders.wasm".to_owned(),
            size: 100_000,
            http: "0.2".to_owned(),
            state,
            since: Timestamp::from_second(1000).unwrap(),
        };
        let rejected = VersionState::Rejected("it is a core module".to_owned());
        let list = ServiceList {
            services: vec![ServiceRecord {
                name: "orders".to_owned(),
                versions: vec![version("a", VersionState::Serving), version("b", rejected)],
            }],
            refused: vec![RefusedFile { file: "Bad Name.wasm".to_owned(), reason: "no name".to_owned() }],
        };
        let mut out = Vec::new();
        print(&list, Timestamp::from_second(1090).unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
SERVICE  VERSION  STATE     SINCE  HTTP  SIZE    FILE
orders   1.0.0    serving   1m     0.2   98 KiB  orders.wasm
orders   1.0.0    rejected  1m     0.2   98 KiB  orders.wasm

orders.wasm is rejected: it is a core module

Bad Name.wasm is no service: no name
";
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = run(free, false, &mut Vec::new()).await.unwrap_err().to_string();
        assert!(error.contains(&free.to_string()) && error.contains("wharf serve"), "{error}");
    }
}
