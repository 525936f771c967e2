//! A log in memory that keeps the contract, and a service that answers as it is told. For tests with a paused clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::watch;

use super::deliver::{Answer, Deliver};
use crate::capability::delivery::Delivery;
use crate::state::{
    DeadLetter, Event, EventLog, EventLogError, EventPage, LogUsage, Offset, Progress, Published, Retention, Selection,
    Start, StoredEvent, SubscriptionId, SubscriptionState, TopicPattern, Waiting,
};

#[derive(Debug, Default)]
struct Inner {
    events: Vec<StoredEvent>,
    subscriptions: BTreeMap<SubscriptionId, Known>,
    dead: Vec<DeadLetter>,
    dead_number: u64,
}

#[derive(Debug, Default)]
struct Known {
    topics: Vec<TopicPattern>,
    position: Offset,
    waiting: BTreeMap<Offset, Waiting>,
}

/// See the module.
#[derive(Debug)]
pub(in crate::events) struct FakeLog {
    inner: Mutex<Inner>,
    newest: watch::Sender<Offset>,
    /// Does not answer.
    pub(in crate::events) broken: AtomicBool,
    /// How long each step takes.
    pub(in crate::events) delay: Duration,
    /// Every progress that was noted.
    pub(in crate::events) notes: Mutex<Vec<Progress>>,
}

impl Default for FakeLog {
    fn default() -> Self {
        Self::slow(Duration::ZERO)
    }
}

pub(in crate::events) fn event(topic: &str, key: Option<&str>, id: &str) -> Event {
    Event {
        id: id.to_owned(),
        source: "/services/test".to_owned(),
        kind: topic.to_owned(),
        topic: topic.to_owned(),
        subject: None,
        key: key.map(str::to_owned),
        time: SystemTime::UNIX_EPOCH,
        content_type: None,
        schema: None,
        extensions: BTreeMap::new(),
        data: Bytes::from(id.to_owned()),
    }
}

fn fits(selection: &Selection, event: &StoredEvent) -> bool {
    let (of, published) = (&event.event, event.published);
    (selection.topics.is_empty() || selection.topics.iter().any(|pattern| pattern.matches(&of.topic)))
        && selection.kind.as_ref().is_none_or(|kind| *kind == of.kind)
        && selection.source.as_ref().is_none_or(|source| *source == of.source)
        && selection.subject.is_none_or_eq(of.subject.as_ref())
        && selection.correlation.is_none_or_eq(of.extensions.get("correlationid"))
        && selection.since.is_none_or(|since| published >= since)
        && selection.until.is_none_or(|until| published < until)
}

trait NoneOrEq {
    fn is_none_or_eq(&self, other: Option<&String>) -> bool;
}

impl NoneOrEq for Option<String> {
    fn is_none_or_eq(&self, other: Option<&String>) -> bool {
        self.is_none() || self.as_ref() == other
    }
}

impl FakeLog {
    pub(in crate::events) fn slow(delay: Duration) -> Self {
        Self {
            inner: Mutex::default(),
            newest: watch::Sender::new(Offset(0)),
            broken: AtomicBool::new(false),
            delay,
            notes: Mutex::default(),
        }
    }

    async fn step(&self) -> Result<(), EventLogError> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        match self.broken.load(Ordering::SeqCst) {
            true => Err(EventLogError::Unavailable { detail: "told so".to_owned() }),
            false => Ok(()),
        }
    }

    pub(in crate::events) fn put(&self, events: impl IntoIterator<Item = Event>) {
        let mut inner = self.inner.lock().unwrap();
        for event in events {
            let offset = Offset(inner.events.len() as u64 + 1);
            inner.events.push(StoredEvent { offset, published: SystemTime::now(), event: Arc::new(event) });
        }
        let last = Offset(inner.events.len() as u64);
        drop(inner);
        self.newest.send_replace(last);
    }

    fn start(inner: &Inner, start: Start) -> Offset {
        let last = Offset(inner.events.len() as u64);
        match start {
            Start::Latest => last,
            Start::Earliest => Offset(0),
            Start::Time(time) => {
                inner.events.iter().rev().find(|event| event.published < time).map_or(Offset(0), |event| event.offset)
            }
            Start::Offset(offset) => Offset(offset.0.saturating_sub(1)).min(last),
        }
    }

    fn state(inner: &Inner, id: &SubscriptionId, known: &Known) -> SubscriptionState {
        SubscriptionState {
            id: id.clone(),
            topics: known.topics.clone(),
            position: known.position,
            waiting: known.waiting.len() as u64,
            dead: inner.dead.iter().filter(|dead| dead.subscription == *id).count() as u64,
        }
    }
}

const UNKNOWN: EventLogError = EventLogError::NotFound { what: "subscription" };

#[async_trait]
impl EventLog for FakeLog {
    async fn publish(&self, events: Vec<Event>) -> Result<Vec<Published>, EventLogError> {
        self.step().await?;
        let mut published = Vec::new();
        for event in events {
            let known = self.inner.lock().unwrap().events.iter().find_map(|known| {
                (known.event.source == event.source && known.event.id == event.id).then_some(known.offset)
            });
            published.push(match known {
                Some(offset) => Published::Duplicate(offset),
                None => {
                    self.put([event]);
                    Published::New(*self.newest.borrow())
                }
            });
        }
        Ok(published)
    }

    fn newest(&self) -> watch::Receiver<Offset> {
        self.newest.subscribe()
    }

    async fn read(
        &self,
        selection: Selection,
        after: Offset,
        limit: usize,
        _bytes: usize,
    ) -> Result<EventPage, EventLogError> {
        self.step().await?;
        let inner = self.inner.lock().unwrap();
        let mut page = EventPage { read_to: after, ..EventPage::default() };
        for event in inner.events.iter().skip(usize::try_from(after.0).unwrap()) {
            if page.events.len() == limit {
                page.more = true;
                break;
            }
            page.read_to = event.offset;
            if fits(&selection, event) {
                page.events.push(event.clone());
            }
        }
        Ok(page)
    }

    async fn before(&self, time: SystemTime) -> Result<Offset, EventLogError> {
        Ok(Self::start(&self.inner.lock().unwrap(), Start::Time(time)))
    }

    async fn history(
        &self,
        selection: Selection,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<EventPage, EventLogError> {
        let inner = self.inner.lock().unwrap();
        let mut page = EventPage { read_to: before.unwrap_or(Offset(u64::MAX)), ..EventPage::default() };
        for event in inner.events.iter().rev().filter(|event| before.is_none_or(|before| event.offset < before)) {
            if page.events.len() == limit {
                page.more = true;
                break;
            }
            page.read_to = event.offset;
            if fits(&selection, event) {
                page.events.push(event.clone());
            }
        }
        Ok(page)
    }

    async fn subscribe(
        &self,
        id: &SubscriptionId,
        topics: Vec<TopicPattern>,
        start: Start,
    ) -> Result<SubscriptionState, EventLogError> {
        self.step().await?;
        let mut inner = self.inner.lock().unwrap();
        let position = Self::start(&inner, start);
        let known = inner.subscriptions.entry(id.clone()).or_insert_with(|| Known { position, ..Known::default() });
        known.topics = topics;
        Ok(Self::state(&inner, id, &inner.subscriptions[id]))
    }

    async fn unsubscribe(&self, id: &SubscriptionId) -> Result<(), EventLogError> {
        self.inner.lock().unwrap().subscriptions.remove(id).map(drop).ok_or(UNKNOWN)
    }

    async fn subscriptions(&self) -> Result<Vec<SubscriptionState>, EventLogError> {
        let inner = self.inner.lock().unwrap();
        Ok(inner.subscriptions.iter().map(|(id, known)| Self::state(&inner, id, known)).collect())
    }

    async fn progress(&self, id: &SubscriptionId, progress: Progress) -> Result<(), EventLogError> {
        self.step().await?;
        self.notes.lock().unwrap().push(progress.clone());
        let mut inner = self.inner.lock().unwrap();
        let known = inner.subscriptions.get_mut(id).ok_or(UNKNOWN)?;
        if let Some(position) = progress.position {
            assert!(position >= known.position, "a position goes back");
            known.position = position;
        }
        known.waiting.extend(progress.waiting.into_iter().map(|row| (row.offset, row)));
        for offset in progress.handled {
            known.waiting.remove(&offset);
        }
        for (offset, attempts, error) in progress.dead {
            let known = inner.subscriptions.get_mut(id).ok_or(UNKNOWN)?;
            known.waiting.remove(&offset);
            inner.dead_number += 1;
            let event = inner.events[usize::try_from(offset.0).unwrap() - 1].clone();
            let (number, died) = (inner.dead_number, SystemTime::now());
            inner.dead.push(DeadLetter { id: number, subscription: id.clone(), died, attempts, error, event });
        }
        Ok(())
    }

    async fn waiting(
        &self,
        id: &SubscriptionId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<(Waiting, StoredEvent)>, EventLogError> {
        self.step().await?;
        let inner = self.inner.lock().unwrap();
        let known = inner.subscriptions.get(id).ok_or(UNKNOWN)?;
        let rows = known.waiting.values().filter(|row| row.offset > after).take(limit);
        Ok(rows.map(|row| (row.clone(), inner.events[usize::try_from(row.offset.0).unwrap() - 1].clone())).collect())
    }

    async fn seek(&self, id: &SubscriptionId, start: Start) -> Result<Offset, EventLogError> {
        let mut inner = self.inner.lock().unwrap();
        let position = Self::start(&inner, start);
        let known = inner.subscriptions.get_mut(id).ok_or(UNKNOWN)?;
        known.waiting.clear();
        known.position = position;
        Ok(position)
    }

    async fn dead_letters(
        &self,
        id: Option<&SubscriptionId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, EventLogError> {
        let inner = self.inner.lock().unwrap();
        let dead = inner.dead.iter().filter(|dead| dead.id > after && id.is_none_or(|id| dead.subscription == *id));
        Ok(dead.take(limit).cloned().collect())
    }

    async fn purge(&self, dead_letters: Vec<u64>) -> Result<u64, EventLogError> {
        let mut inner = self.inner.lock().unwrap();
        let before = inner.dead.len();
        inner.dead.retain(|dead| !dead_letters.contains(&dead.id));
        Ok((before - inner.dead.len()) as u64)
    }

    async fn retain(&self, _rules: Vec<Retention>) -> Result<u64, EventLogError> {
        Ok(0)
    }

    fn set_quota(&self, _bytes: u64) {}

    async fn usage(&self) -> Result<LogUsage, EventLogError> {
        let events = self.inner.lock().unwrap().events.len() as u64;
        Ok(LogUsage { events, bytes: events, quota: u64::MAX, first: Offset(1), last: Offset(events) })
    }
}

/// Queues that nobody uses.
pub(in crate::events) fn no_queues() -> Arc<dyn crate::state::Queues> {
    // Opened at the first use, which there is none of.
    Arc::new(crate::state::sqlite::SqliteQueues::open(std::path::Path::new("/nonexistent")))
}

/// A delivery that arrived: its event's id, place and try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::events) struct Arrived {
    pub(in crate::events) id: String,
    pub(in crate::events) key: Option<String>,
    pub(in crate::events) attempt: u32,
    pub(in crate::events) at: Duration,
}

type Script = Box<dyn FnMut(&Arrived) -> (Duration, Answer) + Send>;

/// Answers as the script says, after as long as it says.
pub(in crate::events) struct FakeService {
    began: tokio::time::Instant,
    script: Mutex<Script>,
    pub(in crate::events) arrived: Mutex<Vec<Arrived>>,
    pub(in crate::events) handled: Mutex<Vec<Arrived>>,
    pub(in crate::events) at_once: Mutex<(usize, usize)>,
    pub(in crate::events) news: watch::Sender<u64>,
}

pub(in crate::events) fn status(status: u16) -> Answer {
    Answer::Response(Response::builder().status(status).body(Bytes::new()).unwrap())
}

impl FakeService {
    pub(in crate::events) fn new(script: impl FnMut(&Arrived) -> (Duration, Answer) + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            began: tokio::time::Instant::now(),
            script: Mutex::new(Box::new(script)),
            arrived: Mutex::default(),
            handled: Mutex::default(),
            at_once: Mutex::default(),
            news: watch::Sender::new(0),
        })
    }

    /// Answers these statuses one after the other, then 200.
    pub(in crate::events) fn statuses(statuses: &[u16]) -> Arc<Self> {
        let mut statuses: VecDeque<u16> = statuses.iter().copied().collect();
        Self::new(move |_| (Duration::ZERO, status(statuses.pop_front().unwrap_or(200))))
    }

    pub(in crate::events) fn script(&self, script: impl FnMut(&Arrived) -> (Duration, Answer) + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    pub(in crate::events) fn ids(&self) -> Vec<String> {
        self.arrived.lock().unwrap().iter().map(|arrived| arrived.id.clone()).collect()
    }

    pub(in crate::events) fn handled_ids(&self) -> Vec<String> {
        self.handled.lock().unwrap().iter().map(|arrived| arrived.id.clone()).collect()
    }
}

#[async_trait]
impl Deliver for FakeService {
    async fn deliver(&self, _service: &str, request: Request<Bytes>, _timeout: Option<Duration>) -> Answer {
        let delivery = request.extensions().get::<Delivery>().unwrap().clone();
        let event = &delivery.event.event;
        let (id, key, attempt) = (event.id.clone(), event.key.clone(), delivery.attempt);
        let arrived = Arrived { id, key, attempt, at: self.began.elapsed() };
        let (takes, answer) = (self.script.lock().unwrap())(&arrived);
        if !matches!(answer, Answer::NotThere { .. }) {
            self.arrived.lock().unwrap().push(arrived.clone());
        }
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        let leave = LeaveOnDrop(&self.at_once);
        tokio::time::sleep(takes).await;
        drop(leave);
        if matches!(&answer, Answer::Response(response) if response.status().is_success()) {
            self.handled.lock().unwrap().push(arrived);
        }
        answer
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

struct LeaveOnDrop<'a>(&'a Mutex<(usize, usize)>);

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}
