//! The event log beside a naive model of it: whatever is asked for in whatever order, both answer the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::TestClock;
use super::event_log::Fixture;
use crate::state::TopicPattern;
use crate::state::event_log::*;

const TOPICS: [&str; 4] = ["a", "a.b", "a.c", "b.c"];
const PATTERNS: [&str; 6] = ["#", "a", "a.*", "#.c", "b.#", "none"];
const QUOTA: u64 = 20 * (EVENT_OVERHEAD_BYTES as u64 + 100);

#[derive(Clone, Debug)]
enum Step {
    /// Topic and id of each.
    Publish(Vec<(usize, u8)>),
    Subscribe(usize, Vec<usize>, Begin),
    Unsubscribe(usize),
    Seek(usize, Begin),
    Progress {
        who: usize,
        position: Option<u64>,
        waiting: Vec<u64>,
        handled: Vec<u64>,
        dead: Vec<u64>,
    },
    Retain {
        topics: usize,
        age: Option<u64>,
        bytes: Option<u64>,
    },
    Purge(usize),
    Advance(u64),
    Read {
        topics: Vec<usize>,
        after: u64,
        limit: usize,
        kind: bool,
        since: Option<u64>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Begin {
    Latest,
    Earliest,
    Time(u64),
    Offset(u64),
}

fn begin() -> impl Strategy<Value = Begin> {
    prop_oneof![
        Just(Begin::Latest),
        Just(Begin::Earliest),
        (0..40_u64).prop_map(Begin::Time),
        (0..40_u64).prop_map(Begin::Offset),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let places = || prop::collection::vec(0..25_u64, 0..4);
    prop_oneof![
        6 => prop::collection::vec((0..TOPICS.len(), 0..40_u8), 1..5).prop_map(Step::Publish),
        2 => (0..2_usize, prop::collection::vec(0..PATTERNS.len(), 0..3), begin())
            .prop_map(|(who, topics, start)| Step::Subscribe(who, topics, start)),
        1 => (0..2_usize).prop_map(Step::Unsubscribe),
        1 => (0..2_usize, begin()).prop_map(|(who, start)| Step::Seek(who, start)),
        4 => (0..2_usize, prop::option::of(0..40_u64), places(), places(), places())
            .prop_map(|(who, position, waiting, handled, dead)| Step::Progress { who, position, waiting, handled, dead }),
        3 => (0..PATTERNS.len(), prop::option::of(0..20_u64), prop::option::of(0..5000_u64))
            .prop_map(|(topics, age, bytes)| Step::Retain { topics, age, bytes }),
        1 => (0..4_usize).prop_map(Step::Purge),
        3 => prop_oneof![5 => 1..5_u64, 1 => Just(86_395)].prop_map(Step::Advance),
        4 => (prop::collection::vec(0..PATTERNS.len(), 0..3), 0..30_u64, 1..6_usize, any::<bool>(), prop::option::of(0..30_u64))
            .prop_map(|(topics, after, limit, kind, since)| Step::Read { topics, after, limit, kind, since }),
    ]
}

#[derive(Clone, Debug)]
struct Known {
    offset: u64,
    published: u64,
    topic: &'static str,
    id: u8,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Subscription {
    topics: Vec<TopicPattern>,
    position: u64,
    waiting: Vec<u64>,
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    last: u64,
    events: Vec<Known>,
    /// Every event that ever was: id, time, place.
    remembered: Vec<(u8, u64, u64)>,
    subscriptions: BTreeMap<usize, Subscription>,
    /// Whose, and the event.
    dead: Vec<(usize, Known)>,
}

impl Model {
    fn used(&self) -> u64 {
        self.events.iter().chain(self.dead.iter().map(|(_, event)| event)).map(|event| event.bytes).sum()
    }

    fn before(&self, time: u64) -> u64 {
        self.events.iter().filter(|event| event.published < time).map(|event| event.offset).max().unwrap_or(0)
    }

    fn position(&self, begin: Begin) -> u64 {
        match begin {
            Begin::Latest => self.last,
            Begin::Earliest => 0,
            Begin::Time(time) => self.before(time),
            Begin::Offset(offset) => offset.saturating_sub(1).min(self.last),
        }
    }

    fn is_held(&self, event: &Known) -> bool {
        self.subscriptions.values().any(|subscription| {
            subscription.waiting.contains(&event.offset)
                || (selects(&subscription.topics, event.topic) && subscription.position < event.offset)
        })
    }
}

fn selects(topics: &[TopicPattern], topic: &str) -> bool {
    topics.is_empty() || topics.iter().any(|pattern| pattern.matches(topic))
}

fn patterns(numbers: &[usize]) -> Vec<TopicPattern> {
    numbers.iter().map(|number| PATTERNS[*number].parse().unwrap()).collect()
}

fn id(who: usize) -> SubscriptionId {
    SubscriptionId { service: format!("service-{who}"), name: "s".to_owned() }
}

fn event(topic: &str, id: u8) -> Event {
    Event {
        id: id.to_string(),
        source: "/services/orders".to_owned(),
        kind: if id.is_multiple_of(2) { "even" } else { "odd" }.to_owned(),
        topic: topic.to_owned(),
        subject: None,
        key: None,
        time: SystemTime::UNIX_EPOCH,
        content_type: None,
        schema: None,
        extensions: BTreeMap::new(),
        data: vec![id; 50].into(),
    }
}

fn bytes(event: &Event) -> u64 {
    (event.id.len()
        + event.source.len()
        + event.kind.len()
        + event.topic.len()
        + event.data.len()
        + EVENT_OVERHEAD_BYTES) as u64
}

/// Runs random steps against an engine and the model.
pub(in crate::state) fn holds(engine: &dyn Fixture) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 1..40), |steps| {
            let clock = TestClock::new();
            let log = engine.empty(&clock);
            runtime.block_on(run(&log, &clock, steps));
            Ok(())
        })
        .unwrap();
}

async fn run(log: &Arc<dyn EventLog>, clock: &TestClock, steps: Vec<Step>) {
    log.set_quota(QUOTA);
    let start = clock.now();
    let begin = |begin| match begin {
        Begin::Latest => Start::Latest,
        Begin::Earliest => Start::Earliest,
        Begin::Time(time) => Start::Time(start + Duration::from_secs(time)),
        Begin::Offset(offset) => Start::Offset(Offset(offset)),
    };
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Publish(events) => publish(log, &mut model, events).await,
            Step::Subscribe(who, topics, start) => {
                let topics = patterns(&topics);
                let state = log.subscribe(&id(who), topics.clone(), begin(start)).await.unwrap();
                let position = model.position(start);
                let known = model.subscriptions.entry(who).or_insert(Subscription { position, ..Default::default() });
                known.topics = topics;
                assert_eq!(state.position, Offset(known.position));
            }
            Step::Unsubscribe(who) => {
                assert_eq!(log.unsubscribe(&id(who)).await.is_ok(), model.subscriptions.remove(&who).is_some());
            }
            Step::Seek(who, start) => {
                let to = log.seek(&id(who), begin(start)).await;
                let position = model.position(start);
                match model.subscriptions.get_mut(&who) {
                    Some(subscription) => {
                        assert_eq!(to, Ok(Offset(position)));
                        subscription.position = position;
                        subscription.waiting.clear();
                    }
                    None => assert!(to.is_err()),
                }
            }
            Step::Progress { who, position, waiting, handled, dead } => {
                progress(log, &mut model, who, position, waiting, handled, dead).await;
            }
            Step::Retain { topics, age, bytes } => retain(log, &mut model, topics, age, bytes).await,
            Step::Purge(which) => {
                let letters = log.dead_letters(None, 0, 100).await.unwrap();
                let Some(letter) = letters.get(which) else { continue };
                assert_eq!(log.purge(vec![letter.id]).await.unwrap(), 1);
                model.dead.remove(which);
            }
            Step::Advance(seconds) => {
                clock.advance(Duration::from_secs(seconds));
                model.now += seconds;
            }
            Step::Read { topics, after, limit, kind, since } => {
                let selection = Selection {
                    topics: patterns(&topics),
                    kind: kind.then(|| "even".to_owned()),
                    since: since.map(|since| start + Duration::from_secs(since)),
                    ..Selection::default()
                };
                let fits = |event: &&Known| {
                    selects(&selection.topics, event.topic)
                        && (!kind || event.id.is_multiple_of(2))
                        && since.is_none_or(|since| event.published >= since)
                };
                let page = log.read(selection.clone(), Offset(after), limit, 1 << 20).await.unwrap();
                let got: Vec<_> = page.events.iter().map(|stored| stored.offset.0).collect();
                let expected: Vec<_> = model
                    .events
                    .iter()
                    .filter(fits)
                    .map(|event| event.offset)
                    .filter(|offset| *offset > after)
                    .collect();
                assert_eq!(got, expected[..limit.min(expected.len())]);
                assert_eq!(page.more && page.read_to.0 < model.last, page.more);
                assert!(expected.len() <= limit || page.more);
                let before = (after < model.last).then_some(Offset(after));
                let page = log.history(selection.clone(), before, limit).await.unwrap();
                let got: Vec<_> = page.events.iter().map(|stored| stored.offset.0).collect();
                let mut expected: Vec<_> = model.events.iter().filter(fits).map(|event| event.offset).collect();
                expected.retain(|offset| before.is_none_or(|before| *offset < before.0));
                expected.reverse();
                assert_eq!(got, expected[..limit.min(expected.len())]);
            }
        }
        agree(log, &model).await;
    }
}

async fn publish(log: &Arc<dyn EventLog>, model: &mut Model, events: Vec<(usize, u8)>) {
    let batch: Vec<_> = events.iter().map(|(topic, id)| event(TOPICS[*topic], *id)).collect();
    let answer = log.publish(batch.clone()).await;
    let mut known: BTreeMap<u8, u64> = model
        .remembered
        .iter()
        .filter(|(_, published, _)| model.now < published + DEDUPLICATION.as_secs())
        .map(|(id, _, offset)| (*id, *offset))
        .collect();
    let (mut expected, mut coming, mut next) = (Vec::new(), Vec::new(), model.last);
    for ((topic, id), event) in events.into_iter().zip(&batch) {
        if let Some(offset) = known.get(&id) {
            expected.push(Published::Duplicate(Offset(*offset)));
            continue;
        }
        next += 1;
        known.insert(id, next);
        expected.push(Published::New(Offset(next)));
        coming.push(Known { offset: next, published: model.now, topic: TOPICS[topic], id, bytes: bytes(event) });
    }
    let needed: u64 = coming.iter().map(|event| event.bytes).sum();
    if needed > 0 && model.used() + needed > QUOTA {
        assert!(matches!(answer, Err(EventLogError::Full { .. })), "{answer:?}");
        return;
    }
    assert_eq!(answer, Ok(expected));
    model.last = next;
    model.remembered.extend(coming.iter().map(|event| (event.id, event.published, event.offset)));
    model.events.extend(coming);
}

async fn progress(
    log: &Arc<dyn EventLog>,
    model: &mut Model,
    who: usize,
    position: Option<u64>,
    waiting: Vec<u64>,
    handled: Vec<u64>,
    dead: Vec<u64>,
) {
    let dead: Vec<u64> = dead.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let noted = Progress {
        position: position.map(Offset),
        waiting: waiting
            .iter()
            .map(|offset| Waiting { offset: Offset(*offset), lane: None, attempts: 1, due: None, error: String::new() })
            .collect(),
        handled: handled.iter().map(|offset| Offset(*offset)).collect(),
        dead: dead.iter().map(|offset| (Offset(*offset), 3, "no".to_owned())).collect(),
    };
    let answer = log.progress(&id(who), noted).await;
    let find = |offset: &u64| model.events.iter().find(|event| event.offset == *offset).cloned();
    let all_there = waiting.iter().chain(&dead).all(|offset| find(offset).is_some());
    let died: Vec<_> = dead.iter().filter_map(find).map(|event| (who, event)).collect();
    let Some(subscription) = model.subscriptions.get_mut(&who).filter(|_| all_there) else {
        assert!(matches!(answer, Err(EventLogError::NotFound { .. })), "{answer:?}");
        return;
    };
    assert_eq!(answer, Ok(()));
    if let Some(position) = position {
        subscription.position = subscription.position.max(position.min(model.last));
    }
    subscription.waiting.extend(waiting);
    subscription.waiting.retain(|offset| !handled.contains(offset) && !dead.contains(offset));
    subscription.waiting.sort_unstable();
    subscription.waiting.dedup();
    model.dead.extend(died);
}

async fn retain(log: &Arc<dyn EventLog>, model: &mut Model, topics: usize, age: Option<u64>, bytes: Option<u64>) {
    let topics: TopicPattern = PATTERNS[topics].parse().unwrap();
    let rule = Retention { topics: topics.clone(), age: age.map(Duration::from_secs), bytes };
    let gone = log.retain(vec![rule]).await.unwrap();
    let under: Vec<_> = model.events.iter().filter(|event| topics.matches(event.topic)).cloned().collect();
    let mut excess = match bytes {
        Some(bytes) => i128::from(under.iter().map(|event| event.bytes).sum::<u64>()) - i128::from(bytes),
        None => 0,
    };
    let mut going = Vec::new();
    for event in under.iter().filter(|event| !model.is_held(event)) {
        let too_old = age.is_some_and(|age| event.published + age < model.now);
        if too_old || excess > 0 {
            going.push(event.offset);
        }
        excess -= i128::from(event.bytes);
    }
    assert_eq!(gone, going.len() as u64);
    model.events.retain(|event| !going.contains(&event.offset));
}

async fn agree(log: &Arc<dyn EventLog>, model: &Model) {
    let usage = log.usage().await.unwrap();
    assert_eq!((usage.events, usage.bytes), (model.events.len() as u64, model.used()));
    assert_eq!(usage.last, Offset(model.last));
    assert_eq!(usage.first, Offset(model.events.first().map_or(model.last, |event| event.offset)));
    assert_eq!(*log.newest().borrow(), Offset(model.last));
    let states = log.subscriptions().await.unwrap();
    assert_eq!(states.len(), model.subscriptions.len());
    for (state, (who, known)) in states.iter().zip(&model.subscriptions) {
        let dead = model.dead.iter().filter(|(whose, _)| whose == who).count() as u64;
        let expected = SubscriptionState {
            id: id(*who),
            topics: known.topics.clone(),
            position: Offset(known.position),
            waiting: known.waiting.len() as u64,
            dead,
        };
        assert_eq!(*state, expected);
        let waiting = log.waiting(&id(*who), Offset(0), 100).await.unwrap();
        let waiting: Vec<_> = waiting.iter().map(|(waiting, stored)| (waiting.offset.0, stored.offset.0)).collect();
        assert_eq!(waiting, known.waiting.iter().map(|offset| (*offset, *offset)).collect::<Vec<_>>());
    }
    let dead: Vec<_> =
        log.dead_letters(None, 0, 100).await.unwrap().iter().map(|letter| letter.event.offset.0).collect();
    assert_eq!(dead, model.dead.iter().map(|(_, event)| event.offset).collect::<Vec<_>>());
}
