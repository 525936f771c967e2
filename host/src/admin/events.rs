//! Events, as operators see and steer them.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/events?topic=&type=&source=&subject=&correlationId=&since=&until=&before=&limit=` | history, the newest first |
//! | `POST /api/events` | publishes one in the name of the operator: 201, or 200 if it was there |
//! | `GET /api/events/{offset}` | one event with its data |
//! | `GET /api/subscriptions` | how each of them stands, and how full the log is |
//! | `POST /api/subscriptions/{service}/{name}/seek` | has it begin again: `{ "from": "earliest" }` |
//! | `GET /api/dead-letters?service=&subscription=&after=&limit=` | those that were given up, the oldest first |
//! | `GET`, `DELETE /api/dead-letters/{id}` | one with its data; it goes: 204 |
//! | `POST /api/dead-letters/{id}/replay` | delivers it once more, now; it goes if it is handled |
//! | `GET /api/queues` | how each queue stands |
//! | `GET /api/queues/{queue}/dead-letters?after=&limit=` | messages that were received too often |
//! | `POST /api/queues/{queue}/revive` | puts them back: `{ "ids": [7] }`, or all of them |
//! | `POST /api/queues/{queue}/purge` | deletes messages, or `{ "dead": true }` dead letters, `{ "ids": [7] }` or all |
//! | `POST /api/dead-letters/purge` | all of a subscription go: `{ "service": "mail", "subscription": "orders" }` |

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::problem::{Problem, Wrong};
use super::{Admin, Answer, body, json as answer, no_content, query};
use crate::capability::bus::NewEvent;
use crate::config::{StartAt, check_topic};
use crate::events::{Events, History, MAX_PAGE, parse_time};
use crate::state::{MAX_EVENT_BYTES, Offset, Selection, Start, SubscriptionId, TopicPattern};

/// Events of a page, if nothing is said.
const PAGE: usize = 100;
/// An event in JSON: its data may be written in base64, or with escapes.
const MAX_BODY: usize = 2 * MAX_EVENT_BYTES + (64 << 10);

/// An event as an operator writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    topic: String,
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    subject: Option<String>,
    key: Option<String>,
    time: Option<String>,
    content_type: Option<String>,
    schema: Option<String>,
    #[serde(default)]
    extensions: BTreeMap<String, String>,
    #[serde(default)]
    data: String,
    data_base64: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seek {
    from: StartAt,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    service: String,
    subscription: String,
}

/// Which messages of a queue.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Messages {
    dead: bool,
    ids: Option<Vec<u64>>,
}

impl Admin {
    /// The answer to a request that is about events.
    pub(super) async fn events<B>(&self, words: &[&str], request: Request<B>) -> Result<Response<Answer>, Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let events = self.events.as_deref().ok_or(Problem::NoSuchPath)?;
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let reads = matches!(method, Method::GET | Method::HEAD);
        let posts = method == Method::POST;
        if let ["queues", queue, _] = words {
            // One that nobody can have has nothing in it, and whoever asks for it has mistyped.
            check_topic(queue).map_err(|error| invalid("queue", error.of("queue")))?;
        }
        match words {
            ["events"] if reads => answer(&events.history(history(uri.query())?).await?),
            ["events"] if posts => publish(events, body::read_object_of(request, MAX_BODY).await?).await,
            ["events", offset] if reads => answer(&events.event(number("offset", offset)?).await?),
            ["subscriptions"] if reads => answer(&events.subscriptions().await?),
            ["subscriptions", service, name, "seek"] if posts => {
                let seek: Seek = read(body::read_object(request).await?)?;
                let id = SubscriptionId { service: (*service).to_owned(), name: (*name).to_owned() };
                let position = events.seek(&id, start(seek.from)).await?;
                answer(&json!({ "service": service, "name": name, "position": position }))
            }
            ["dead-letters"] if reads => dead_letters(events, uri.query()).await,
            ["dead-letters", "purge"] if posts => {
                let Of { service, subscription } = read(body::read_object(request).await?)?;
                let purged = events.purge(&SubscriptionId { service, name: subscription }).await?;
                answer(&json!({ "purged": purged }))
            }
            ["dead-letters", id] if reads => answer(&events.dead_letter(number("id", id)?).await?),
            ["dead-letters", id] if method == Method::DELETE => {
                events.purge_one(number("id", id)?).await?;
                Ok(no_content())
            }
            ["dead-letters", id, "replay"] if posts => {
                // It changes something: a web page must have asked first.
                body::read_object(request).await?;
                answer(&events.replay(number("id", id)?).await?)
            }
            ["queues"] if reads => answer(&events.queues().await?),
            ["queues", queue, "dead-letters"] if reads => {
                let [after, limit] = query::read(uri.query(), ["after", "limit"])?;
                let after = after.map(|after| number("after", &after)).transpose()?.unwrap_or(0);
                answer(&events.queue_dead_letters(queue, after, page(limit)?).await?)
            }
            ["queues", queue, "revive"] if posts => {
                let Messages { ids, .. } = read(body::read_object(request).await?)?;
                answer(&json!({ "revived": events.queue_revive(queue, ids).await? }))
            }
            ["queues", queue, "purge"] if posts => {
                let Messages { dead, ids } = read(body::read_object(request).await?)?;
                if ids.is_some() && !dead {
                    return Err(invalid("ids", "only dead letters are deleted by number: say `dead` too"));
                }
                answer(&json!({ "purged": events.queue_purge(queue, dead, ids).await? }))
            }
            ["events"] => Err(Problem::Method("GET, HEAD, POST")),
            ["events", _] | ["subscriptions" | "dead-letters" | "queues"] | ["queues", _, "dead-letters"] => {
                Err(Problem::Method("GET, HEAD"))
            }
            ["subscriptions", _, _, "seek"]
            | ["dead-letters", _, "replay"]
            | ["dead-letters", "purge"]
            | ["queues", _, "revive" | "purge"] => Err(Problem::Method("POST")),
            ["dead-letters", _] => Err(Problem::Method("GET, HEAD, DELETE")),
            _ => Err(Problem::NoSuchPath),
        }
    }
}

/// Whether a path below `/api/` is about events.
pub(super) fn is_about_events(word: &str) -> bool {
    matches!(word, "events" | "subscriptions" | "dead-letters" | "queues")
}

fn history(query: Option<&str>) -> Result<History, Problem> {
    let names = ["topic", "type", "source", "subject", "correlationId", "since", "until", "before", "limit"];
    let [topic, kind, source, subject, correlation, since, until, before, limit] = query::read(query, names)?;
    let time = |name: &str, text: Option<String>| {
        text.map(|text| {
            let wrong = || invalid(name, "it is no time: write it like 2026-01-31T00:00:00Z");
            parse_time(&text).ok_or_else(wrong)
        })
        .transpose()
    };
    let topic = topic.map(|topic| topic.parse::<TopicPattern>()).transpose();
    let selection = Selection {
        topics: topic.map_err(|error| invalid("topic", error.to_string()))?.into_iter().collect(),
        kind,
        source,
        subject,
        correlation,
        since: time("since", since)?,
        until: time("until", until)?,
    };
    let before = before.map(|before| number("before", &before)).transpose()?;
    Ok(History { selection, before, limit: page(limit)? })
}

async fn dead_letters(events: &Events, query: Option<&str>) -> Result<Response<Answer>, Problem> {
    let [service, subscription, after, limit] = query::read(query, ["service", "subscription", "after", "limit"])?;
    let id = match (service, subscription) {
        (Some(service), Some(name)) => Some(SubscriptionId { service, name }),
        (None, None) => None,
        (Some(_), None) => return Err(invalid("subscription", "name it too: a service may have several")),
        (None, Some(_)) => return Err(invalid("service", "name it too: services may have subscriptions of one name")),
    };
    let after = after.map(|after| number("after", &after)).transpose()?.unwrap_or(0);
    answer(&events.dead_letters(id.as_ref(), after, page(limit)?).await?)
}

async fn publish(events: &Events, object: Map<String, Value>) -> Result<Response<Answer>, Problem> {
    let written: Written = read(object)?;
    let data = match written.data_base64 {
        None => written.data.into_bytes(),
        Some(_) if !written.data.is_empty() => return Err(invalid("dataBase64", "either `data` or `dataBase64`")),
        Some(text) => STANDARD.decode(text).map_err(|_| invalid("dataBase64", "it is no base64"))?,
    };
    let event = NewEvent {
        topic: written.topic,
        id: written.id,
        kind: written.kind,
        subject: written.subject,
        key: written.key,
        time: written.time,
        content_type: written.content_type,
        schema: written.schema,
        extensions: written.extensions.into_iter().collect(),
        data: data.into(),
    };
    let receipt = events.publish(event).await?;
    let told = json!({ "id": receipt.id, "offset": receipt.offset, "duplicate": receipt.duplicate });
    let mut response = answer(&told)?;
    if !receipt.duplicate {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

fn start(from: StartAt) -> Start {
    match from {
        StartAt::Latest => Start::Latest,
        StartAt::Earliest => Start::Earliest,
        StartAt::Time(time) => Start::Time(time.into()),
        StartAt::Offset(offset) => Start::Offset(Offset(offset)),
    }
}

fn read<T: for<'de> Deserialize<'de>>(object: Map<String, Value>) -> Result<T, Problem> {
    serde_json::from_value(Value::Object(object)).map_err(|error| invalid("body", error.to_string()))
}

fn page(limit: Option<String>) -> Result<usize, Problem> {
    let Some(limit) = limit else { return Ok(PAGE) };
    let limit = limit.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
    limit.ok_or_else(|| invalid("limit", format!("a number from 1 to {MAX_PAGE}")))
}

fn number(name: &str, text: &str) -> Result<u64, Problem> {
    // SQLite's numbers end there, and so do those of the log.
    let number = text.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| invalid(name, "it is no number of the log"))
}

fn invalid(field: &str, message: impl Into<String>) -> Problem {
    Problem::Invalid(vec![Wrong::new(field, message)])
}
