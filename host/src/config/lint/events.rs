//! Subscriptions to what nobody may publish, and schedules that publish nothing.

use std::collections::BTreeMap;

use super::super::check::{At, Check};
use super::super::load::Config;
use super::super::topic::TopicPattern;
use super::super::tree::Node;

pub(super) fn lint(config: &Config, check: &mut Check<'_>, trees: &BTreeMap<String, Node>) {
    let granted: Vec<&TopicPattern> = config.services.values().flat_map(|service| &service.grants.publish).collect();
    for (name, service) in &config.services {
        let Some(at) = trees.get(name).map(At::root) else { continue };
        for (subscription, at) in service.subscriptions.iter().zip(at.get("subscriptions").items()) {
            let topics = at.get("topics").items().zip(&subscription.topics);
            let topic = subscription.topic.iter().map(|topic| (at.get("topic"), topic));
            for (at, topic) in topic.chain(topics) {
                if !granted.iter().any(|pattern| pattern.overlaps(topic)) {
                    let message = format!("nobody may publish `{topic}`: `grants.publish` of no service has it");
                    check.warn(at, message);
                }
            }
        }
        for (schedule, at) in service.schedules.iter().zip(at.get("schedules").items()) {
            if !service.grants.may_publish(&schedule.topic) {
                let message = format!(
                    "`{}` is never published: name the topic in `grants.publish` of this service",
                    schedule.topic
                );
                check.warn(at.get("topic"), message);
            }
        }
    }
}
