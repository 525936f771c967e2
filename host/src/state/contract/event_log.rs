//! The event log's contract.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::TestClock;
use crate::state::TopicPattern;
use crate::state::event_log::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ROOMY: usize = 1 << 30;

/// Makes empty logs.
pub(in crate::state) trait Fixture {
    fn empty(&self, clock: &TestClock) -> Arc<dyn EventLog>;
}

/// Runs every check against logs of the engine.
pub(in crate::state) async fn holds(engine: &dyn Fixture) {
    events_come_back_as_they_were(engine).await;
    places_grow_and_newest_follows(engine).await;
    batches_are_all_or_nothing(engine).await;
    sizes_are_limited(engine).await;
    an_id_is_taken_once_a_day(engine).await;
    a_deleted_event_is_still_known(engine).await;
    concurrent_publishers_lose_nothing(engine).await;
    selections_find_what_they_name(engine).await;
    little_is_found_in_bounded_steps(engine).await;
    pages_are_bounded_in_bytes(engine).await;
    a_subscription_begins_where_it_says(engine).await;
    progress_is_one_step(engine).await;
    what_waits_comes_back(engine).await;
    seeking_delivers_again(engine).await;
    dead_letters_have_their_own_copy(engine).await;
    the_log_is_full_until_somebody_catches_up(engine).await;
    retention_keeps_what_is_needed(engine).await;
    the_first_rule_that_fits_counts(engine).await;
    a_clock_that_is_set_back_does_no_harm(engine).await;
}

/// A log and its clock.
fn fresh(engine: &dyn Fixture) -> (Arc<dyn EventLog>, TestClock) {
    let clock = TestClock::new();
    (engine.empty(&clock), clock)
}

fn event(topic: &str, id: &str) -> Event {
    Event {
        id: id.to_owned(),
        source: "/services/orders".to_owned(),
        kind: topic.to_owned(),
        topic: topic.to_owned(),
        subject: None,
        key: None,
        time: SystemTime::UNIX_EPOCH,
        content_type: None,
        schema: None,
        extensions: BTreeMap::new(),
        data: Bytes::new(),
    }
}

fn sized(topic: &str, id: &str, bytes: usize) -> Event {
    Event { data: vec![b'x'; bytes].into(), ..event(topic, id) }
}

fn id(name: &str) -> SubscriptionId {
    SubscriptionId { service: "audit".to_owned(), name: name.to_owned() }
}

fn patterns(texts: &[&str]) -> Vec<TopicPattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn topics(texts: &[&str]) -> Selection {
    Selection { topics: patterns(texts), ..Selection::default() }
}

fn ids<'a>(events: impl IntoIterator<Item = &'a StoredEvent>) -> Vec<&'a str> {
    events.into_iter().map(|stored| stored.event.id.as_str()).collect()
}

async fn publish(log: &Arc<dyn EventLog>, event: Event) -> Published {
    log.publish(vec![event]).await.unwrap()[0]
}

/// Publishes `count` events whose ids are the numbers from `first`.
async fn publish_many(log: &Arc<dyn EventLog>, topic: &str, first: usize, count: usize) {
    for batch in (first..first + count).collect::<Vec<_>>().chunks(MAX_PUBLISH_EVENTS) {
        log.publish(batch.iter().map(|number| event(topic, &number.to_string())).collect()).await.unwrap();
    }
}

/// Reads all that is selected, page by page.
async fn read_all(log: &Arc<dyn EventLog>, selection: &Selection) -> Vec<StoredEvent> {
    let (mut after, mut events) = (Offset(0), Vec::new());
    for _ in 0..1000 {
        let page = log.read(selection.clone(), after, 7, ROOMY).await.unwrap();
        assert!(page.events.len() <= 7);
        assert!(page.events.iter().all(|event| event.offset > after && event.offset <= page.read_to));
        events.extend(page.events);
        if !page.more {
            return events;
        }
        assert!(page.read_to > after, "a page goes on");
        after = page.read_to;
    }
    panic!("reading does not end");
}

/// The same backwards.
async fn history_all(log: &Arc<dyn EventLog>, selection: &Selection) -> Vec<StoredEvent> {
    let (mut before, mut events) = (None, Vec::new());
    for _ in 0..1000 {
        let page = log.history(selection.clone(), before, 7).await.unwrap();
        assert!(page.events.len() <= 7);
        assert!(page.events.iter().all(|event| before.is_none_or(|before| event.offset < before)));
        events.extend(page.events);
        if !page.more {
            events.reverse();
            return events;
        }
        assert!(before.is_none_or(|before| page.read_to < before), "a page goes on");
        before = Some(page.read_to);
    }
    panic!("history does not end");
}

async fn state(log: &Arc<dyn EventLog>, name: &str) -> SubscriptionState {
    log.subscriptions().await.unwrap().into_iter().find(|state| state.id == id(name)).unwrap()
}

async fn progress(log: &Arc<dyn EventLog>, name: &str, position: u64) {
    let to = Progress { position: Some(Offset(position)), ..Progress::default() };
    log.progress(&id(name), to).await.unwrap();
}

fn waits(offset: u64) -> Waiting {
    Waiting { offset: Offset(offset), lane: None, attempts: 1, due: None, error: "no".to_owned() }
}

async fn events_come_back_as_they_were(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    let nasty = "'; DROP TABLE events -- \u{1f980} \0 \n %";
    let full = Event {
        id: nasty.to_owned(),
        source: "/services/orders".to_owned(),
        kind: "com.example.order".to_owned(),
        topic: "order.created".to_owned(),
        subject: Some(String::new()),
        key: Some(nasty.to_owned()),
        time: SystemTime::UNIX_EPOCH - Duration::from_nanos(1_500_000_000_000_000_001),
        content_type: Some("application/json".to_owned()),
        schema: Some("https://example/schema".to_owned()),
        extensions: [("correlationid", "c-1"), ("traceparent", "00-ab"), ("empty", ""), ("nasty", nasty)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        data: (0..=255).collect::<Vec<u8>>().into(),
    };
    let only_correlation =
        Event { extensions: [("correlationid".to_owned(), String::new())].into(), ..event("a", "only") };
    let published = [full.clone(), event("order.created", "plain"), only_correlation.clone()];
    log.publish(published.to_vec()).await.unwrap();
    let read = read_all(&log, &Selection::default()).await;
    assert_eq!(read.iter().map(|stored| (*stored.event).clone()).collect::<Vec<_>>(), published);
    assert!(read.iter().all(|stored| stored.published == clock.now()));
    assert_eq!(history_all(&log, &Selection::default()).await, read);
}

async fn places_grow_and_newest_follows(engine: &dyn Fixture) {
    let (log, _clock) = fresh(engine);
    let mut newest = log.newest();
    assert_eq!(log.usage().await.unwrap().last, Offset(0));
    assert_eq!(log.publish(Vec::new()).await.unwrap(), []);
    assert_eq!(publish(&log, event("a", "1")).await, Published::New(Offset(1)));
    newest.changed().await.unwrap();
    assert_eq!(*newest.borrow_and_update(), Offset(1));
    let published = log.publish(vec![event("b", "2"), event("a", "3")]).await.unwrap();
    assert_eq!(published, [Published::New(Offset(2)), Published::New(Offset(3))]);
    assert_eq!(*log.newest().borrow(), Offset(3));
    newest.changed().await.unwrap();
    newest.mark_unchanged();
    publish(&log, event("a", "1")).await;
    assert!(!newest.has_changed().unwrap(), "a duplicate is nothing new");
    let usage = log.usage().await.unwrap();
    assert_eq!((usage.events, usage.first, usage.last), (3, Offset(1), Offset(3)));
}

async fn batches_are_all_or_nothing(engine: &dyn Fixture) {
    let (log, _clock) = fresh(engine);
    let batch = vec![event("a", "1"), sized("a", "2", MAX_EVENT_BYTES + 1), event("a", "3")];
    assert_eq!(log.publish(batch).await, Err(EventLogError::EventTooLarge { bytes: MAX_EVENT_BYTES + 1 }));
    log.set_quota(2 * EVENT_OVERHEAD_BYTES as u64);
    assert!(matches!(log.publish(vec![event("a", "1"), event("a", "2")]).await, Err(EventLogError::Full { .. })));
    assert_eq!(log.usage().await.unwrap(), LogUsage { quota: 512, ..LogUsage::default() });
    // Nothing is left of a refused batch, its ids neither.
    log.set_quota(1 << 30);
    assert_eq!(publish(&log, event("a", "1")).await, Published::New(Offset(1)));

    let batch = vec![event("a", "2"), event("a", "1"), event("a", "3"), event("a", "2")];
    let expected = [
        Published::New(Offset(2)),
        Published::Duplicate(Offset(1)),
        Published::New(Offset(3)),
        Published::Duplicate(Offset(2)),
    ];
    assert_eq!(log.publish(batch).await.unwrap(), expected);
    assert_eq!(ids(&read_all(&log, &Selection::default()).await), ["1", "2", "3"]);
}

async fn sizes_are_limited(engine: &dyn Fixture) {
    let (log, _clock) = fresh(engine);
    publish(&log, sized("a", "1", MAX_EVENT_BYTES)).await;
    let attributes = Event { subject: Some("x".repeat(MAX_ATTRIBUTE_BYTES)), ..event("a", "2") };
    let refused = log.publish(vec![attributes]).await;
    assert!(matches!(refused, Err(EventLogError::AttributesTooLarge { bytes }) if bytes > MAX_ATTRIBUTE_BYTES));
    let extension = [("x".to_owned(), "x".repeat(MAX_ATTRIBUTE_BYTES))].into();
    let refused = log.publish(vec![Event { extensions: extension, ..event("a", "2") }]).await;
    assert!(matches!(refused, Err(EventLogError::AttributesTooLarge { .. })));
    let many = (0..=MAX_PUBLISH_EVENTS).map(|number| event("a", &number.to_string())).collect();
    assert_eq!(log.publish(many).await, Err(EventLogError::BatchTooLarge));
    let large =
        (0..=MAX_PUBLISH_BYTES / MAX_EVENT_BYTES).map(|number| sized("a", &number.to_string(), MAX_EVENT_BYTES));
    assert_eq!(log.publish(large.collect()).await, Err(EventLogError::BatchTooLarge));
    assert_eq!(log.usage().await.unwrap().events, 1);
}

async fn an_id_is_taken_once_a_day(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    publish(&log, event("a", "1")).await;
    clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(publish(&log, event("other.topic", "1")).await, Published::Duplicate(Offset(1)));
    let other = Event { source: "/services/users".to_owned(), ..event("a", "1") };
    assert_eq!(publish(&log, other).await, Published::New(Offset(2)), "ids are of a source");
    clock.advance(Duration::from_secs(1));
    assert_eq!(publish(&log, event("a", "1")).await, Published::New(Offset(3)));
    assert_eq!(publish(&log, event("a", "1")).await, Published::Duplicate(Offset(3)));
    assert_eq!(log.usage().await.unwrap().events, 3);
}

async fn a_deleted_event_is_still_known(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    publish_many(&log, "a", 0, 10).await;
    let all = Retention { topics: "#".parse().unwrap(), age: None, bytes: Some(0) };
    assert_eq!(log.retain(vec![all.clone()]).await.unwrap(), 10);
    assert_eq!(publish(&log, event("a", "4")).await, Published::Duplicate(Offset(5)));
    assert_eq!(publish(&log, event("a", "10")).await, Published::New(Offset(11)), "places are not used again");
    clock.advance(DAY);
    log.retain(vec![]).await.unwrap();
    assert_eq!(publish(&log, event("a", "4")).await, Published::New(Offset(12)));
}

async fn concurrent_publishers_lose_nothing(engine: &dyn Fixture) {
    let (log, _clock) = fresh(engine);
    let tasks: Vec<_> = (0..16)
        .map(|publisher| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for number in 0..20 {
                    let batch = ["x", "y"].map(|half| event("a", &format!("{publisher}.{number}.{half}")));
                    let published = log.publish(batch.to_vec()).await.unwrap();
                    let [Published::New(first), Published::New(second)] = published[..] else {
                        panic!("{published:?}")
                    };
                    assert_eq!(second.0, first.0 + 1, "a batch lies together");
                    // Everybody publishes the same one, too.
                    publish(&log, event("a", &format!("shared {number}"))).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let read = read_all(&log, &Selection::default()).await;
    assert_eq!(read.len(), 16 * 20 * 2 + 20);
    assert!(read.iter().zip(1..).all(|(stored, place)| stored.offset == Offset(place)));
    for publisher in 0..16 {
        let prefix = format!("{publisher}.");
        let own = ids(&read).into_iter().filter(|id| id.starts_with(&prefix));
        let expected = (0..20).flat_map(|number| ["x", "y"].map(|half| format!("{publisher}.{number}.{half}")));
        assert!(own.eq(expected), "the order of one publisher is kept");
    }
}

async fn selections_find_what_they_name(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    let start = clock.now();
    for number in 0..60_u32 {
        let of = |names: &[&str]| names[number as usize % names.len()].to_owned();
        let extensions =
            if number % 4 == 0 { [("correlationid".to_owned(), of(&["p", "q"]))].into() } else { BTreeMap::new() };
        let event = Event {
            kind: of(&["k1", "k2", "k3"]),
            source: of(&["/a", "/b"]),
            subject: (number % 2 == 0).then(|| of(&["s1", "s2", "s3", "s4", "s5"])),
            extensions,
            ..event(&of(&["order.created", "order.paid", "user.created", "x"]), &number.to_string())
        };
        publish(&log, event).await;
        clock.advance(Duration::from_secs(1));
    }
    let all = read_all(&log, &Selection::default()).await;
    assert_eq!(all.len(), 60);
    let second = |seconds| start + Duration::from_secs(seconds);
    let text = |text: &str| Some(text.to_owned());
    let base = Selection::default();
    let selections = [
        topics(&["order.paid"]),
        topics(&["order.paid", "x", "order.paid", "not.there"]),
        topics(&["order.*"]),
        topics(&["#.created", "x"]),
        topics(&["not.*"]),
        topics(&["#"]),
        Selection { kind: text("k2"), ..base.clone() },
        Selection { source: text("/b"), ..base.clone() },
        Selection { subject: text("s3"), ..base.clone() },
        Selection { correlation: text("p"), ..base.clone() },
        Selection { since: Some(second(10)), ..base.clone() },
        Selection { until: Some(second(10)), ..base.clone() },
        Selection { since: Some(second(10)), until: Some(second(11)), ..base.clone() },
        Selection { since: Some(second(11)), until: Some(second(10)), ..base.clone() },
        Selection { since: Some(second(1000)), ..base.clone() },
        Selection { until: Some(start), ..base.clone() },
        Selection { kind: text("k1"), source: text("/a"), since: Some(second(5)), ..topics(&["order.#"]) },
        Selection { subject: text("s1"), correlation: text("p"), ..base.clone() },
        Selection { kind: text("K1"), ..base.clone() },
        Selection { kind: text("k1"), ..topics(&["x"]) },
    ];
    for selection in selections {
        let fits = |stored: &&StoredEvent| {
            let event = &stored.event;
            let is = |asked: &Option<String>, value: Option<&String>| asked.is_none() || asked.as_ref() == value;
            (selection.topics.is_empty() || selection.topics.iter().any(|topic| topic.matches(&event.topic)))
                && is(&selection.kind, Some(&event.kind))
                && is(&selection.source, Some(&event.source))
                && is(&selection.subject, event.subject.as_ref())
                && is(&selection.correlation, event.extensions.get("correlationid"))
                && selection.since.is_none_or(|since| stored.published >= since)
                && selection.until.is_none_or(|until| stored.published < until)
        };
        let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
        assert_eq!(read_all(&log, &selection).await, expected, "{selection:?}");
        assert_eq!(history_all(&log, &selection).await, expected, "{selection:?}");
    }
    assert_eq!(log.before(start).await.unwrap(), Offset(0));
    assert_eq!(log.before(second(7)).await.unwrap(), Offset(7));
    assert_eq!(log.before(second(1000)).await.unwrap(), Offset(60));
    // Beyond the end there is nothing, and reading does not go back.
    let page = log.read(base, Offset(100), 10, ROOMY).await.unwrap();
    assert_eq!((page.events.len(), page.read_to, page.more), (0, Offset(100), false));
}

async fn little_is_found_in_bounded_steps(engine: &dyn Fixture) {
    let (log, _clock) = fresh(engine);
    publish_many(&log, "noise", 0, 2500).await;
    publish(&log, Event { subject: Some("wanted".to_owned()), ..event("signal.one", "one") }).await;
    publish_many(&log, "noise", 5000, 2500).await;
    publish(&log, event("signal.two", "two")).await;
    for topic in ["signal.*", "signal.one"] {
        let page = log.read(topics(&[topic]), Offset(0), 1, ROOMY).await.unwrap();
        assert_eq!(ids(&page.events), ["one"], "what leads to little is found at once");
    }
    let rare = Selection {
        kind: Some("signal.two".to_owned()),
        source: Some("/services/orders".to_owned()),
        ..topics(&["*.two"])
    };
    assert_eq!(ids(&read_all(&log, &rare).await), ["two"]);
    // Nothing leads to this but all the noise: several calls, none of which takes long.
    let hidden = Selection { kind: Some("signal.two".to_owned()), ..topics(&["noise"]) };
    let page = log.read(hidden.clone(), Offset(0), 10, ROOMY).await.unwrap();
    assert!(page.events.is_empty());
    assert!(page.read_to > Offset(0) && (page.more == (page.read_to < Offset(5002))), "{page:?}");
    assert_eq!(read_all(&log, &hidden).await, []);
    assert_eq!(history_all(&log, &hidden).await, []);
    // A subscriber of little is told that it has read everything.
    let page = log.read(topics(&["signal.two"]), Offset(5002), 10, ROOMY).await.unwrap();
    assert_eq!((page.read_to, page.more), (Offset(5002), false));
    let page = log.read(topics(&["signal.three"]), Offset(0), 10, ROOMY).await.unwrap();
    assert_eq!((page.read_to, page.more), (Offset(5002), false));
}

async fn pages_are_bounded_in_bytes(engine: &dyn Fixture) {
    let (log, _clock) = fresh(engine);
    for number in 0..4 {
        publish(&log, sized("a", &number.to_string(), 100_000)).await;
    }
    let page = log.read(Selection::default(), Offset(0), 10, 250_000).await.unwrap();
    assert_eq!((page.events.len(), page.read_to, page.more), (2, Offset(2), true));
    let page = log.read(Selection::default(), page.read_to, 10, 1).await.unwrap();
    assert_eq!((page.events.len(), page.read_to, page.more), (1, Offset(3), true));
    let page = log.read(Selection::default(), page.read_to, 1, 1).await.unwrap();
    assert_eq!((page.events.len(), page.read_to, page.more), (1, Offset(4), false));
}

async fn a_subscription_begins_where_it_says(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    for number in 0..5 {
        publish(&log, event("a", &number.to_string())).await;
        clock.advance(Duration::from_secs(1));
    }
    let third = clock.now() - Duration::from_secs(3);
    let starts = [
        ("latest", Start::Latest, 5),
        ("earliest", Start::Earliest, 0),
        ("time", Start::Time(third), 2),
        ("long ago", Start::Time(SystemTime::UNIX_EPOCH), 0),
        ("offset", Start::Offset(Offset(3)), 2),
        ("zero", Start::Offset(Offset(0)), 0),
        ("far", Start::Offset(Offset(u64::MAX)), 5),
    ];
    for (name, start, position) in starts {
        let state = log.subscribe(&id(name), patterns(&["a"]), start).await.unwrap();
        let expected = SubscriptionState {
            id: id(name),
            topics: patterns(&["a"]),
            position: Offset(position),
            waiting: 0,
            dead: 0,
        };
        assert_eq!(state, expected, "{name}");
    }
    // One that exists goes on where it is, with what it selects now.
    let again = log.subscribe(&id("earliest"), patterns(&["b", "c.#"]), Start::Latest).await.unwrap();
    assert_eq!((again.position, again.topics), (Offset(0), patterns(&["b", "c.#"])));
    let all = log.subscriptions().await.unwrap();
    assert_eq!(all.len(), starts.len());
    assert!(all.is_sorted_by_key(|state| state.id.clone()));
    // Names of different services are different.
    let other = SubscriptionId { service: "mail".to_owned(), name: "latest".to_owned() };
    log.subscribe(&other, vec![], Start::Earliest).await.unwrap();
    log.unsubscribe(&other).await.unwrap();
    assert_eq!(log.unsubscribe(&other).await, Err(EventLogError::NotFound { what: "subscription" }));
    assert_eq!(log.progress(&other, Progress::default()).await, Err(EventLogError::NotFound { what: "subscription" }));
    assert_eq!(log.waiting(&other, Offset(0), 9).await, Err(EventLogError::NotFound { what: "subscription" }));
    assert_eq!(log.seek(&other, Start::Latest).await, Err(EventLogError::NotFound { what: "subscription" }));
    assert_eq!(log.subscriptions().await.unwrap(), all);
}

async fn progress_is_one_step(engine: &dyn Fixture) {
    let (log, _clock) = fresh(engine);
    publish_many(&log, "a", 0, 10).await;
    log.subscribe(&id("s"), vec![], Start::Earliest).await.unwrap();
    progress(&log, "s", 5).await;
    assert_eq!(state(&log, "s").await.position, Offset(5));
    progress(&log, "s", 3).await;
    assert_eq!(state(&log, "s").await.position, Offset(5), "it does not go back");
    progress(&log, "s", 1000).await;
    assert_eq!(state(&log, "s").await.position, Offset(10), "nor beyond the end");

    let before = state(&log, "s").await;
    for (waiting, dead) in [(vec![waits(1), waits(99)], vec![]), (vec![waits(2)], vec![(Offset(99), 1, String::new())])]
    {
        let refused = Progress { position: Some(Offset(10)), waiting, handled: vec![], dead };
        assert_eq!(log.progress(&id("s"), refused).await, Err(EventLogError::NotFound { what: "event" }));
        assert_eq!(state(&log, "s").await, before, "all of it, or nothing");
    }
}

async fn what_waits_comes_back(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    publish_many(&log, "a", 0, 10).await;
    for name in ["s", "other"] {
        log.subscribe(&id(name), vec![], Start::Earliest).await.unwrap();
    }
    let due = clock.now() + Duration::from_nanos(1_000_000_007);
    let second = Waiting {
        offset: Offset(2),
        lane: Some(("a".to_owned(), String::new())),
        attempts: 3,
        due: Some(due),
        error: "\u{1f980}".repeat(MAX_ERROR_BYTES),
    };
    let noted = Progress {
        position: Some(Offset(6)),
        waiting: vec![waits(5), second.clone(), waits(6)],
        ..Progress::default()
    };
    log.progress(&id("s"), noted).await.unwrap();
    let waiting = log.waiting(&id("s"), Offset(0), 10).await.unwrap();
    assert_eq!(waiting.len(), 3);
    let (first, stored) = &waiting[0];
    assert_eq!(first.error.len(), MAX_ERROR_BYTES);
    assert_eq!(Waiting { error: String::new(), ..first.clone() }, Waiting { error: String::new(), ..second.clone() });
    assert_eq!((stored.offset, stored.event.id.as_str()), (Offset(2), "1"));
    assert_eq!(waiting[1].0, waits(5));
    let page = log.waiting(&id("s"), Offset(2), 1).await.unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].0.offset, Offset(5));
    assert_eq!(log.waiting(&id("other"), Offset(0), 10).await.unwrap(), []);
    assert_eq!((state(&log, "s").await.waiting, state(&log, "other").await.waiting), (3, 0));

    let later = Progress {
        waiting: vec![Waiting { attempts: 4, ..waits(2) }],
        handled: vec![Offset(5), Offset(9)],
        dead: vec![(Offset(6), 7, "gave up".to_owned())],
        ..Progress::default()
    };
    log.progress(&id("s"), later).await.unwrap();
    let left = log.waiting(&id("s"), Offset(0), 10).await.unwrap();
    assert_eq!(
        left.iter().map(|(waiting, _)| waiting.clone()).collect::<Vec<_>>(),
        [Waiting { attempts: 4, ..waits(2) }]
    );
    let now = state(&log, "s").await;
    assert_eq!((now.position, now.waiting, now.dead), (Offset(6), 1, 1));
    // A subscription that is made anew has nothing of the old one's.
    log.unsubscribe(&id("s")).await.unwrap();
    let anew = log.subscribe(&id("s"), vec![], Start::Latest).await.unwrap();
    assert_eq!((anew.waiting, anew.dead, anew.position), (0, 1, Offset(10)), "but for the dead letters");
}

async fn seeking_delivers_again(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    for number in 0..10 {
        publish(&log, event("a", &number.to_string())).await;
        clock.advance(Duration::from_secs(1));
    }
    log.subscribe(&id("s"), vec![], Start::Latest).await.unwrap();
    let noted = Progress { waiting: vec![waits(3)], ..Progress::default() };
    log.progress(&id("s"), noted).await.unwrap();
    let seventh = clock.now() - Duration::from_secs(4);
    for (start, position) in
        [(Start::Offset(Offset(4)), 3), (Start::Time(seventh), 6), (Start::Earliest, 0), (Start::Latest, 10)]
    {
        assert_eq!(log.seek(&id("s"), start).await.unwrap(), Offset(position), "{start:?}");
        let now = state(&log, "s").await;
        assert_eq!((now.position, now.waiting), (Offset(position), 0));
    }
}

async fn dead_letters_have_their_own_copy(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    publish_many(&log, "a", 0, 4).await;
    log.subscribe(&id("s"), vec![], Start::Earliest).await.unwrap();
    log.subscribe(&id("t"), vec![], Start::Earliest).await.unwrap();
    let read = read_all(&log, &Selection::default()).await;
    clock.advance(Duration::from_secs(1));
    for name in ["s", "t"] {
        let dead = [1, 3].map(|place| (Offset(place), 5, format!("{name} gave up"))).to_vec();
        log.progress(&id(name), Progress { position: Some(Offset(4)), dead, ..Progress::default() }).await.unwrap();
    }
    let all = Retention { topics: "#".parse().unwrap(), age: None, bytes: Some(0) };
    assert_eq!(log.retain(vec![all]).await.unwrap(), 4);

    let letters = log.dead_letters(None, 0, 10).await.unwrap();
    assert_eq!(letters.len(), 4);
    assert!(letters.is_sorted_by_key(|letter| letter.id));
    let of_s = log.dead_letters(Some(&id("s")), 0, 10).await.unwrap();
    let expected = |place: usize, id_: u64| DeadLetter {
        id: id_,
        subscription: id("s"),
        died: clock.now(),
        attempts: 5,
        error: "s gave up".to_owned(),
        event: read[place].clone(),
    };
    assert_eq!(of_s, [expected(0, of_s[0].id), expected(2, of_s[1].id)]);
    assert_eq!(log.dead_letters(Some(&id("s")), of_s[0].id, 10).await.unwrap(), of_s[1..]);
    assert_eq!(log.dead_letters(None, 0, 1).await.unwrap(), letters[..1]);
    assert_eq!(log.dead_letters(Some(&id("nobody")), 0, 10).await.unwrap(), []);
    assert!(log.usage().await.unwrap().bytes > 4 * EVENT_OVERHEAD_BYTES as u64, "they count");

    assert_eq!(log.purge(vec![of_s[0].id]).await.unwrap(), 1);
    assert_eq!(log.purge(vec![of_s[0].id]).await.unwrap(), 0, "it is gone");
    assert_eq!(log.dead_letters(Some(&id("s")), 0, 10).await.unwrap(), of_s[1..]);
    let numbers = letters.iter().map(|letter| letter.id).chain([u64::MAX]).collect();
    assert_eq!(log.purge(numbers).await.unwrap(), 3);
    assert_eq!(log.dead_letters(None, 0, 10).await.unwrap(), []);
    assert_eq!(log.usage().await.unwrap().bytes, 0);
}

async fn the_log_is_full_until_somebody_catches_up(engine: &dyn Fixture) {
    let (log, _clock) = fresh(engine);
    log.subscribe(&id("quick"), vec![], Start::Earliest).await.unwrap();
    log.subscribe(&id("slow"), vec![], Start::Earliest).await.unwrap();
    log.set_quota(100_000);
    let mut number = 0;
    let full = loop {
        match log.publish(vec![sized("a", &number.to_string(), 10_000)]).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(number, 9, "attributes and overhead count");
    progress(&log, "quick", 9).await;
    let refused = log.publish(vec![sized("a", "x", 10_000)]).await.unwrap_err();
    assert!(matches!(&full, EventLogError::Full { quota: 100_000, .. }), "{full:?}");
    assert!(refused.to_string().contains("audit/slow is furthest behind, by 9 events"), "{refused}");
    // A smaller one still fits, one that is known needs no room, and the rest of the log works.
    publish(&log, event("a", "small")).await;
    assert_eq!(publish(&log, sized("a", "0", 10_000)).await, Published::Duplicate(Offset(1)));
    let all = Retention { topics: "#".parse().unwrap(), age: None, bytes: Some(0) };
    assert_eq!(log.retain(vec![all.clone()]).await.unwrap(), 0, "nothing goes that somebody has not had");
    progress(&log, "quick", 10).await;
    progress(&log, "slow", 4).await;
    assert_eq!(log.retain(vec![all]).await.unwrap(), 4);
    publish(&log, sized("a", "x", 10_000)).await;

    // A quota that is lowered refuses, and says what holds the log.
    progress(&log, "quick", 100).await;
    progress(&log, "slow", 100).await;
    log.set_quota(10);
    let refused = log.publish(vec![event("a", "y")]).await.unwrap_err();
    assert!(refused.to_string().contains("no subscription is behind"), "{refused}");
    assert_eq!(log.usage().await.unwrap().quota, 10);
}

async fn retention_keeps_what_is_needed(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    log.subscribe(&id("a"), patterns(&["a.*"]), Start::Earliest).await.unwrap();
    log.subscribe(&id("all"), vec![], Start::Earliest).await.unwrap();
    for number in 0..10 {
        let topic = if number % 2 == 0 { "a.x" } else { "b" };
        publish(&log, event(topic, &number.to_string())).await;
        clock.advance(Duration::from_secs(60));
    }
    let rule = |age: Option<u64>, bytes| {
        vec![Retention { topics: "#".parse().unwrap(), age: age.map(Duration::from_secs), bytes }]
    };
    assert_eq!(log.retain(rule(Some(0), None)).await.unwrap(), 0, "nobody has had anything");
    // `all` waits for one and has had the others; `a` has had four places and does not care about b.
    let noted = Progress { position: Some(Offset(10)), waiting: vec![waits(2)], ..Progress::default() };
    log.progress(&id("all"), noted).await.unwrap();
    progress(&log, "a", 4).await;
    assert_eq!(log.retain(rule(Some(10 * 60), None)).await.unwrap(), 0, "nothing is that old");
    assert_eq!(log.retain(rule(Some(9 * 60 - 1), None)).await.unwrap(), 1, "one is");
    assert_eq!(log.retain(rule(None, Some(1 << 20))).await.unwrap(), 0, "nothing is too much");
    let mut gone = 0;
    while let went @ 1.. = log.retain(rule(Some(1), None)).await.unwrap() {
        gone += went;
    }
    let left = read_all(&log, &Selection::default()).await;
    assert_eq!(ids(&left), ["1", "4", "6", "8"], "one waits, the others are not had by the first subscription");
    assert_eq!(gone, 5);
    assert_eq!(log.usage().await.unwrap().events, 4);

    // By size: the oldest of all topics go first, and only as many as are too much.
    log.unsubscribe(&id("a")).await.unwrap();
    log.progress(&id("all"), Progress { handled: vec![Offset(2)], ..Progress::default() }).await.unwrap();
    let bytes = log.usage().await.unwrap().bytes;
    assert_eq!(log.retain(rule(None, Some(bytes - 1))).await.unwrap(), 1);
    assert_eq!(ids(&read_all(&log, &Selection::default()).await), ["4", "6", "8"]);
    assert_eq!(log.retain(rule(None, Some(0))).await.unwrap(), 3);
    let usage = log.usage().await.unwrap();
    assert_eq!((usage.events, usage.bytes, usage.first, usage.last), (0, 0, Offset(10), Offset(10)));

    // Large retentions go in pieces.
    publish_many(&log, "c", 100, 2500).await;
    progress(&log, "all", u64::MAX).await;
    let mut pieces = 0;
    while log.retain(rule(None, Some(0))).await.unwrap() > 0 {
        pieces += 1;
    }
    assert!(pieces > 1);
    assert_eq!(log.usage().await.unwrap().events, 0);
}

async fn the_first_rule_that_fits_counts(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    for topic in ["order.kept", "order.short", "other"] {
        publish(&log, event(topic, topic)).await;
    }
    clock.advance(Duration::from_secs(100));
    let rule = |topics: &str, age| Retention {
        topics: topics.parse().unwrap(),
        age: Some(Duration::from_secs(age)),
        bytes: None,
    };
    let rules = vec![rule("order.kept", 1000), rule("order.*", 10)];
    assert_eq!(log.retain(rules).await.unwrap(), 1);
    assert_eq!(ids(&read_all(&log, &Selection::default()).await), ["order.kept", "other"]);
    let forever = Retention { topics: "#".parse().unwrap(), age: None, bytes: None };
    assert_eq!(log.retain(vec![forever, rule("#", 10)]).await.unwrap(), 0);
}

async fn a_clock_that_is_set_back_does_no_harm(engine: &dyn Fixture) {
    let (log, clock) = fresh(engine);
    publish(&log, event("a", "1")).await;
    clock.set_back(Duration::from_secs(10));
    publish(&log, event("a", "2")).await;
    let read = read_all(&log, &Selection::default()).await;
    assert!(read[1].published >= read[0].published, "a small step back is not seen");
    // The clock was a year ahead and is put right.
    clock.advance(DAY * 365);
    publish(&log, event("a", "3")).await;
    clock.set_back(DAY * 365);
    publish(&log, event("a", "4")).await;
    clock.advance(DAY * 2);
    assert_eq!(publish(&log, event("a", "4")).await, Published::New(Offset(5)), "a day is a day again");
    let old = Retention { topics: "#".parse().unwrap(), age: Some(DAY), bytes: None };
    assert!(log.retain(vec![old]).await.unwrap() >= 2);
    assert_eq!(ids(&read_all(&log, &Selection::default()).await).last(), Some(&"4"));
}
