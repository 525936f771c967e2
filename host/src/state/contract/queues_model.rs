//! Queues beside a naive model of them: whatever is asked for in whatever order, both answer the same.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::TestClock;
use super::queues::Fixture;
use crate::state::queues::*;

const MAX_RECEIVES: u32 = 2;
/// In seconds.
const AGE: u64 = 3;
const QUOTA: u64 = 6 * (MESSAGE_OVERHEAD_BYTES as u64 + 1);

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<(u64, Option<u8>)>),
    Receive(usize, u64),
    Delete(usize),
    Extend(usize, u64),
    Advance(u64),
    Revive(usize),
    PurgeDead(usize),
    Purge,
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec((0..3_u64, prop::option::of(0..3_u8)), 1..4).prop_map(Step::Send),
        5 => (1..4_usize, 0..4_u64).prop_map(|(max, visibility)| Step::Receive(max, visibility)),
        4 => (0..8_usize).prop_map(Step::Delete),
        2 => (0..8_usize, 0..4_u64).prop_map(|(which, visibility)| Step::Extend(which, visibility)),
        4 => prop_oneof![4 => 1..3_u64, 1 => Just(300)].prop_map(Step::Advance),
        1 => (0..4_usize).prop_map(Step::Revive),
        1 => (0..4_usize).prop_map(Step::PurgeDead),
        1 => Just(Step::Purge),
        2 => Just(Step::Expire),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Dead), Just(Fate::Dropped)]
}

#[derive(Clone, Debug)]
struct Known {
    id: u64,
    visible: u64,
    since: u64,
    attempts: u32,
    receipt: Option<String>,
}

#[derive(Debug, Default)]
struct Model {
    now: u64,
    messages: Vec<Known>,
    dead: Vec<u64>,
    /// Deduplication id, number, time.
    sent: Vec<(u8, u64, u64)>,
    /// Messages that became too old.
    expired: u64,
}

impl Model {
    fn count(&self) -> usize {
        self.messages.len() + self.dead.len()
    }

    fn held(&self, receipt: &str) -> Option<usize> {
        self.messages
            .iter()
            .position(|message| message.receipt.as_deref() == Some(receipt) && message.visible > self.now)
    }

    fn original(&self, deduplication: u8) -> Option<u64> {
        let lately = |sent: u64| self.now < sent + MESSAGE_DEDUPLICATION.as_secs();
        self.sent.iter().rev().find(|(known, _, sent)| *known == deduplication && lately(*sent)).map(|(_, id, _)| *id)
    }
}

/// Runs random steps against an engine and the model.
pub(in crate::state) fn holds(engine: &dyn Fixture) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&(prop::option::of(fate()), prop::collection::vec(step(), 1..40)), |(fate, steps)| {
            let clock = TestClock::new();
            let queues = engine.empty(&clock);
            runtime.block_on(run(&queues, &clock, fate, steps));
            Ok(())
        })
        .unwrap();
}

async fn run(queues: &Arc<dyn Queues>, clock: &TestClock, fate: Option<Fate>, steps: Vec<Step>) {
    let retention = fate.map(|fate| QueueRetention { age: Duration::from_secs(AGE), fate });
    queues.configure("q", QueueSettings { quota: QUOTA, max_receives: MAX_RECEIVES, retention });
    let too_old = |message: &Known, now: u64| fate.is_some() && message.since + AGE <= now;
    let mut model = Model::default();
    let mut receipts: Vec<String> = Vec::new();
    for step in steps {
        match step {
            Step::Send(messages) => send(queues, &mut model, messages).await,
            Step::Receive(max, visibility) => {
                let visibility_span = Duration::from_secs(visibility);
                let asked = Receive { max, visibility: visibility_span, wait: Duration::ZERO };
                let received = queues.receive("q", asked).await.unwrap();
                let mut expected = Vec::new();
                model.messages.sort_by_key(|message| (message.visible, message.id));
                let (now, mut taken) = (model.now, 0);
                let dead = &mut model.dead;
                model.messages.retain_mut(|message| {
                    if taken == max || message.visible > now || too_old(message, now) {
                        return true;
                    }
                    if message.attempts == MAX_RECEIVES {
                        dead.push(message.id);
                        return false;
                    }
                    taken += 1;
                    message.attempts += 1;
                    message.visible = now + visibility;
                    expected.push((message.id, message.attempts));
                    true
                });
                let got: Vec<_> = received.iter().map(|message| (message.id, message.attempt)).collect();
                assert_eq!(got, expected);
                for message in received {
                    let known = model.messages.iter_mut().find(|known| known.id == message.id).unwrap();
                    known.receipt = Some(message.receipt.clone());
                    receipts.push(message.receipt);
                }
            }
            Step::Delete(which) => {
                let Some(receipt) = receipts.iter().rev().nth(which) else { continue };
                let deleted = queues.delete("q", receipt).await;
                match model.held(receipt) {
                    Some(place) => {
                        assert_eq!(deleted, Ok(()));
                        model.messages.remove(place);
                    }
                    None => assert_eq!(deleted, Err(QueueError::Expired)),
                }
            }
            Step::Extend(which, visibility) => {
                let Some(receipt) = receipts.iter().rev().nth(which) else { continue };
                let extended = queues.extend("q", receipt, Duration::from_secs(visibility)).await;
                match model.held(receipt) {
                    Some(place) => {
                        assert_eq!(extended, Ok(()));
                        model.messages[place].visible = model.now + visibility;
                    }
                    None => assert_eq!(extended, Err(QueueError::Expired)),
                }
            }
            Step::Advance(seconds) => {
                clock.advance(Duration::from_secs(seconds));
                model.now += seconds;
            }
            Step::Revive(which) => {
                model.dead.sort_unstable();
                let Some(id) = model.dead.get(which).copied() else { continue };
                assert_eq!(queues.revive("q", vec![id]).await, Ok(1));
                model.dead.retain(|dead| *dead != id);
                let (visible, since) = (model.now, model.now);
                model.messages.push(Known { id, visible, since, attempts: 0, receipt: None });
            }
            Step::PurgeDead(which) => {
                let Some(id) = model.dead.get(which).copied() else { continue };
                assert_eq!(queues.purge_dead("q", vec![id]).await, Ok(1));
                model.dead.retain(|dead| *dead != id);
            }
            Step::Expire => {
                let now = model.now;
                let goes = |message: &Known| too_old(message, now) && message.visible <= now;
                let gone: Vec<u64> = model.messages.iter().filter(|one| goes(one)).map(|one| one.id).collect();
                assert_eq!(queues.expire("q").await, Ok(gone.len() as u64));
                model.messages.retain(|message| !gone.contains(&message.id));
                model.expired += gone.len() as u64;
                if fate == Some(Fate::Dead) {
                    model.dead.extend(gone);
                }
            }
            Step::Purge => {
                assert_eq!(queues.purge("q").await, Ok(model.messages.len() as u64));
                model.messages.clear();
            }
        }
        agree(queues, &model).await;
    }
}

async fn send(queues: &Arc<dyn Queues>, model: &mut Model, messages: Vec<(u64, Option<u8>)>) {
    let batch = messages.iter().map(|(delay, deduplication)| Message {
        body: "x".into(),
        delay: Duration::from_secs(*delay),
        deduplication: deduplication.map(|id| id.to_string()),
        ..Message::default()
    });
    let answer = queues.send("q", batch.collect()).await;
    let mut fresh = Vec::new();
    for (_, deduplication) in &messages {
        match deduplication {
            Some(id) if model.original(*id).is_some() || fresh.contains(&Some(*id)) => {}
            other => fresh.push(*other),
        }
    }
    if (model.count() + fresh.len()) as u64 * (MESSAGE_OVERHEAD_BYTES as u64 + 1) > QUOTA && !fresh.is_empty() {
        assert!(matches!(answer, Err(QueueError::Full { .. })), "{answer:?}");
        return;
    }
    let ids = answer.unwrap();
    assert_eq!(ids.len(), messages.len());
    for ((delay, deduplication), id) in messages.into_iter().zip(ids) {
        if let Some(original) = deduplication.and_then(|known| model.original(known)) {
            assert_eq!(id, original);
            continue;
        }
        assert!(model.messages.iter().all(|message| message.id != id) && !model.dead.contains(&id));
        if let Some(known) = deduplication {
            model.sent.push((known, id, model.now));
        }
        let visible = model.now + delay;
        model.messages.push(Known { id, visible, since: visible, attempts: 0, receipt: None });
    }
}

async fn agree(queues: &Arc<dyn Queues>, model: &Model) {
    let states = queues.queues().await.unwrap();
    let Some(state) = states.first() else {
        assert_eq!(model.count(), 0);
        return;
    };
    let number = |fits: &dyn Fn(&Known) -> bool| model.messages.iter().filter(|message| fits(message)).count() as u64;
    let now = model.now;
    assert_eq!(state.visible, number(&|message| message.visible <= now));
    assert_eq!(state.delayed, number(&|message| message.visible > now && message.attempts == 0));
    assert_eq!(state.invisible, number(&|message| message.visible > now && message.attempts > 0));
    assert_eq!(state.expired, model.expired);
    assert_eq!(state.bytes, model.count() as u64 * (MESSAGE_OVERHEAD_BYTES as u64 + 1));
    let mut dead = model.dead.clone();
    dead.sort_unstable();
    let listed: Vec<_> = queues.dead_letters("q", 0, 100).await.unwrap().iter().map(|letter| letter.id).collect();
    assert_eq!(listed, dead);
}
