//! `wharf events`: history, subscriptions and dead letters of a running host.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::admin;
use super::asker::{Asker, EventsError, encoded, query, shown};
use super::rollout::align;
use crate::events::{
    DeadLetterList, DeadLetterRecord, EventList, EventRecord, Replayed, SubscriptionList, SubscriptionRecord,
};

/// A replay waits for the service.
const REPLAY: Duration = Duration::from_secs(120);
/// Dead letters of one page.
const PAGE: usize = 100;

/// Which events of the past are meant.
#[derive(Debug, Default, Clone)]
pub struct Past {
    /// Parameters of the admin API, by name.
    pub parameters: Vec<(&'static str, String)>,
    /// Events at most.
    pub limit: usize,
}

/// Which dead letters are meant.
#[derive(Debug, Clone)]
pub enum Letters {
    /// These.
    Ids(Vec<u64>),
    /// All of a service's subscription.
    Of {
        /// The service.
        service: String,
        /// The name of its subscription.
        subscription: String,
    },
}

impl Asker<'_> {
    /// Prints events of the past, the newest first.
    ///
    /// # Errors
    /// When nobody answers, the host refuses, or nothing can be printed.
    pub async fn history(&mut self, past: &Past) -> Result<(), EventsError> {
        let (mut events, mut before) = (Vec::<EventRecord>::new(), None);
        while events.len() < past.limit {
            let mut parameters = past.parameters.clone();
            parameters.push(("limit", (past.limit - events.len()).min(1000).to_string()));
            parameters.extend(before.map(|before: u64| ("before", before.to_string())));
            let page: EventList = self.get(&format!("/api/events{}", query(&parameters))).await?;
            events.extend(page.events);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        if self.json {
            return self.print(&json!({ "events": events }));
        }
        if events.is_empty() {
            return Ok(writeln!(self.out, "no such events")?);
        }
        let mut rows = vec![["OFFSET", "PUBLISHED", "TOPIC", "KEY", "SOURCE", "SIZE", "ID"].map(str::to_owned)];
        rows.extend(events.into_iter().map(|event| {
            let key = event.key.map_or_else(|| "-".to_owned(), |key| shown(&key));
            let size = event.size.to_string();
            [event.offset.to_string(), event.published, event.topic, key, shown(&event.source), size, shown(&event.id)]
        }));
        Ok(align(&rows, "", self.out)?)
    }

    /// Prints one event with its data.
    ///
    /// # Errors
    /// As [`Asker::history`].
    pub async fn show(&mut self, offset: u64) -> Result<(), EventsError> {
        let event: EventRecord = self.get(&format!("/api/events/{offset}")).await?;
        if self.json { self.print(&json!(event)) } else { self.event(&event) }
    }

    /// Prints how each subscription stands.
    ///
    /// # Errors
    /// As [`Asker::history`].
    pub async fn subscriptions(&mut self) -> Result<(), EventsError> {
        let list: SubscriptionList = self.get("/api/subscriptions").await?;
        if self.json {
            return self.print(&json!(list));
        }
        let mut rows = vec![
            ["SERVICE", "SUBSCRIPTION", "TOPICS", "STATE", "LAG", "IN FLIGHT", "WAITING", "DEAD"].map(str::to_owned),
        ];
        rows.extend(list.subscriptions.into_iter().map(|of: SubscriptionRecord| {
            let state = if of.reason.is_empty() { of.state } else { format!("{} ({})", of.state, of.reason) };
            let (lag, in_flight) = (of.lag.to_string(), of.in_flight.to_string());
            let (waiting, dead) = (of.waiting.to_string(), of.dead.to_string());
            [of.service, of.name, of.topics.join(", "), state, lag, in_flight, waiting, dead]
        }));
        align(&rows, "", self.out)?;
        let SubscriptionList { events, bytes, quota, newest, .. } = list;
        Ok(writeln!(self.out, "\nthe log has {events} events and {bytes} of {quota} bytes; the newest is {newest}")?)
    }

    /// Prints dead letters, of all subscriptions or of one.
    ///
    /// # Errors
    /// As [`Asker::history`].
    pub async fn dead_letters(&mut self, of: Option<(&str, &str)>) -> Result<(), EventsError> {
        let letters = self.all_dead_letters(of).await?;
        if self.json {
            return self.print(&json!({ "deadLetters": letters }));
        }
        if letters.is_empty() {
            return Ok(writeln!(self.out, "no dead letters")?);
        }
        let mut rows = vec![["ID", "DIED", "SERVICE", "SUBSCRIPTION", "TOPIC", "ATTEMPTS", "ERROR"].map(str::to_owned)];
        rows.extend(letters.into_iter().map(|dead| {
            let (id, attempts) = (dead.id.to_string(), dead.attempts.to_string());
            let error: String = shown(&dead.error).chars().take(80).collect();
            [id, dead.died, dead.service, dead.subscription, dead.event.topic, attempts, error]
        }));
        Ok(align(&rows, "", self.out)?)
    }

    /// Prints one dead letter with its data.
    ///
    /// # Errors
    /// As [`Asker::history`].
    pub async fn dead_letter(&mut self, id: u64) -> Result<(), EventsError> {
        let dead: DeadLetterRecord = self.get(&format!("/api/dead-letters/{id}")).await?;
        if self.json {
            return self.print(&json!(dead));
        }
        let DeadLetterRecord { service, subscription, died, attempts, error, event, .. } = &dead;
        writeln!(self.out, "{service}/{subscription} gave it up at {died} after {attempts} deliveries")?;
        writeln!(self.out, "{}\n", shown(error))?;
        self.event(event)
    }

    /// Delivers dead letters once more, one after the other. Whether all of them were handled.
    ///
    /// # Errors
    /// As [`Asker::history`].
    pub async fn replay(&mut self, letters: &Letters) -> Result<bool, EventsError> {
        let ids = match letters {
            Letters::Ids(ids) => ids.clone(),
            Letters::Of { service, subscription } => {
                let all = self.all_dead_letters(Some((service, subscription))).await?;
                all.into_iter().map(|dead| dead.id).collect()
            }
        };
        let mut replayed = Vec::new();
        for id in ids {
            let path = format!("/api/dead-letters/{id}/replay");
            let done: Replayed = self.post(Method::POST, &path, &json!({}), REPLAY).await?;
            if !self.json {
                match done.handled {
                    true => writeln!(self.out, "{id}: handled")?,
                    false => writeln!(self.out, "{id}: not handled, stays: {}", shown(&done.error))?,
                }
            }
            replayed.push(done);
        }
        if self.json {
            self.print(&json!({ "replayed": replayed }))?;
        } else if replayed.is_empty() {
            writeln!(self.out, "no dead letters")?;
        }
        Ok(replayed.iter().all(|replayed| replayed.handled))
    }

    /// Deletes dead letters.
    ///
    /// # Errors
    /// As [`Asker::history`].
    pub async fn purge(&mut self, letters: &Letters) -> Result<(), EventsError> {
        let purged = match letters {
            Letters::Ids(ids) => {
                for id in ids {
                    self.order(Method::DELETE, &format!("/api/dead-letters/{id}"), &json!({}), admin::TIMEOUT).await?;
                }
                ids.len() as u64
            }
            Letters::Of { service, subscription } => {
                let of = json!({ "service": service, "subscription": subscription });
                let told: Value = self.post(Method::POST, "/api/dead-letters/purge", &of, REPLAY).await?;
                told.get("purged").and_then(Value::as_u64).unwrap_or_default()
            }
        };
        if self.json {
            return self.print(&json!({ "purged": purged }));
        }
        Ok(writeln!(self.out, "{purged} deleted")?)
    }

    /// Has a subscription begin again: `latest`, `earliest`, a time or the number of a place.
    ///
    /// # Errors
    /// As [`Asker::history`].
    pub async fn seek(&mut self, service: &str, name: &str, from: &str) -> Result<(), EventsError> {
        let start = from.parse::<u64>().map_or_else(|_| json!(from), |offset| json!({ "offset": offset }));
        let path = format!("/api/subscriptions/{}/{}/seek", encoded(service), encoded(name));
        let told: Value = self.post(Method::POST, &path, &json!({ "from": start }), admin::TIMEOUT).await?;
        if self.json {
            return self.print(&told);
        }
        let position = told.get("position").and_then(Value::as_u64).unwrap_or_default();
        Ok(writeln!(self.out, "{service}/{name} goes on after {position}")?)
    }

    /// Publishes an event in the name of the operator.
    ///
    /// # Errors
    /// As [`Asker::history`].
    pub async fn publish(&mut self, event: &Value) -> Result<(), EventsError> {
        let told: Value = self.post(Method::POST, "/api/events", event, admin::TIMEOUT).await?;
        if self.json {
            return self.print(&told);
        }
        let text = |name: &str| told.get(name).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
        let [id, offset] = ["id", "offset"].map(|name| text(name).unwrap_or_default());
        let duplicate = told.get("duplicate").and_then(Value::as_bool) == Some(true);
        let known = if duplicate { ", where it was already" } else { "" };
        Ok(writeln!(self.out, "{id} at {offset}{known}")?)
    }

    async fn all_dead_letters(&mut self, of: Option<(&str, &str)>) -> Result<Vec<DeadLetterRecord>, EventsError> {
        let (mut letters, mut after) = (Vec::new(), 0);
        loop {
            let mut parameters = vec![("after", after.to_string()), ("limit", PAGE.to_string())];
            if let Some((service, subscription)) = of {
                parameters.extend([("service", service.to_owned()), ("subscription", subscription.to_owned())]);
            }
            let page: DeadLetterList = self.get(&format!("/api/dead-letters{}", query(&parameters))).await?;
            let Some(next) = page.next else { return Ok(letters) };
            letters.extend(page.dead_letters);
            after = next;
        }
    }

    fn event(&mut self, event: &EventRecord) -> Result<(), EventsError> {
        let mut rows = vec![
            ["offset".to_owned(), event.offset.to_string()],
            ["published".to_owned(), event.published.clone()],
            ["topic".to_owned(), event.topic.clone()],
        ];
        let texts = [
            ("type", Some(&event.kind)),
            ("id", Some(&event.id)),
            ("source", Some(&event.source)),
            ("time", Some(&event.time)),
            ("subject", event.subject.as_ref()),
            ("key", event.key.as_ref()),
            ("content type", event.content_type.as_ref()),
            ("schema", event.schema.as_ref()),
        ];
        rows.extend(texts.into_iter().filter_map(|(name, text)| Some([name.to_owned(), shown(text?)])));
        rows.extend(event.extensions.iter().map(|(name, value)| [name.clone(), shown(value)]));
        align(&rows, "", self.out)?;
        match (&event.data, &event.data_base64) {
            (Some(data), _) if !data.is_empty() => writeln!(self.out, "\n{}", lines(data))?,
            (None, Some(base64)) => {
                writeln!(self.out, "\n{} bytes that are no text, in base64:\n{base64}", event.size)?
            }
            _ => {}
        }
        Ok(())
    }
}

/// [`shown`] for data, whose lines stay lines.
pub(super) fn lines(data: &str) -> String {
    let line = |line: &str| line.chars().map(|c| if c.is_control() && c != '\t' { '�' } else { c }).collect::<String>();
    data.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_others_cannot_change_the_terminal() {
        assert_eq!(lines("{\n  \"a\": 1\u{1b}[2J\n}"), "{\n  \"a\": 1�[2J\n}");
    }
}
