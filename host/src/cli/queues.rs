//! `wharf queues`: how the queues of a running host stand, and what was received too often.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::asker::{Asker, EventsError, encoded, query, shown};
use super::rollout::align;
use crate::events::{DeadMessageList, DeadMessageRecord, QueueList};

/// All of a queue may be many.
const ALL: Duration = Duration::from_secs(120);
/// Dead letters of one page.
const PAGE: usize = 100;

impl Asker<'_> {
    /// Prints how each queue stands.
    ///
    /// # Errors
    /// When nobody answers, the host refuses, or nothing can be printed.
    pub async fn queues(&mut self) -> Result<(), EventsError> {
        let list: QueueList = self.get("/api/queues").await?;
        if self.json {
            return self.print(&json!(list));
        }
        if list.queues.is_empty() {
            return Ok(writeln!(self.out, "no queue has anything in it")?);
        }
        let head =
            ["QUEUE", "VISIBLE", "DELAYED", "RECEIVED", "DEAD", "EXPIRED", "BYTES", "QUOTA", "RETENTION", "OLDEST"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(list.queues.into_iter().map(|queue| {
            let messages = [queue.visible, queue.delayed, queue.invisible, queue.dead, queue.expired];
            let [visible, delayed, invisible, dead, expired] = messages.map(|number| number.to_string());
            let [bytes, quota] = [queue.bytes, queue.quota].map(|number| number.to_string());
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let retention = or_none(queue.retention.map(|retention| retention.age.to_string()));
            let name = shown(&queue.queue);
            [name, visible, delayed, invisible, dead, expired, bytes, quota, retention, or_none(queue.oldest)]
        }));
        Ok(align(&rows, "", self.out)?)
    }

    /// Prints messages of a queue that were received too often.
    ///
    /// # Errors
    /// As [`Asker::queues`].
    pub async fn queue_dead_letters(&mut self, queue: &str) -> Result<(), EventsError> {
        let (mut letters, mut after) = (Vec::<DeadMessageRecord>::new(), 0);
        loop {
            let parameters = [("after", after.to_string()), ("limit", PAGE.to_string())];
            let path = format!("/api/queues/{}/dead-letters{}", encoded(queue), query(&parameters));
            let page: DeadMessageList = self.get(&path).await?;
            let Some(next) = page.next else { break };
            letters.extend(page.dead_letters);
            after = next;
        }
        if self.json {
            return self.print(&json!({ "deadLetters": letters }));
        }
        if letters.is_empty() {
            return Ok(writeln!(self.out, "no dead letters")?);
        }
        let mut rows = vec![["ID", "SENT", "DIED", "RECEIVED", "SIZE", "DATA"].map(str::to_owned)];
        rows.extend(letters.into_iter().map(|dead| {
            let [id, attempts, size] = [dead.id, u64::from(dead.attempts), dead.size as u64].map(|n| n.to_string());
            let data = dead.data.or(dead.data_base64).unwrap_or_default();
            let data: String = shown(&data).chars().take(60).collect();
            [id, dead.sent, dead.died, attempts, size, data]
        }));
        Ok(align(&rows, "", self.out)?)
    }

    /// Puts dead letters of a queue back: these, or all of them.
    ///
    /// # Errors
    /// As [`Asker::queues`].
    pub async fn queue_revive(&mut self, queue: &str, ids: &[u64]) -> Result<(), EventsError> {
        let body = if ids.is_empty() { json!({}) } else { json!({ "ids": ids }) };
        self.change(queue, "revive", &body, "revived", "put back").await
    }

    /// Deletes dead letters of a queue (these, or all of them), or all other messages.
    ///
    /// # Errors
    /// As [`Asker::queues`].
    pub async fn queue_purge(&mut self, queue: &str, dead: bool, ids: &[u64]) -> Result<(), EventsError> {
        let mut body = json!({ "dead": dead });
        if let (false, Some(body)) = (ids.is_empty(), body.as_object_mut()) {
            body.insert("ids".to_owned(), json!(ids));
        }
        self.change(queue, "purge", &body, "purged", "deleted").await
    }

    async fn change(
        &mut self,
        queue: &str,
        what: &str,
        body: &Value,
        field: &str,
        done: &str,
    ) -> Result<(), EventsError> {
        let path = format!("/api/queues/{}/{what}", encoded(queue));
        let told: Value = self.post(Method::POST, &path, body, ALL).await?;
        if self.json {
            return self.print(&told);
        }
        let count = told.get(field).and_then(Value::as_u64).unwrap_or_default();
        Ok(writeln!(self.out, "{count} {done}")?)
    }
}
