//! Stand-ins for the host, for tests on the machine at hand.
//!
//! The store is one map for each thread, and each test runs on a thread of its own: it begins empty. So do the event log
//! and queues, in which time stands still.

mod config;
mod delivered;
pub(crate) mod sql;

pub(crate) use config::config;
pub use config::set_config;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

use crate::request::Source;
use crate::{
    Answer, Call, CallError, Error, Event, EventError, KeyValueError, Lifetime, Message, Method, Receipt, Received,
    Request, Response,
};

/// Keys with their values, and when they end.
type Entries = BTreeMap<String, (Vec<u8>, Option<Instant>)>;

thread_local! {
    static STORE: RefCell<Entries> = const { RefCell::new(BTreeMap::new()) };
}

#[derive(Debug)]
pub(crate) struct Bucket;

impl Bucket {
    pub(crate) fn open(name: &str) -> Result<Self, KeyValueError> {
        if name == "default" { Ok(Self) } else { Err(KeyValueError::NoSuchStore) }
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        Ok(entry(key).map(|(value, _)| value))
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        write(key, value, None);
        Ok(())
    }

    pub(crate) fn set_expiring(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), KeyValueError> {
        write(key, value, Some(end(ttl)?));
        Ok(())
    }

    pub(crate) fn expire(&self, key: &str, ttl: Option<Duration>) -> Result<bool, KeyValueError> {
        let end = ttl.map(end).transpose()?;
        let Some((value, _)) = entry(key) else { return Ok(false) };
        write(key, &value, end);
        Ok(true)
    }

    pub(crate) fn lifetime(&self, key: &str) -> Result<Lifetime, KeyValueError> {
        Ok(match entry(key) {
            None => Lifetime::Missing,
            Some((_, None)) => Lifetime::Unlimited,
            Some((_, Some(end))) => Lifetime::Left(end.saturating_duration_since(Instant::now())),
        })
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        STORE.with_borrow_mut(|store| store.remove(key));
        Ok(())
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        Ok(entry(key).is_some())
    }

    /// One key a page, so that the paging is tested too.
    pub(crate) fn list_keys(&self, cursor: Option<&str>) -> Result<(Vec<String>, Option<String>), KeyValueError> {
        let later = |key: &&String| cursor.is_none_or(|last| key.as_str() > last) && entry(key).is_some();
        let keys: Vec<String> = STORE.with_borrow(|store| store.keys().cloned().collect());
        let next = keys.iter().find(later).cloned();
        Ok((next.iter().cloned().collect(), next))
    }

    pub(crate) fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<bool, KeyValueError> {
        let fits = self.get(key)?.as_deref() == expected;
        if fits {
            self.set(key, new)?;
        }
        Ok(fits)
    }

    pub(crate) fn increment(&self, key: &str, delta: i64) -> Result<i64, KeyValueError> {
        let count = match self.get(key)? {
            None => 0,
            Some(bytes) => String::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or_else(|| KeyValueError::Other("the value is no counter".to_owned()))?,
        };
        let sum = count.wrapping_add(delta);
        let end = entry(key).and_then(|(_, end)| end);
        write(key, sum.to_string().as_bytes(), end);
        Ok(sum)
    }
}

/// A value that is there, and when it ends.
fn entry(key: &str) -> Option<(Vec<u8>, Option<Instant>)> {
    let there = |(_, end): &(Vec<u8>, Option<Instant>)| end.is_none_or(|end| end > Instant::now());
    STORE.with_borrow(|store| store.get(key).cloned()).filter(there)
}

fn write(key: &str, value: &[u8], end: Option<Instant>) {
    STORE.with_borrow_mut(|store| store.insert(key.to_owned(), (value.to_owned(), end)));
}

/// With the bounds of the host.
fn end(ttl: Duration) -> Result<Instant, KeyValueError> {
    let end = (ttl >= Duration::from_millis(1)).then(|| Instant::now().checked_add(ttl)).flatten();
    end.ok_or_else(|| KeyValueError::Other("a key can end in one millisecond to ten years".to_owned()))
}

type Responder = Box<dyn FnMut(Request) -> Result<Response, Error>>;

thread_local! {
    static RESPONDER: RefCell<Option<Responder>> = const { RefCell::new(None) };
}

/// For tests: from now on, calls of this thread are answered by `answer`, whomever they are for. It finds the name of the
/// service in the `host` header. Before that, every call is [`CallError::Denied`].
pub fn answer_calls(answer: impl FnMut(Request) -> Result<Response, Error> + 'static) {
    RESPONDER.set(Some(Box::new(answer)));
}

pub(crate) fn call(call: Call) -> Result<Answer, CallError> {
    let Call { method, url, mut headers, body: mut from, timeout: _ } = call;
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| CallError::Invalid(format!("the address {url}")))?;
    let (host, target) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    headers.push(("host".to_owned(), host.into()));
    let mut body = Vec::new();
    from.read_to_end(&mut body).map_err(|error| CallError::Failed(error.to_string()))?;
    let request = Request::from_source(method, target, Box::new(Given { headers, body }));
    let response = RESPONDER.with_borrow_mut(|responder| responder.as_mut().map(|answer| answer(request)));
    let response = response.ok_or(CallError::Denied)?.unwrap_or_else(Error::into_response);
    let (status, headers) = (response.status(), response.headers().to_vec());
    Ok(Answer { status, headers, body: Box::new(Cursor::new(response.into_bytes())) })
}

/// What was published on this thread, by id.
#[derive(Default)]
struct Log {
    count: u64,
    known: BTreeMap<String, u64>,
    unseen: Vec<Event>,
}

/// A message of a queue, and the receipt of who has it.
struct Kept {
    id: u64,
    message: Message,
    attempt: u32,
    receipt: Option<String>,
}

thread_local! {
    static LOG: RefCell<Log> = RefCell::default();
    static QUEUES: RefCell<BTreeMap<String, Vec<Kept>>> = RefCell::default();
    static MESSAGES: RefCell<u64> = const { RefCell::new(0) };
}

/// For tests: the events that this thread has published since the last time that it asked.
pub fn published() -> Vec<Event> {
    LOG.with_borrow_mut(|log| std::mem::take(&mut log.unseen))
}

pub(crate) fn publish(events: Vec<Event>) -> Result<Vec<Receipt>, EventError> {
    LOG.with_borrow_mut(|log| {
        let mut receipts = Vec::new();
        for event in events {
            let id = event.id.clone().unwrap_or_else(|| format!("event-{}", log.count.saturating_add(1)));
            if let Some(offset) = log.known.get(&id) {
                receipts.push(Receipt { id, offset: *offset, duplicate: true });
                continue;
            }
            log.count = log.count.saturating_add(1);
            log.known.insert(id.clone(), log.count);
            log.unseen.push(event);
            receipts.push(Receipt { id, offset: log.count, duplicate: false });
        }
        Ok(receipts)
    })
}

pub(crate) fn send(queue: &str, messages: Vec<Message>) -> Result<Vec<u64>, EventError> {
    let mut ids = Vec::new();
    for message in messages {
        let id = MESSAGES.with_borrow_mut(|count| {
            *count = count.saturating_add(1);
            *count
        });
        let kept = Kept { id, message, attempt: 0, receipt: None };
        QUEUES.with_borrow_mut(|queues| queues.entry(queue.to_owned()).or_default().push(kept));
        ids.push(id);
    }
    Ok(ids)
}

pub(crate) fn receive(
    queue: &str,
    max: u32,
    _visibility: Option<Duration>,
    _wait: Duration,
) -> Result<Vec<Received>, EventError> {
    QUEUES.with_borrow_mut(|queues| {
        let messages = queues.entry(queue.to_owned()).or_default().iter_mut();
        let free = messages.filter(|kept| kept.receipt.is_none()).take(usize::try_from(max).unwrap_or(usize::MAX));
        let receive = |kept: &mut Kept| {
            kept.attempt = kept.attempt.saturating_add(1);
            let receipt = format!("{}-{}", kept.id, kept.attempt);
            kept.receipt = Some(receipt.clone());
            let Message { body, content_type, .. } = kept.message.clone();
            let sent = "1970-01-01T00:00:00Z".to_owned();
            Received { id: kept.id, receipt, body, content_type, attempt: kept.attempt, sent }
        };
        Ok(free.map(receive).collect())
    })
}

pub(crate) fn delete(queue: &str, receipt: &str) -> Result<(), EventError> {
    QUEUES.with_borrow_mut(|queues| {
        let messages = queues.entry(queue.to_owned()).or_default();
        let before = messages.len();
        messages.retain(|kept| kept.receipt.as_deref() != Some(receipt));
        if messages.len() < before { Ok(()) } else { Err(EventError::Expired) }
    })
}

pub(crate) fn extend(queue: &str, receipt: &str, visibility: Duration) -> Result<(), EventError> {
    QUEUES.with_borrow_mut(|queues| {
        let mut messages = queues.entry(queue.to_owned()).or_default().iter_mut();
        let kept = messages.find(|kept| kept.receipt.as_deref() == Some(receipt)).ok_or(EventError::Expired)?;
        if visibility.is_zero() {
            kept.receipt = None;
        }
        Ok(())
    })
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}

#[derive(Default)]
struct Given {
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Source for Given {
    fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.clone()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    fn take_body(&mut self) -> Box<dyn Read> {
        Box::new(Cursor::new(std::mem::take(&mut self.body)))
    }
}

/// Requests for tests.
impl Request {
    /// A `GET` of a path with or without a query.
    pub fn get(target: &str) -> Self {
        Self::new(Method::Get, target)
    }

    /// A request for a path with or without a query.
    pub fn new(method: Method, target: &str) -> Self {
        Self::from_source(method, target, Box::new(Given::default()))
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.rebuilt(|given| given.headers.push((name.to_owned(), value.as_ref().to_vec())))
    }

    /// The same with this body.
    #[must_use]
    pub fn with_body(self, body: impl Into<Vec<u8>>) -> Self {
        self.rebuilt(|given| given.body = body.into())
    }

    fn rebuilt(mut self, change: impl FnOnce(&mut Given)) -> Self {
        let mut body = Vec::new();
        let read = self.body_reader().read_to_end(&mut body);
        debug_assert!(read.is_ok(), "it is read from memory");
        let mut given = Given { headers: self.headers(), body };
        change(&mut given);
        self.replace_source(Box::new(given));
        self
    }
}
