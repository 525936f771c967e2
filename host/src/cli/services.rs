//! `wharf services`: asks a running host what it serves.

mod watch;

use std::io::{self, Write};
use std::net::SocketAddr;

use http::Method;
use jiff::Timestamp;

use super::admin::{self, NoAnswer};
use crate::ServiceList;
use crate::registry::{BreakerRecord, BreakerStateWord, Health, InstanceRecord, ServiceRecord, VersionState};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// Nobody listens, or it is not Wharf.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// Printing failed.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Prints the services of the host whose admin listener is at `address`.
///
/// # Errors
/// When nobody answers there or `out` cannot be written to.
pub async fn run(address: SocketAddr, json: bool, out: &mut (dyn Write + Send)) -> Result<(), ServicesError> {
    let no_answer = |cause: String| NoAnswer { address, cause };
    let (status, body) = admin::ask(address, Method::GET, "/api/services").await?;
    if !status.is_success() {
        return Err(no_answer(format!("it answers {status}")).into());
    }
    if json {
        out.write_all(&body)?;
        return Ok(writeln!(out)?);
    }
    let list: ServiceList = serde_json::from_slice(&body).map_err(|error| no_answer(error.to_string()))?;
    Ok(print(&list, Timestamp::now(), out)?)
}

/// Prints the services, and then every change until the host ends.
///
/// # Errors
/// When nobody answers there, the host breaks off, or `out` cannot be written to.
pub async fn watch(address: SocketAddr, json: bool, out: &mut (dyn Write + Send)) -> Result<(), ServicesError> {
    let body = admin::follow(address, "/api/watch").await?;
    Ok(watch::follow(body, json, out).await?)
}

fn print(list: &ServiceList, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    if list.services.is_empty() && list.refused.is_empty() {
        return writeln!(out, "no services: drop a component into the plugins folder");
    }
    let mut rows = vec![["SERVICE", "VERSION", "STATE", "SINCE", "HTTP", "SIZE", "FILE"].map(str::to_owned)];
    let mut notes = Vec::new();
    let mut reasons = Vec::new();
    for service in &list.services {
        for version in &service.versions {
            if let VersionState::Rejected(reason) = &version.state {
                reasons.push((&version.file, reason));
            }
            notes.extend(version.notes.iter().map(|note| (&version.file, note)));
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
    let has_versions = rows.len() > 1;
    if has_versions {
        table(&rows, out)?;
    }
    instances(&list.services, has_versions, now, out)?;
    for service in &list.services {
        service.breakers.iter().try_for_each(|breaker| told_of_breaker(&service.name, breaker, now, out))?;
    }
    // One block, with a blank line before it: they are many and short.
    for (index, service) in list.services.iter().filter(|service| !service.tags.is_empty()).enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        writeln!(out, "{gap}{} is tagged {}", service.name, service.tags.join(", "))?;
    }
    for (file, reason) in reasons {
        writeln!(out, "\n{file} is rejected: {reason}")?;
    }
    for (file, note) in notes {
        writeln!(out, "\n{file}: {note}")?;
    }
    for refused in &list.refused {
        writeln!(out, "\n{} is no service: {}", refused.file, refused.reason)?;
    }
    Ok(())
}

/// Instances elsewhere, and those here that are not as their version's state says.
fn instances(services: &[ServiceRecord], below: bool, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let is_told = |instance: &&InstanceRecord| {
        instance.url.is_some() || !matches!(instance.health, Health::Healthy | Health::Stopping)
    };
    let mut rows =
        vec![["INSTANCE", "SERVICE", "VERSION", "HEALTH", "SINCE", "WEIGHT", "TAGS", "AT"].map(str::to_owned)];
    let mut reasons = Vec::new();
    for instance in services.iter().flat_map(|service| &service.instances).filter(is_told) {
        if let Some(reason) = instance.health.reason() {
            reasons.push((&instance.id, instance.health.word(), reason));
        }
        rows.push([
            instance.id.clone(),
            instance.service.clone(),
            or_dash(instance.version.as_deref().unwrap_or_default()),
            instance.health.word().to_owned(),
            ago(now, instance.since),
            instance.weight.to_string(),
            or_dash(&instance.tags.join(",")),
            instance.url.as_ref().map_or("here".to_owned(), ToString::to_string),
        ]);
    }
    if rows.len() > 1 {
        if below {
            writeln!(out)?;
        }
        table(&rows, out)?;
    }
    for (id, word, reason) in reasons {
        writeln!(out, "\n{id} is {word}: {reason}")?;
    }
    Ok(())
}

/// A circuit breaker that is not closed.
fn told_of_breaker(service: &str, breaker: &BreakerRecord, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    if breaker.state == BreakerStateWord::Closed {
        return Ok(());
    }
    let version = breaker.version.as_deref().map(|version| format!("@{version}")).unwrap_or_default();
    let since = ago(now, breaker.since);
    write!(out, "\n{service}{version}: the circuit breaker is {} for {since}", breaker.state.shown())?;
    if let Some(left) = breaker.half_open_in {
        write!(out, ", half open in {left}")?;
    }
    writeln!(out, "{}", breaker.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())
}

fn table<const N: usize>(rows: &[[String; N]], out: &mut dyn Write) -> io::Result<()> {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
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
    use crate::registry::{RefusedFile, Registration, Registry, ServiceRecord, VersionRecord};

    #[test]
    fn the_table_shows_states_and_reasons() {
        let version = |digest: &str, state: VersionState| VersionRecord {
            notes: Vec::from_iter((state == VersionState::Serving).then(|| "it breaks clients of 0.9.0".to_owned())),
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
                ..ServiceRecord::default()
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

orders.wasm: it breaks clients of 0.9.0

Bad Name.wasm is no service: no name
";
        assert_eq!(text, expected);
    }

    #[tokio::test]
    async fn instances_elsewhere_have_a_table_of_their_own() {
        let registry = Registry::default();
        let instance = Registration {
            id: Some("b".to_owned()),
            service: "orders".to_owned(),
            url: "http://127.0.0.1:9001".parse().unwrap(),
            protocol: crate::config::Protocol::Auto,
            version: None,
            weight: 1,
            tags: vec!["eu".to_owned(), "fast".to_owned()],
            metadata: std::collections::BTreeMap::new(),
            check: None,
            ttl: None,
        };
        registry.register(instance).unwrap();
        registry.heartbeat("orders", "b", Health::Degraded("its disk is slow".to_owned())).unwrap();
        let mut services = registry.services();
        services[0].tags = vec!["commerce".to_owned()];
        let more = ServiceRecord { name: "pricing".to_owned(), instances: Vec::new(), ..services[0].clone() };
        services.push(more);
        let now = services[0].instances[0].since;
        let mut out = Vec::new();
        print(&ServiceList { services, refused: Vec::new() }, now, &mut out).unwrap();
        let expected = "\
INSTANCE  SERVICE  VERSION  HEALTH    SINCE  WEIGHT  TAGS     AT
b         orders   -        degraded  0s     1       eu,fast  http://127.0.0.1:9001

b is degraded: its disk is slow

orders is tagged commerce
pricing is tagged commerce
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_breaker_that_is_not_closed_is_told_with_what_comes_next() {
        let since = Timestamp::from_second(1000).unwrap();
        let breaker = |version: Option<&str>, state, reason: Option<&str>, half_open_in| BreakerRecord {
            version: version.map(str::to_owned),
            digest: None,
            state,
            reason: reason.map(str::to_owned),
            half_open_in,
            since,
        };
        let five = Some(crate::config::Duration::secs(5));
        let breakers = vec![
            breaker(Some("1"), BreakerStateWord::Closed, None, None),
            breaker(Some("2"), BreakerStateWord::HalfOpen, None, None),
            breaker(None, BreakerStateWord::Open, Some("5 failures in a row"), five),
        ];
        let service = ServiceRecord { name: "orders".to_owned(), breakers, ..ServiceRecord::default() };
        let mut out = Vec::new();
        let list = ServiceList { services: vec![service], refused: Vec::new() };
        print(&list, Timestamp::from_second(1003).unwrap(), &mut out).unwrap();
        let expected = "
orders@2: the circuit breaker is half open for 3s

orders: the circuit breaker is open for 3s, half open in 5s: 5 failures in a row
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = run(free, false, &mut Vec::new()).await.unwrap_err().to_string();
        assert!(error.contains(&free.to_string()) && error.contains("wharf serve"), "{error}");
    }
}
