//! `retry` of a rule: when its requests are tried again.

use serde_json::{Map, Value, json};

use super::super::Import;
use super::{Fields, text};
use crate::config::retry::{ATTEMPTS, CODES, LEAST_BACKOFF, LONGEST_BACKOFF, TOO_MANY_REQUESTS};
use crate::config::tree::{Kind, Node};
use crate::config::{Duration, RuleRetry};

/// How many times as long as the least wait the longest one is: as the defaults have it.
const TIMES: u32 = 10;

impl Import {
    /// Nothing if what it says about attempts or waits is not possible here: other numbers would be guesses.
    pub(super) fn retry(&mut self, source: &Node) -> Option<Map<String, Value>> {
        let mut fields = Fields::of(source);
        let mut retry = Map::new();
        let mut possible = true;
        if let Some(node) = fields.get("attempts") {
            match text(node).and_then(|text| text.parse::<u32>().ok()).filter(|attempts| ATTEMPTS.contains(attempts)) {
                Some(attempts) => drop(retry.insert("attempts".into(), json!(attempts))),
                None => {
                    possible = false;
                    self.lost(node, "`retry` is left out: 0 to 10 attempts are possible");
                }
            }
        }
        if let Some(Kind::List(items)) = fields.get("codes").map(|node| &node.kind) {
            let mut codes = Vec::new();
            for item in items {
                match text(item).and_then(|code| code.parse::<u16>().ok()) {
                    Some(TOO_MANY_REQUESTS) => self.lost(item, "429 is never tried again"),
                    Some(code) if CODES.contains(&code) => codes.push(code),
                    _ => self.lost(item, "only statuses from 400 to 599 are tried again"),
                }
            }
            retry.insert("codes".into(), json!(codes));
        }
        if let Some(node) = fields.get("backoff") {
            let backoff = text(node).and_then(|text| text.parse::<Duration>().ok());
            match backoff.filter(|backoff| (LEAST_BACKOFF..=LONGEST_BACKOFF).contains(backoff)) {
                Some(backoff) => {
                    retry.insert("backoff".into(), json!(backoff));
                    if backoff > RuleRetry::default().max_backoff {
                        // The Gateway API says nothing of it; as many times as long as the usual one.
                        let longest = backoff.times(TIMES).min(LONGEST_BACKOFF);
                        retry.insert("maxBackoff".into(), json!(longest));
                    }
                }
                None => {
                    possible = false;
                    self.lost(node, "`retry` is left out: a backoff of 1ms to 1m is possible");
                }
            }
        }
        fields.finish(self);
        possible.then_some(retry)
    }
}
