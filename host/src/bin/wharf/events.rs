//! `wharf events`: flags, and what is asked of the host.

use anyhow::Context;
use clap::{Args, Subcommand};
use wharf::cli::events::{Letters, Past};

use super::source::RunningHost;

#[derive(Debug, Subcommand)]
pub(super) enum EventsDo {
    /// Show events of the past, the newest first
    History {
        #[command(flatten)]
        host: RunningHost,
        /// Only of this topic, or of those that fit a pattern such as 'order.*'
        #[arg(long)]
        topic: Option<String>,
        /// Only of this type
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only from this source, such as /services/orders
        #[arg(long)]
        source: Option<String>,
        /// Only about this subject
        #[arg(long)]
        subject: Option<String>,
        /// Only what belongs together by this correlation id
        #[arg(long, value_name = "ID")]
        correlation_id: Option<String>,
        /// Only published at this time or later, like 2026-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only published before this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Most events shown
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show one event with its data
    Show {
        #[command(flatten)]
        host: RunningHost,
        /// Its place in the log
        offset: u64,
    },
    /// Show how each subscription stands
    Subscriptions {
        #[command(flatten)]
        host: RunningHost,
    },
    /// Show events that were given up
    DeadLetters {
        #[command(flatten)]
        host: RunningHost,
        /// One of them, with its data
        #[arg(conflicts_with_all = ["service", "subscription"])]
        id: Option<u64>,
        /// Only those of a subscription of this service
        #[arg(long, requires = "subscription")]
        service: Option<String>,
        /// The subscription's name
        #[arg(long, requires = "service", value_name = "NAME")]
        subscription: Option<String>,
    },
    /// Deliver dead letters once more; exit code 1 if one of them is not handled
    Replay {
        #[command(flatten)]
        host: RunningHost,
        #[command(flatten)]
        letters: WhichLetters,
    },
    /// Delete dead letters
    Purge {
        #[command(flatten)]
        host: RunningHost,
        #[command(flatten)]
        letters: WhichLetters,
    },
    /// Have a subscription begin again somewhere else
    Seek {
        #[command(flatten)]
        host: RunningHost,
        /// The service
        service: String,
        /// The subscription's name
        subscription: String,
        /// latest, earliest, a time like 2026-01-31T00:00:00Z or the place of an event
        from: String,
    },
    /// Publish an event in the name of the operator
    Publish {
        #[command(flatten)]
        host: RunningHost,
        /// Where
        topic: String,
        /// The payload [default: none]
        #[arg(long, value_name = "TEXT", default_value = "")]
        data: String,
        /// The media type of the payload
        #[arg(long, value_name = "TYPE", default_value = "application/json")]
        content_type: String,
        /// What happened [default: the topic]
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Events of one topic and key are delivered in order
        #[arg(long)]
        key: Option<String>,
        /// What it is about
        #[arg(long)]
        subject: Option<String>,
        /// Its id [default: a new one]; one that is known is not published again
        #[arg(long)]
        id: Option<String>,
        /// A further attribute, such as 'correlationid=42'; may be given several times
        #[arg(long = "extension", value_name = "NAME=VALUE")]
        extensions: Vec<String>,
    },
}

/// Dead letters: by number, or all of a subscription.
#[derive(Debug, Args)]
pub(super) struct WhichLetters {
    /// Their numbers
    #[arg(required_unless_present = "service", conflicts_with_all = ["service", "subscription"])]
    ids: Vec<u64>,
    /// All of a subscription of this service
    #[arg(long, requires = "subscription")]
    service: Option<String>,
    /// The subscription's name
    #[arg(long, requires = "service", value_name = "NAME")]
    subscription: Option<String>,
}

impl From<WhichLetters> for Letters {
    fn from(letters: WhichLetters) -> Self {
        match letters {
            WhichLetters { service: Some(service), subscription: Some(subscription), .. } => {
                Self::Of { service, subscription }
            }
            WhichLetters { ids, .. } => Self::Ids(ids),
        }
    }
}

pub(super) fn run(what: EventsDo) -> anyhow::Result<bool> {
    match what {
        EventsDo::History { host, topic, kind, source, subject, correlation_id, since, until, limit } => {
            let parameters = [
                ("topic", topic),
                ("type", kind),
                ("source", source),
                ("subject", subject),
                ("correlationId", correlation_id),
                ("since", since),
                ("until", until),
            ];
            let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let past = Past { parameters, limit };
            host.events(async |mut asker| Ok(asker.history(&past).await.map(|()| true)?))
        }
        EventsDo::Show { host, offset } => {
            host.events(async |mut asker| Ok(asker.show(offset).await.map(|()| true)?))
        }
        EventsDo::Subscriptions { host } => {
            host.events(async |mut asker| Ok(asker.subscriptions().await.map(|()| true)?))
        }
        EventsDo::DeadLetters { host, id: Some(id), .. } => {
            host.events(async |mut asker| Ok(asker.dead_letter(id).await.map(|()| true)?))
        }
        EventsDo::DeadLetters { host, id: None, service, subscription } => {
            let of = service.as_deref().zip(subscription.as_deref());
            host.events(async |mut asker| Ok(asker.dead_letters(of).await.map(|()| true)?))
        }
        EventsDo::Replay { host, letters } => {
            let letters = letters.into();
            host.events(async |mut asker| Ok(asker.replay(&letters).await?))
        }
        EventsDo::Purge { host, letters } => {
            let letters = letters.into();
            host.events(async |mut asker| Ok(asker.purge(&letters).await.map(|()| true)?))
        }
        EventsDo::Seek { host, service, subscription, from } => {
            host.events(async |mut asker| Ok(asker.seek(&service, &subscription, &from).await.map(|()| true)?))
        }
        EventsDo::Publish { host, topic, data, content_type, kind, key, subject, id, extensions } => {
            let mut named = serde_json::Map::new();
            for extension in extensions {
                let (name, value) = extension.split_once('=').context("an extension is written NAME=VALUE")?;
                named.insert(name.to_owned(), value.into());
            }
            let mut event = serde_json::json!({
                "topic": topic, "data": data, "contentType": content_type, "extensions": named,
            });
            for (name, value) in [("type", kind), ("key", key), ("subject", subject), ("id", id)] {
                if let (Some(value), Some(event)) = (value, event.as_object_mut()) {
                    event.insert(name.to_owned(), value.into());
                }
            }
            host.events(async |mut asker| Ok(asker.publish(&event).await.map(|()| true)?))
        }
    }
}
