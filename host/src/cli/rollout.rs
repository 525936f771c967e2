//! `wharf rollout` and `wharf rollback`: shows and steers the rollouts of a running host.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Uri};

use super::admin::{self, NoAnswer};
use crate::RolloutList;
pub use crate::registry::Order;
use crate::registry::{CandidateRecord, RolloutRecord, RolloutWord, TrafficRecord, VersionName};

/// How often `--watch` looks.
const LOOK: Duration = Duration::from_millis(500);
/// Decisions that are shown of one rollout.
const SHOWN: usize = 10;

/// Why it was not done or not shown.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// Nobody listens, or it is not Wharf.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The host does not do it, and says why.
    #[error("{0}")]
    Refused(String),
    /// Printing failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Prints all rollouts, or the one with this name in detail.
///
/// # Errors
/// When nobody answers, there is no such rollout, or `out` cannot be written to.
pub async fn status(
    address: SocketAddr,
    name: Option<&str>,
    json: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), RolloutError> {
    let path = name.map_or_else(|| "/api/rollouts".to_owned(), |name| format!("/api/rollouts/{name}"));
    let body = ask(address, Method::GET, &path).await?;
    if json {
        out.write_all(&body)?;
        return Ok(writeln!(out)?);
    }
    match name {
        Some(_) => {
            let record: RolloutRecord = serde_json::from_slice(&body).map_err(unreadable(address))?;
            table(std::slice::from_ref(&record), out)?;
            Ok(details(&record, out)?)
        }
        None => {
            let list: RolloutList = serde_json::from_slice(&body).map_err(unreadable(address))?;
            Ok(table(&list.rollouts, out)?)
        }
    }
}

/// Prints each step of a trial until it is over. Whether the candidate serves then; true if there was no trial.
///
/// # Errors
/// When nobody answers (any more), there is no such rollout, or `out` cannot be written to.
pub async fn watch(address: SocketAddr, name: &str, out: &mut (dyn Write + Send)) -> Result<bool, RolloutError> {
    let path = format!("/api/rollouts/{name}");
    let (mut on_trial, mut percent) = (false, None);
    loop {
        let body = ask(address, Method::GET, &path).await?;
        let record: RolloutRecord = serde_json::from_slice(&body).map_err(unreadable(address))?;
        let Some(candidate) = &record.candidate else {
            let Some(last) = record.history.first().filter(|_| on_trial) else {
                writeln!(out, "no canary of {name} is running")?;
                return Ok(true);
            };
            writeln!(out, "{}: {} ({})", last.version, last.what.as_str(), last.why)?;
            return Ok(matches!(last.what, RolloutWord::Promoted | RolloutWord::Serving));
        };
        if percent != Some((candidate.version.clone(), candidate.percent)) {
            writeln!(out, "{}: {} % of the requests", candidate.version.label, candidate.percent)?;
            percent = Some((candidate.version.clone(), candidate.percent));
        }
        on_trial = true;
        tokio::time::sleep(LOOK).await;
    }
}

/// Has the host do this, and prints what it came to.
///
/// # Errors
/// When nobody answers, the host refuses, or `out` cannot be written to.
pub async fn order(
    address: SocketAddr,
    name: &str,
    order: Order,
    json: bool,
    out: &mut (dyn Write + Send),
) -> Result<(), RolloutError> {
    let body = ask(address, Method::POST, &format!("/api/rollouts/{name}/{}", order.as_str())).await?;
    if json {
        out.write_all(&body)?;
        return Ok(writeln!(out)?);
    }
    let record: RolloutRecord = serde_json::from_slice(&body).map_err(unreadable(address))?;
    if let Some(last) = record.history.first() {
        writeln!(out, "{}: {} {} ({})", record.name, last.version, last.what.as_str(), last.why)?;
    }
    Ok(writeln!(out, "{}: {} serves", record.name, label(record.stable.as_ref()))?)
}

async fn ask(address: SocketAddr, method: Method, path: &str) -> Result<Bytes, RolloutError> {
    // A name that is none.
    if path.parse::<Uri>().is_err() {
        return Err(RolloutError::Refused("this is no name of a service".to_owned()));
    }
    let (status, body) = admin::ask(address, method, path).await?;
    if status.is_success() {
        return Ok(body);
    }
    Err(RolloutError::Refused(String::from_utf8_lossy(&body).trim_end().to_owned()))
}

/// For an answer that is none of this program's.
fn unreadable(address: SocketAddr) -> impl Fn(serde_json::Error) -> RolloutError {
    move |error| NoAnswer { address, cause: error.to_string() }.into()
}

fn label(version: Option<&VersionName>) -> &str {
    version.map_or("-", |version| &version.label)
}

fn table(rollouts: &[RolloutRecord], out: &mut dyn Write) -> io::Result<()> {
    if rollouts.is_empty() {
        return writeln!(out, "no services: drop a component into the plugins folder");
    }
    let mut rows = vec![["SERVICE", "SERVING", "CANARY", "SHARE", "RETAINED"].map(str::to_owned)];
    for rollout in rollouts {
        let candidate = rollout.candidate.as_ref();
        let retained: Vec<_> = rollout.retained.iter().map(|version| version.label.as_str()).collect();
        rows.push([
            rollout.name.clone(),
            label(rollout.stable.as_ref()).to_owned(),
            label(candidate.map(|candidate| &candidate.version)).to_owned(),
            candidate.map_or_else(|| "-".to_owned(), |candidate| format!("{} %", candidate.percent)),
            if retained.is_empty() { "-".to_owned() } else { retained.join(", ") },
        ]);
    }
    align(&rows, "", out)?;
    for rollout in rollouts {
        if let Some(reason) = &rollout.rejected {
            writeln!(out, "\nwhat {} contains does not serve: {reason}", rollout.file)?;
        }
    }
    Ok(())
}

fn details(rollout: &RolloutRecord, out: &mut dyn Write) -> io::Result<()> {
    if let Some(candidate) = &rollout.candidate {
        let CandidateRecord { version, percent, seconds, waiting, .. } = candidate;
        let waiting = waiting.as_ref().map(|what| format!(", waits for {what}")).unwrap_or_default();
        writeln!(out, "\n{} gets {percent} % of the requests for {seconds} s{waiting}", version.label)?;
        let row = |name: &str, traffic: &TrafficRecord| {
            let p99 = traffic.p99_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
            [name.to_owned(), traffic.requests.to_string(), traffic.failures.to_string(), p99]
        };
        let head = ["IN THIS STEP", "REQUESTS", "FAILURES", "P99"].map(str::to_owned);
        let stable = label(rollout.stable.as_ref());
        let rows = [head, row(&version.label, &candidate.candidate), row(stable, &candidate.stable)];
        align(&rows, "  ", out)?;
    }
    if !rollout.history.is_empty() {
        writeln!(out, "\nlast decisions")?;
    }
    let rows: Vec<_> = rollout
        .history
        .iter()
        .take(SHOWN)
        .map(|event| {
            let at = event.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
            [at, event.version.clone(), event.what.as_str().to_owned(), event.why.clone()]
        })
        .collect();
    align(&rows, "  ", out)
}

pub(super) fn align(rows: &[impl AsRef<[String]>], indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<&[String]> = rows.iter().map(AsRef::as_ref).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..).map_while(width).collect();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{indent}{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::RolloutEvent;

    fn version(label: &str) -> VersionName {
        VersionName { label: label.to_owned(), digest: "00".to_owned() }
    }

    fn record() -> RolloutRecord {
        let traffic = |failures, p99_ms| TrafficRecord { requests: 200, failures, p99_ms };
        RolloutRecord {
            name: "orders".to_owned(),
            file: "orders.wasm".to_owned(),
            stable: Some(version("1.2.0")),
            candidate: Some(CandidateRecord {
                version: version("1.3.0"),
                percent: 25,
                seconds: 12,
                waiting: Some("18 s of the interval".to_owned()),
                candidate: traffic(1, Some(12.25)),
                stable: traffic(0, None),
            }),
            retained: vec![version("1.1.0"), version("1.0.0")],
            rejected: None,
            history: vec![RolloutEvent {
                at: jiff::Timestamp::from_second(0).unwrap(),
                what: RolloutWord::Canary,
                version: "1.3.0".to_owned(),
                why: "gets 5 % of the requests".to_owned(),
            }],
        }
    }

    fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_trial_is_shown_with_numbers_and_what_it_waits_for() {
        let expected = "\
SERVICE  SERVING  CANARY  SHARE  RETAINED
orders   1.2.0    1.3.0   25 %   1.1.0, 1.0.0

1.3.0 gets 25 % of the requests for 12 s, waits for 18 s of the interval
  IN THIS STEP  REQUESTS  FAILURES  P99
  1.3.0         200       1         12.2 ms
  1.2.0         200       0         -

last decisions
  1970-01-01 00:00:00Z  1.3.0  canary  gets 5 % of the requests
";
        let record = record();
        let text = printed(|out| {
            table(std::slice::from_ref(&record), out)?;
            details(&record, out)
        });
        assert_eq!(text, expected);
    }

    #[test]
    fn a_service_without_a_trial_is_one_line_and_the_reason_why_its_file_does_not_serve() {
        let rejected = Some("rolled back: error rate 12.0 % against 0.3 % (6 of 50 requests)".to_owned());
        let record = RolloutRecord { candidate: None, retained: Vec::new(), rejected, ..record() };
        let expected = "\
SERVICE  SERVING  CANARY  SHARE  RETAINED
orders   1.2.0    -       -      -

what orders.wasm contains does not serve: rolled back: error rate 12.0 % against 0.3 % (6 of 50 requests)
";
        assert_eq!(printed(|out| table(&[record], out)), expected);
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = order(free, "orders", Order::Promote, false, &mut Vec::new()).await.unwrap_err().to_string();
        assert!(error.contains(&free.to_string()) && error.contains("wharf serve"), "{error}");
    }
}
