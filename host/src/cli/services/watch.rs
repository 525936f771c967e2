//! `wharf services --watch`: the table once, then a line for every change, until the host or the reader ends it.
//!
//! Lines and no redrawn table, so that it can be piped, searched and kept. With `--json` each line is an object with the
//! name of the event and what the admin API said.

use std::io::{self, Write};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::admin::MAX_ANSWER;
use super::print;
use crate::ServiceList;

/// Server-sent events out of pieces of a stream.
#[derive(Debug, Default)]
struct Events {
    pending: Vec<u8>,
}

/// One server-sent event.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
}

/// Prints what comes until it ends.
pub(super) async fn follow(mut body: Incoming, as_json: bool, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut events = Events::default();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        for event in events.add(&data)? {
            show(&event, as_json, out)?;
        }
        out.flush()?;
    }
    Ok(())
}

impl Events {
    /// The events that are complete now.
    fn add(&mut self, piece: &[u8]) -> io::Result<Vec<Event>> {
        self.pending.extend_from_slice(piece);
        if self.pending.len() > MAX_ANSWER {
            return Err(io::Error::other("an event that does not end"));
        }
        let mut events = Vec::new();
        while let Some(end) = self.pending.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.pending.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&block);
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            if let (Some(name), Some(data)) = (field("event"), field("data")) {
                events.push(Event { name: name.to_owned(), data: data.to_owned() });
            }
        }
        Ok(events)
    }
}

fn show(event: &Event, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let data: Value = serde_json::from_str(&event.data)?;
    if as_json {
        return writeln!(out, "{}", json!({ "event": event.name, "data": data }));
    }
    if event.name == "snapshot" {
        let missed = data.get("missed").and_then(Value::as_u64).unwrap_or_default();
        if missed > 0 {
            writeln!(out, "{missed} changes were too many at once; this is how it is now:")?;
        }
        let services = serde_json::from_value(data.get("services").cloned().unwrap_or_default())?;
        return print(&ServiceList { services, refused: Vec::new() }, Timestamp::now(), out);
    }
    writeln!(out, "{}", line(&data))
}

/// `2026-11-21T12:00:00Z  orders  b: healthy → degraded (its disk is slow)`
fn line(data: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (old, new) = (&data["old"], &data["new"]);
    let either = |key: &str| text(if new.is_null() { &old[key] } else { &new[key] });
    let (subject, key) = match (either("id"), either("file")) {
        (id, _) if !id.is_empty() => (id, "health"),
        (_, file) if !file.is_empty() => (file, "state"),
        (..) => (format!("circuit breaker {}", either("version")).trim_end().to_owned(), "state"),
    };
    let word = |side: &Value| if side.is_null() { None } else { Some(text(&side[key])) };
    let change = match (word(old), word(new)) {
        (None, Some(new)) => format!("new, {new}"),
        (Some(_), None) => "gone".to_owned(),
        (Some(old), Some(new)) if old == new => format!("{new}, says something else"),
        (Some(old), Some(new)) => format!("{old} → {new}"),
        (None, None) => "nothing".to_owned(),
    };
    let left = new["halfOpenIn"].as_str().map(|left| format!("half open in {left}"));
    let remarks: Vec<_> = new["reason"].as_str().map(str::to_owned).into_iter().chain(left).collect();
    let reason = if remarks.is_empty() { String::new() } else { format!(" ({})", remarks.join("; ")) };
    // Seconds are enough for people.
    let at = text(&data["at"]);
    let at = at.split_once('.').map_or(at.clone(), |(seconds, _)| format!("{seconds}Z"));
    format!("{at}  {}  {subject}: {change}{reason}", text(&data["service"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_pieces_and_pings_left_out() {
        let mut events = Events::default();
        let mut seen = Vec::new();
        for piece in ["event: snap", "shot\nid: 1\ndata: {}\n", "\n: ping\n\nevent: a\ndata: {\"x\":1}\n\neve"] {
            seen.extend(events.add(piece.as_bytes()).unwrap());
        }
        let seen: Vec<_> = seen.iter().map(|event| (&*event.name, &*event.data)).collect();
        assert_eq!(seen, [("snapshot", "{}"), ("a", "{\"x\":1}")]);
        assert!(events.add(&vec![b'x'; MAX_ANSWER]).is_err());
    }

    #[test]
    fn a_change_is_a_line() {
        let instance = |health: &str| json!({ "id": "b", "health": health, "reason": "slow" });
        let data = |old, new| json!({ "at": "2026-11-21T12:00:00.123Z", "service": "orders", "old": old, "new": new });
        let flip = line(&data(instance("healthy"), instance("degraded")));
        assert_eq!(flip, "2026-11-21T12:00:00Z  orders  b: healthy → degraded (slow)");
        assert!(line(&data(instance("stopping"), Value::Null)).ends_with("b: gone"));
        let breaker = |state: &str| json!({ "version": "1", "state": state, "since": "2026-11-21T12:00:00Z" });
        let mut open = breaker("open");
        (open["reason"], open["halfOpenIn"]) = ("5 failures in a row".into(), "5s".into());
        let opened = line(&data(breaker("closed"), open));
        assert!(
            opened.ends_with("circuit breaker 1: closed → open (5 failures in a row; half open in 5s)"),
            "{opened}"
        );
        let version = json!({ "file": "orders.wasm", "state": "compiling" });
        assert!(line(&data(Value::Null, version)).ends_with("orders.wasm: new, compiling"));
    }
}
