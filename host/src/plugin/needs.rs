//! What a component says that it must be granted, in a custom section `wharf:needs` of its file.
//!
//! ```text
//! calls: users, inventory
//! publish: order.created
//! send: mails
//! receive: work
//! ```
//!
//! What a component imports is no such statement: most SDKs import the client side of wasi:http whether a service calls
//! anybody or not. A component that names what it needs is not put in service without it, and does not find out one
//! failed request at a time. One line for each kind of grant, names separated by commas; empty lines are ignored. A kind
//! that this host does not know is refused, because it cannot be granted. The section is somebody else's text: at most
//! 16 KiB of it, and only names of services, topics and queues, no patterns.

use serde::Serialize;

use crate::config::{Grants, TopicPattern, check_topic, valid_service_name};

const MAX_BYTES: usize = 16 << 10;

/// Grants without which a component is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Needs {
    /// Services that it calls.
    pub calls: Vec<String>,
    /// Topics that it publishes to.
    pub publish: Vec<String>,
    /// Queues that it sends to.
    pub send: Vec<String>,
    /// Queues that it receives from.
    pub receive: Vec<String>,
}

/// A section that says nothing this host understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its section `wharf:needs` cannot be used: {0}; write one line such as `calls: users, inventory`")]
pub struct NeedsError(String);

impl Needs {
    /// The name of the section.
    pub(super) const SECTION: &str = "wharf:needs";

    /// Adds what a section says.
    pub(super) fn read(&mut self, section: &[u8]) -> Result<(), NeedsError> {
        if section.len() > MAX_BYTES {
            return Err(NeedsError(format!("it is larger than {MAX_BYTES} bytes")));
        }
        let text = std::str::from_utf8(section).map_err(|_not_utf8| NeedsError("it is no text".to_owned()))?;
        // What is patched into a fixed place is filled up with zeros.
        for line in text.trim_end_matches('\0').lines().filter(|line| !line.trim().is_empty()) {
            let (kind, names) = line.split_once(':').unwrap_or((line, ""));
            let known = match kind.trim() {
                "calls" => &mut self.calls,
                "publish" => &mut self.publish,
                "send" => &mut self.send,
                "receive" => &mut self.receive,
                _ => return Err(NeedsError(format!("`{}` is no grant that this host has", shown(line)))),
            };
            for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let (valid, what) = match kind.trim() {
                    "calls" => (valid_service_name(name).is_ok(), "service"),
                    "publish" => (check_topic(name).is_ok(), "topic"),
                    _ => (check_topic(name).is_ok(), "queue"),
                };
                if !valid {
                    return Err(NeedsError(format!("`{}` is no {what}", shown(name))));
                }
                if !known.iter().any(|known| known == name) {
                    known.push(name.to_owned());
                }
            }
        }
        Ok(())
    }

    /// What of it is not granted, in words; nothing if all is.
    pub(super) fn missing(&self, grants: &Grants) -> Option<String> {
        let fits = |granted: &[TopicPattern], name: &str| granted.iter().any(|pattern| pattern.matches(name));
        let calls = of_kind("calls", &self.calls, |name| grants.calls.iter().any(|granted| granted == name));
        let publish = of_kind("publish", &self.publish, |name| grants.may_publish(name));
        let send = of_kind("queues.send", &self.send, |name| fits(&grants.queues.send, name));
        let receive = of_kind("queues.receive", &self.receive, |name| fits(&grants.queues.receive, name));
        let missing: Vec<_> = [calls, publish, send, receive].into_iter().flatten().collect();
        (!missing.is_empty()).then(|| format!("needs grant {}", missing.join("; ")))
    }
}

fn of_kind(kind: &str, needed: &[String], is_granted: impl Fn(&str) -> bool) -> Option<String> {
    let missing: Vec<_> = needed.iter().map(String::as_str).filter(|name| !is_granted(name)).collect();
    (!missing.is_empty()).then(|| format!("{kind}: {}", missing.join(", ")))
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Needs, NeedsError> {
        let mut needs = Needs::default();
        needs.read(text.as_bytes()).map(|()| needs)
    }

    fn calls(names: &[&str]) -> Grants {
        Grants { calls: names.iter().map(|&name| name.to_owned()).collect(), ..Grants::default() }
    }

    #[test]
    fn what_is_not_granted_is_named() {
        let needs = read("calls: users, inventory\n\ncalls: users,pricing\0\0").unwrap();
        assert_eq!(needs.calls, ["users", "inventory", "pricing"]);
        assert_eq!(needs.missing(&calls(&["users", "pricing"])).unwrap(), "needs grant calls: inventory");
        assert_eq!(needs.missing(&calls(&[])).unwrap(), "needs grant calls: users, inventory, pricing");
        assert_eq!(needs.missing(&calls(&["users", "inventory", "pricing"])), None);
        assert_eq!(read(" \n").unwrap().missing(&Grants::default()), None);
    }

    #[test]
    fn topics_and_queues_are_needed_by_name_and_granted_by_pattern() {
        let needs =
            read("publish: order.created, mail.sent\nsend: mails\nreceive: work.a, work.b\ncalls: users").unwrap();
        let missing = needs.missing(&Grants::default()).unwrap();
        assert_eq!(
            missing,
            "needs grant calls: users; publish: order.created, mail.sent; queues.send: mails; queues.receive: work.a, work.b"
        );
        let mut grants = calls(&["users"]);
        grants.publish = vec!["order.*".parse().unwrap()];
        grants.queues.send = vec!["#".parse().unwrap()];
        grants.queues.receive = vec!["work.a".parse().unwrap()];
        assert_eq!(needs.missing(&grants).unwrap(), "needs grant publish: mail.sent; queues.receive: work.b");
    }

    #[test]
    fn what_cannot_be_understood_is_refused_and_shown_without_control_characters() {
        let long = "x".repeat(20_000);
        for text in
            ["users", "egress: x", "calls: Users", "calls: a b", "publish: a.*", "send: #", "calls: \x1b[31m", &long]
        {
            let error = read(text).unwrap_err().to_string();
            assert!(!error.contains('\x1b') && error.len() < 300 && error.contains("calls: users"), "{error}");
        }
        assert!(Needs::default().read(&[0xff]).is_err());
    }
}
