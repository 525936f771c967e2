//! What an instance says about itself, checked as a whole: everything that is wrong is said at once.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::{Problem, Wrong};
use crate::config::{
    Duration, InstanceCheck, InstanceUrl, Protocol, WEIGHT, valid_service_name, valid_word, wrong_metadata, wrong_tags,
};
use crate::registry::{Health, Registration};

/// Bounds of `ttl`: shorter ones would be more heartbeats than requests, longer ones no lease.
const TTL: std::ops::RangeInclusive<Duration> = Duration::secs(1)..=Duration::secs(3600);
const MAX_REASON: usize = 256;

/// The fields of a body, taken out one after the other.
struct Fields {
    left: Map<String, Value>,
    wrong: Vec<Wrong>,
}

impl Fields {
    fn new(left: Map<String, Value>) -> Self {
        Self { left, wrong: Vec::new() }
    }

    /// A field; nothing when it is not there, is `null`, or is wrong.
    fn take<T: DeserializeOwned>(&mut self, field: &str) -> Option<T> {
        let value = self.left.shift_remove(field).filter(|value| !value.is_null())?;
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(field, error.to_string());
                None
            }
        }
    }

    /// A field that must be there.
    fn need<T: DeserializeOwned>(&mut self, field: &str) -> Option<T> {
        if self.left.get(field).is_none_or(Value::is_null) {
            self.left.shift_remove(field);
            self.wrong(field, "it is missing");
            return None;
        }
        self.take(field)
    }

    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.wrong.push(Wrong::new(field, message));
    }

    fn check(&mut self, field: &str, checked: Result<(), String>) {
        if let Err(message) = checked {
            self.wrong(field, message);
        }
    }

    /// Nothing may be left that nobody has taken.
    fn end(mut self) -> Vec<Wrong> {
        for field in self.left.keys() {
            let shown: String = field.chars().take(64).collect();
            self.wrong.push(Wrong::new(shown.escape_debug().to_string(), "there is no such field"));
        }
        self.wrong
    }
}

/// Reads the body of `POST /api/services`.
pub(super) fn registration(body: Map<String, Value>) -> Result<Registration, Problem> {
    let mut fields = Fields::new(body);
    let service: Option<String> = fields.need("service");
    let url: Option<InstanceUrl> = fields.need("url");
    let id: Option<String> = fields.take("id");
    let version: Option<String> = fields.take("version");
    let protocol: Protocol = fields.take("protocol").unwrap_or_default();
    let weight: u32 = fields.take("weight").unwrap_or(1);
    let tags: Vec<String> = fields.take("tags").unwrap_or_default();
    let metadata: BTreeMap<String, String> = fields.take("metadata").unwrap_or_default();
    let check: Option<InstanceCheck> = fields.take("healthCheck");
    let ttl: Option<Duration> = fields.take("ttl");

    fields.check("service", service.as_deref().map_or(Ok(()), valid_service_name));
    fields.check("id", id.as_deref().map_or(Ok(()), valid_word));
    fields.check("version", version.as_deref().map_or(Ok(()), valid_word));
    if !WEIGHT.contains(&weight) {
        fields.wrong("weight", format!("`{weight}` is out of bounds: {} to {}", WEIGHT.start(), WEIGHT.end()));
    }
    for (at, message) in wrong_tags(&tags) {
        fields.wrong(&format!("tags[{at}]"), message);
    }
    for (key, message) in wrong_metadata(&metadata) {
        let shown: String = key.chars().take(64).collect();
        fields.wrong(&format!("metadata.{}", shown.escape_debug()), message);
    }
    for (field, message) in check.iter().flat_map(InstanceCheck::wrong) {
        fields.wrong(&format!("healthCheck.{field}"), message);
    }
    if let Some(ttl) = ttl.filter(|ttl| !TTL.contains(ttl)) {
        fields.wrong("ttl", format!("`{ttl}` is out of bounds: {} to {}", TTL.start(), TTL.end()));
    }
    match (service, url, fields.end()) {
        (Some(service), Some(url), wrong) if wrong.is_empty() => {
            let ttl = ttl.map(Duration::get);
            Ok(Registration { id, service, url, protocol, version, weight, tags, metadata, check, ttl })
        }
        (_, _, wrong) => Err(Problem::Invalid(wrong)),
    }
}

/// Reads the body of a heartbeat: what the instance says about itself.
pub(super) fn heartbeat(body: Map<String, Value>) -> Result<Health, Problem> {
    let mut fields = Fields::new(body);
    let word: Option<String> = fields.take("health");
    let reason: Option<String> = fields.take("reason");
    if let Some(reason) = &reason
        && (reason.len() > MAX_REASON || reason.chars().any(char::is_control))
    {
        fields.wrong("reason", format!("it has control characters, or more than {MAX_REASON} bytes"));
    }
    let says = |reason: Option<String>| reason.unwrap_or_else(|| "it says so itself".to_owned());
    let health = match word.as_deref() {
        None | Some("healthy") => Health::Healthy,
        Some("degraded") => Health::Degraded(says(reason)),
        Some("unhealthy") => Health::Unhealthy(says(reason)),
        Some(_) => {
            fields.wrong("health", "say healthy, degraded or unhealthy");
            Health::Healthy
        }
    };
    let wrong = fields.end();
    if wrong.is_empty() { Ok(health) } else { Err(Problem::Invalid(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn wrong(problem: Problem) -> Vec<String> {
        let Problem::Invalid(wrong) = problem else { panic!("{problem:?}") };
        wrong.into_iter().map(|wrong| wrong.field).collect()
    }

    #[test]
    fn a_whole_registration_is_read() {
        let body = json!({
            "service": "orders", "url": "http://127.0.0.1:9001", "version": "1", "id": "a", "weight": 5,
            "tags": ["eu"], "metadata": { "zone": "a" }, "healthCheck": { "path": "/healthz", "interval": "5s" },
            "ttl": "1m",
        });
        let read = registration(object(body)).unwrap();
        assert_eq!((&*read.service, read.url.to_string()), ("orders", "http://127.0.0.1:9001".to_owned()));
        assert_eq!((read.id.as_deref(), read.version.as_deref(), read.weight), (Some("a"), Some("1"), 5));
        assert_eq!((&*read.tags[0], &*read.metadata["zone"]), ("eu", "a"));
        let check = read.check.unwrap();
        assert_eq!((check.interval, check.unhealthy_threshold), (Duration::secs(5), 3));
        assert_eq!(read.ttl, Some(std::time::Duration::from_secs(60)));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let body = json!({
            "service": "Orders", "url": "ftp://x", "version": "a b", "id": "a/b", "weight": 1_000_001,
            "tags": ["a\n"], "metadata": { "z": "\u{1b}[2J" }, "healthCheck": { "path": "x" }, "ttl": "1ms",
            "tgs": [], "null": null,
        });
        let mut fields = wrong(registration(object(body)).unwrap_err());
        fields.sort();
        let expected = [
            "healthCheck.path",
            "id",
            "metadata.z",
            "null",
            "service",
            "tags[0]",
            "tgs",
            "ttl",
            "url",
            "version",
            "weight",
        ];
        assert_eq!(fields, expected);
        assert_eq!(wrong(registration(Map::new()).unwrap_err()), ["service", "url"]);
        let types = json!({ "service": 5, "url": ["x"], "tags": "eu", "weight": -1 });
        assert_eq!(wrong(registration(object(types)).unwrap_err()), ["service", "url", "weight", "tags"]);
    }

    #[test]
    fn a_heartbeat_may_say_how_it_is() {
        assert_eq!(heartbeat(Map::new()).unwrap(), Health::Healthy);
        let says = |value| heartbeat(object(value));
        let slow = Health::Degraded("slow".to_owned());
        assert_eq!(says(json!({ "health": "degraded", "reason": "slow" })).unwrap(), slow);
        assert_eq!(says(json!({ "health": "unhealthy" })).unwrap().word(), "unhealthy");
        for bad in [json!({ "health": "fine" }), json!({ "reason": "a\nb" }), json!({ "halth": "healthy" })] {
            assert!(says(bad.clone()).is_err(), "{bad}");
        }
    }
}
