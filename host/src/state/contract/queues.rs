//! The contract of queues.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::TestClock;
use crate::state::queues::*;

const SECOND: Duration = Duration::from_secs(1);

/// Makes empty sets of queues.
pub(in crate::state) trait Fixture {
    fn empty(&self, clock: &TestClock) -> Arc<dyn Queues>;
}

/// Runs every check against queues of the engine.
pub(in crate::state) async fn holds(engine: &dyn Fixture) {
    messages_come_back_as_they_were(engine).await;
    queues_never_meet(engine).await;
    batches_are_all_or_nothing(engine).await;
    everything_has_a_bound(engine).await;
    a_message_has_one_receiver_at_a_time(engine).await;
    a_receipt_is_valid_for_its_time(engine).await;
    more_time_can_be_asked_for(engine).await;
    a_delay_is_kept(engine).await;
    an_id_is_sent_once_in_five_minutes(engine).await;
    too_many_receives_make_a_dead_letter(engine).await;
    a_message_that_is_too_old_is_not_received(engine).await;
    a_full_queue_says_so(engine).await;
    purging_empties_a_queue(engine).await;
    a_receiver_waits_for_a_message(engine).await;
    a_receiver_that_leaves_takes_nothing_with_it(engine).await;
    concurrent_receivers_share_the_messages(engine).await;
    a_clock_that_is_set_back_hides_nothing(engine).await;
}

fn fresh(engine: &dyn Fixture) -> (Arc<dyn Queues>, TestClock) {
    let clock = TestClock::new();
    (engine.empty(&clock), clock)
}

fn message(body: &str) -> Message {
    Message { body: Bytes::copy_from_slice(body.as_bytes()), ..Message::default() }
}

fn sized(bytes: usize) -> Message {
    Message { body: vec![b'x'; bytes].into(), ..Message::default() }
}

fn now(max: usize) -> Receive {
    Receive { max, visibility: 30 * SECOND, wait: Duration::ZERO }
}

async fn send(queues: &Arc<dyn Queues>, queue: &str, bodies: &[&str]) -> Vec<u64> {
    queues.send(queue, bodies.iter().map(|body| message(body)).collect()).await.unwrap()
}

async fn receive(queues: &Arc<dyn Queues>, queue: &str, max: usize) -> Vec<Received> {
    queues.receive(queue, now(max)).await.unwrap()
}

fn bodies(received: &[Received]) -> Vec<&str> {
    received.iter().map(|message| std::str::from_utf8(&message.body).unwrap()).collect()
}

async fn state(queues: &Arc<dyn Queues>, queue: &str) -> QueueState {
    queues.queues().await.unwrap().into_iter().find(|state| state.queue == queue).unwrap()
}

async fn messages_come_back_as_they_were(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    let every_byte = Message {
        body: (0..=255).collect::<Vec<u8>>().into(),
        content_type: Some("application/json".to_owned()),
        ..Message::default()
    };
    let ids = queues.send("q", vec![every_byte.clone(), message("")]).await.unwrap();
    assert!(ids.is_sorted() && ids[0] > 0, "{ids:?}");
    let sent = clock.now();
    clock.advance(SECOND);
    let received = receive(&queues, "q", 10).await;
    assert_eq!(received.iter().map(|message| message.id).collect::<Vec<_>>(), ids);
    let (first, second) = (&received[0], &received[1]);
    assert_eq!((&first.body, &first.content_type), (&every_byte.body, &every_byte.content_type));
    assert_eq!((first.attempt, first.sent), (1, sent));
    assert_eq!((second.body.len(), &second.content_type), (0, &None));
    assert_ne!(first.receipt, second.receipt);
}

async fn queues_never_meet(engine: &dyn Fixture) {
    let (queues, _clock) = fresh(engine);
    let names = ["one", "two", "One", "'; DROP TABLE messages --", "\u{1f980}"];
    for name in names {
        send(&queues, name, &[name]).await;
    }
    for name in names {
        let received = receive(&queues, name, 10).await;
        assert_eq!(bodies(&received), [name]);
        let other = if name == "one" { "two" } else { "one" };
        assert_eq!(queues.delete(other, &received[0].receipt).await, Err(QueueError::Expired));
        assert_eq!(queues.extend(other, &received[0].receipt, SECOND).await, Err(QueueError::Expired));
        queues.delete(name, &received[0].receipt).await.unwrap();
    }
    assert_eq!(receive(&queues, "never used", 10).await, []);
    assert_eq!(queues.delete("never used", "1-00").await, Err(QueueError::Expired));
}

async fn batches_are_all_or_nothing(engine: &dyn Fixture) {
    let (queues, _clock) = fresh(engine);
    let settings = QueueSettings { quota: 3 * MESSAGE_OVERHEAD_BYTES as u64, ..QueueSettings::default() };
    queues.configure("q", settings);
    let four = ["a", "b", "c", "d"].map(|body| Message { deduplication: Some(body.to_owned()), ..message("") });
    assert!(matches!(queues.send("q", four.to_vec()).await, Err(QueueError::Full { dead: 0, .. })));
    assert_eq!(receive(&queues, "q", 10).await, []);
    let ids = queues.send("q", four[..3].to_vec()).await.unwrap();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3, "a refused batch leaves no ids behind");
    assert_eq!(queues.send("q", Vec::new()).await, Ok(vec![]));
    assert_eq!(receive(&queues, "q", 10).await.len(), 3);
}

async fn everything_has_a_bound(engine: &dyn Fixture) {
    let (queues, _clock) = fresh(engine);
    let text = Some("x".repeat(MAX_MESSAGE_TEXT_BYTES + 1));
    let refused = [
        vec![sized(MAX_MESSAGE_BYTES + 1)],
        vec![Message { content_type: text.clone(), ..message("") }],
        vec![Message { deduplication: text, ..message("") }],
        vec![Message { delay: MAX_DELAY + SECOND, ..message("") }],
        vec![message(""); MAX_SEND_MESSAGES + 1],
        vec![sized(MAX_MESSAGE_BYTES); MAX_SEND_BYTES / MAX_MESSAGE_BYTES + 1],
    ];
    for messages in refused {
        let refused = queues.send("q", messages).await;
        assert!(matches!(refused, Err(QueueError::Invalid { .. })), "{refused:?}");
    }
    for name in [String::new(), "q".repeat(MAX_QUEUE_NAME_BYTES + 1)] {
        assert!(matches!(queues.send(&name, vec![message("")]).await, Err(QueueError::Invalid { .. })));
    }
    queues.send("q", vec![sized(MAX_MESSAGE_BYTES); 12]).await.unwrap();
    let refused = [
        now(0),
        now(MAX_RECEIVE + 1),
        Receive { visibility: MAX_VISIBILITY + SECOND, ..now(1) },
        Receive { wait: MAX_WAIT + SECOND, ..now(1) },
    ];
    for receive in refused {
        let refused = queues.receive("q", receive).await;
        assert!(matches!(refused, Err(QueueError::Invalid { .. })), "{refused:?}");
    }
    let some = receive(&queues, "q", 100).await;
    assert!((1..12).contains(&some.len()), "an answer has a bound in bytes");
    assert_eq!(receive(&queues, "q", 100).await.len() + some.len(), 12);
    let refused = queues.extend("q", &some[0].receipt, MAX_VISIBILITY + SECOND).await;
    assert!(matches!(refused, Err(QueueError::Invalid { .. })), "{refused:?}");
}

async fn a_message_has_one_receiver_at_a_time(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    send(&queues, "q", &["1", "2", "3"]).await;
    let first = receive(&queues, "q", 2).await;
    assert_eq!(bodies(&first), ["1", "2"]);
    assert_eq!(bodies(&receive(&queues, "q", 10).await), ["3"]);
    assert_eq!(receive(&queues, "q", 10).await, []);
    queues.delete("q", &first[0].receipt).await.unwrap();
    clock.advance(30 * SECOND);
    let again = receive(&queues, "q", 10).await;
    assert_eq!(bodies(&again), ["2", "3"], "what was deleted does not come again");
    assert!(again.iter().all(|message| message.attempt == 2));
    assert_eq!((again[0].id, again[0].sent), (first[1].id, first[1].sent));
    assert_ne!(again[0].receipt, first[1].receipt);
}

async fn a_receipt_is_valid_for_its_time(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    send(&queues, "q", &["1"]).await;
    let first = receive(&queues, "q", 1).await;
    clock.advance(30 * SECOND);
    // Visible to others, though nobody has it yet.
    assert_eq!(queues.delete("q", &first[0].receipt).await, Err(QueueError::Expired));
    assert_eq!(queues.extend("q", &first[0].receipt, SECOND).await, Err(QueueError::Expired));
    let second = receive(&queues, "q", 1).await;
    assert_eq!(queues.delete("q", &first[0].receipt).await, Err(QueueError::Expired));
    let id = second[0].id;
    let forged =
        ["", "-", "x", &id.to_string(), &format!("{id}-"), &format!("{id}-0"), &format!("{id}-{:016x}", u64::MAX)];
    for receipt in forged {
        assert_eq!(queues.delete("q", receipt).await, Err(QueueError::Expired), "{receipt:?}");
    }
    queues.delete("q", &second[0].receipt).await.unwrap();
    assert_eq!(queues.delete("q", &second[0].receipt).await, Err(QueueError::Expired));
}

async fn more_time_can_be_asked_for(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    send(&queues, "q", &["1", "2"]).await;
    let first = receive(&queues, "q", 1).await;
    clock.advance(20 * SECOND);
    queues.extend("q", &first[0].receipt, 60 * SECOND).await.unwrap();
    clock.advance(59 * SECOND);
    assert_eq!(bodies(&receive(&queues, "q", 10).await), ["2"]);
    queues.extend("q", &first[0].receipt, Duration::ZERO).await.unwrap();
    assert_eq!(queues.extend("q", &first[0].receipt, SECOND).await, Err(QueueError::Expired), "it was given back");
    let again = receive(&queues, "q", 10).await;
    assert_eq!((bodies(&again), again[0].attempt), (vec!["1"], 2));
}

async fn a_delay_is_kept(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    let delayed = |body: &str, delay| Message { delay: delay * SECOND, ..message(body) };
    queues
        .send("q", vec![delayed("10", 10), delayed("5", 5), message("0"), delayed("max", 7 * 24 * 3600)])
        .await
        .unwrap();
    assert_eq!(bodies(&receive(&queues, "q", 10).await), ["0"]);
    let stands = state(&queues, "q").await;
    assert_eq!((stands.visible, stands.delayed, stands.invisible, stands.dead), (0, 3, 1, 0));
    clock.advance(5 * SECOND - Duration::from_nanos(1));
    assert_eq!(receive(&queues, "q", 10).await, []);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(bodies(&receive(&queues, "q", 10).await), ["5"]);
    clock.advance(5 * SECOND);
    assert_eq!(bodies(&receive(&queues, "q", 10).await), ["10"]);
}

async fn an_id_is_sent_once_in_five_minutes(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    let known = |id: &str| Message { deduplication: Some(id.to_owned()), ..message(id) };
    let ids = queues.send("q", vec![known("a"), known("b"), known("a"), message("a"), message("a")]).await.unwrap();
    assert_eq!(ids[2], ids[0]);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 4);
    let received = receive(&queues, "q", 10).await;
    assert_eq!(bodies(&received), ["a", "b", "a", "a"]);
    for message in &received {
        queues.delete("q", &message.receipt).await.unwrap();
    }
    clock.advance(MESSAGE_DEDUPLICATION - SECOND);
    assert_eq!(queues.send("q", vec![known("a")]).await.unwrap(), ids[..1], "also after it was deleted");
    assert_ne!(queues.send("other", vec![known("a")]).await.unwrap(), ids[..1], "ids are of a queue");
    assert_eq!(receive(&queues, "q", 10).await, []);
    clock.advance(SECOND);
    let anew = queues.send("q", vec![known("a")]).await.unwrap();
    assert!(!ids.contains(&anew[0]));
    assert_eq!(bodies(&receive(&queues, "q", 10).await), ["a"]);
}

async fn too_many_receives_make_a_dead_letter(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    queues.configure("q", QueueSettings { max_receives: 2, ..QueueSettings::default() });
    let typed = Message { content_type: Some("text/plain".to_owned()), ..message("bad") };
    let ids = queues.send("q", vec![typed, message("worse")]).await.unwrap();
    let sent = clock.now();
    for attempt in 1..=2 {
        let received = receive(&queues, "q", 10).await;
        assert!(received.len() == 2 && received.iter().all(|message| message.attempt == attempt));
        clock.advance(30 * SECOND);
    }
    let bytes = state(&queues, "q").await.bytes;
    assert_eq!(receive(&queues, "q", 10).await, []);
    let dead = queues.dead_letters("q", 0, 10).await.unwrap();
    let expected = DeadMessage {
        id: ids[0],
        body: "bad".into(),
        content_type: Some("text/plain".to_owned()),
        attempts: 2,
        sent,
        died: clock.now(),
    };
    assert_eq!((&dead[0], dead[1].id, dead.len()), (&expected, ids[1], 2));
    assert_eq!(queues.dead_letters("q", ids[0], 10).await.unwrap(), dead[1..]);
    assert_eq!(queues.dead_letters("q", 0, 1).await.unwrap(), dead[..1]);
    assert_eq!(queues.dead_letters("other", 0, 10).await.unwrap(), []);
    let stands = state(&queues, "q").await;
    assert_eq!((stands.visible, stands.invisible, stands.dead, stands.bytes), (0, 0, 2, bytes), "they count");

    send(&queues, "other", &["x"]).await;
    assert_eq!(queues.revive("other", ids.clone()).await.unwrap(), 0, "they are of another queue");
    assert_eq!(queues.purge_dead("other", ids.clone()).await.unwrap(), 0);
    assert_eq!(queues.revive("q", vec![ids[0], ids[0], u64::MAX]).await.unwrap(), 1);
    let revived = receive(&queues, "q", 10).await;
    assert_eq!((bodies(&revived), revived[0].attempt, revived[0].id), (vec!["bad"], 1, ids[0]));
    assert_eq!(queues.purge_dead("q", ids.clone()).await.unwrap(), 1);
    assert_eq!(queues.dead_letters("q", 0, 10).await.unwrap(), []);
    queues.delete("q", &revived[0].receipt).await.unwrap();
    assert_eq!(state(&queues, "q").await.bytes, 0);
}

async fn a_message_that_is_too_old_is_not_received(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    let keep = |age: Option<(Duration, Fate)>| {
        let retention = age.map(|(age, fate)| QueueRetention { age, fate });
        queues.configure("q", QueueSettings { retention, ..QueueSettings::default() });
    };
    assert_eq!(queues.expire("never used").await, Ok(0));
    let delayed = Message { delay: 100 * SECOND, ..message("delayed") };
    queues.send("q", vec![message("held"), message("old"), delayed]).await.unwrap();
    let held = queues.receive("q", Receive { visibility: 200 * SECOND, ..now(1) }).await.unwrap();
    clock.advance(50 * SECOND);
    send(&queues, "q", &["young"]).await;
    clock.advance(10 * SECOND);
    assert_eq!(queues.expire("q").await, Ok(0), "without a retention they stay");

    // As soon as there is one, nobody gets those that are older, whether or not they have been looked for.
    keep(Some((60 * SECOND, Fate::Dead)));
    let received = receive(&queues, "q", 10).await;
    assert_eq!(bodies(&received), ["young"]);
    queues.delete("q", &received[0].receipt).await.unwrap();
    let waiting = queues.receive("q", Receive { wait: Duration::from_millis(50), ..now(10) }).await;
    assert_eq!(waiting, Ok(Vec::new()));
    assert_eq!((queues.expire("q").await, queues.expire("q").await), (Ok(1), Ok(0)));
    let letters = queues.dead_letters("q", 0, 10).await.unwrap();
    assert_eq!((letters.len(), &letters[0].body[..], letters[0].attempts), (1, &b"old"[..], 0));
    let counts = state(&queues, "q").await;
    assert_eq!((counts.visible, counts.delayed, counts.invisible, counts.dead, counts.expired), (0, 1, 1, 1, 1));

    // Who has one may go on for as long as he has it; who gives it back, gives it back for good.
    queues.extend("q", &held[0].receipt, 20 * SECOND).await.unwrap();
    clock.advance(19 * SECOND);
    assert_eq!(queues.expire("q").await, Ok(0));
    queues.extend("q", &held[0].receipt, Duration::ZERO).await.unwrap();
    assert_eq!(receive(&queues, "q", 10).await, []);
    keep(Some((60 * SECOND, Fate::Dropped)));
    let before = state(&queues, "q").await.bytes;
    assert_eq!(queues.expire("q").await, Ok(1));
    let counts = state(&queues, "q").await;
    assert_eq!((counts.dead, counts.expired, counts.bytes), (1, 2, before - (MESSAGE_OVERHEAD_BYTES + 4) as u64));

    // A delay is no part of the age, and a message that is put back is as young as a new one.
    clock.advance(100 * SECOND - 79 * SECOND + 59 * SECOND);
    assert_eq!(queues.revive("q", vec![letters[0].id]).await, Ok(1));
    let received = receive(&queues, "q", 10).await;
    assert_eq!(bodies(&received), ["delayed", "old"]);
    queues.delete("q", &received[0].receipt).await.unwrap();
    queues.extend("q", &received[1].receipt, Duration::ZERO).await.unwrap();
    clock.advance(59 * SECOND);
    assert_eq!(queues.expire("q").await, Ok(0));
    clock.advance(SECOND);
    assert_eq!(receive(&queues, "q", 10).await, []);
    keep(None);
    assert_eq!(bodies(&receive(&queues, "q", 10).await), ["old"], "a retention that is taken away holds no more");

    // Many go, in pieces.
    keep(Some((SECOND, Fate::Dropped)));
    for _ in 0..3 {
        queues.send("q", vec![message("m"); MAX_SEND_MESSAGES]).await.unwrap();
    }
    clock.advance(60 * SECOND);
    let mut gone = 0;
    while let Ok(more @ 1..) = queues.expire("q").await {
        gone += more;
    }
    assert_eq!(gone, 3 * MAX_SEND_MESSAGES as u64 + 1);
    assert_eq!(state(&queues, "q").await.bytes, 0);
}

async fn a_full_queue_says_so(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    let quota = 2 * (1000 + MESSAGE_OVERHEAD_BYTES as u64);
    queues.configure("q", QueueSettings { quota, max_receives: 1, retention: None });
    queues.send("q", vec![sized(1000), Message { deduplication: Some("d".to_owned()), ..sized(1000) }]).await.unwrap();
    assert_eq!(queues.send("q", vec![message("")]).await, Err(QueueError::Full { quota, dead: 0 }));
    queues.send("q", vec![Message { deduplication: Some("d".to_owned()), ..sized(1000) }]).await.unwrap();
    queues.send("other", vec![sized(1000)]).await.unwrap();
    let received = receive(&queues, "q", 1).await;
    queues.delete("q", &received[0].receipt).await.unwrap();
    queues.send("q", vec![sized(1000)]).await.unwrap();
    receive(&queues, "q", 1).await;
    clock.advance(30 * SECOND);
    receive(&queues, "q", 2).await;
    let refused = queues.send("q", vec![message("")]).await;
    assert_eq!(refused, Err(QueueError::Full { quota, dead: quota / 2 }), "dead letters count");
    let stands = state(&queues, "q").await;
    assert_eq!((stands.bytes, stands.quota), (quota, quota));
}

async fn purging_empties_a_queue(engine: &dyn Fixture) {
    let (queues, _clock) = fresh(engine);
    for _ in 0..3 {
        queues.send("q", vec![message("x"); 800]).await.unwrap();
    }
    send(&queues, "other", &["stays"]).await;
    let received = receive(&queues, "q", 1).await;
    let stands = state(&queues, "q").await;
    assert_eq!((stands.visible, stands.invisible), (2399, 1));
    assert_eq!(stands.oldest, Some(received[0].sent));
    assert_eq!(queues.purge("q").await.unwrap(), 2400);
    assert_eq!(queues.delete("q", &received[0].receipt).await, Err(QueueError::Expired));
    assert_eq!(queues.purge("q").await.unwrap(), 0);
    let stands = state(&queues, "q").await;
    assert_eq!((stands.visible, stands.bytes, stands.oldest), (0, 0, None));
    assert_eq!(bodies(&receive(&queues, "other", 1).await), ["stays"]);
}

async fn a_receiver_waits_for_a_message(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    let waiting = |queues: &Arc<dyn Queues>| {
        let queues = Arc::clone(queues);
        let long = Receive { wait: MAX_WAIT, ..now(1) };
        tokio::spawn(async move { queues.receive("q", long).await.unwrap() })
    };
    let begun = Instant::now();
    let some: Vec<_> = (0..3).map(|_| waiting(&queues)).collect();
    sleep(Duration::from_millis(50)).await;
    assert!(some.iter().all(|receiver| !receiver.is_finished()));
    // One ring for three messages reaches all three receivers.
    send(&queues, "q", &["1", "2", "3"]).await;
    let mut got = HashSet::new();
    for receiver in some {
        got.extend(receiver.await.unwrap().into_iter().map(|message| message.id));
    }
    assert_eq!(got.len(), 3);

    // Time alone makes messages visible: a delay, and the end of somebody's visibility.
    let delay = Duration::from_millis(100);
    queues.send("q", vec![Message { delay, ..message("4") }]).await.unwrap();
    let receiver = waiting(&queues);
    clock.advance(delay);
    let received = timeout(MAX_WAIT / 2, receiver).await.expect("it looks by itself").unwrap();
    assert_eq!(bodies(&received), ["4"]);
    let receiver = waiting(&queues);
    sleep(Duration::from_millis(50)).await;
    queues.extend("q", &received[0].receipt, Duration::ZERO).await.unwrap();
    assert_eq!(bodies(&receiver.await.unwrap()), ["4"]);
    assert!(begun.elapsed() < MAX_WAIT, "nobody waited to the end");

    let short = Receive { wait: Duration::from_millis(50), ..now(1) };
    let begun = Instant::now();
    assert_eq!(queues.receive("q", short).await.unwrap(), []);
    assert!(begun.elapsed() >= short.wait);
}

async fn a_receiver_that_leaves_takes_nothing_with_it(engine: &dyn Fixture) {
    let (queues, _clock) = fresh(engine);
    let long = Receive { wait: MAX_WAIT, ..now(1) };
    for round in 0..20_u64 {
        let [first, second] = [0, 1].map(|_| {
            let queues = Arc::clone(&queues);
            tokio::spawn(async move { queues.receive("q", long).await.unwrap() })
        });
        sleep(Duration::from_millis(2)).await;
        let ids = send(&queues, "q", &["a", "b"]).await;
        tokio::time::sleep(Duration::from_micros(round * 100)).await;
        first.abort();
        let gone = first.await.is_err();
        let received = timeout(MAX_WAIT / 2, second).await.expect("the other one is told").unwrap();
        assert!(ids.contains(&received[0].id));
        if gone {
            // What it may have taken with it comes back by time; here it is purged.
            queues.purge("q").await.unwrap();
        }
    }
}

async fn concurrent_receivers_share_the_messages(engine: &dyn Fixture) {
    let (queues, _clock) = fresh(engine);
    let senders = (0..4).map(|sender| {
        let queues = Arc::clone(&queues);
        tokio::spawn(async move {
            for number in 0..25 {
                send(&queues, "q", &[&format!("{sender}.{number}"), "x"]).await;
            }
            Vec::new()
        })
    });
    let receivers = (0..4).map(|_| {
        let queues = Arc::clone(&queues);
        tokio::spawn(async move {
            let mut done = Vec::new();
            let patient = Receive { wait: 3 * SECOND, ..now(7) };
            loop {
                let received = queues.receive("q", patient).await.unwrap();
                if received.is_empty() {
                    return done;
                }
                for message in received {
                    queues.delete("q", &message.receipt).await.unwrap();
                    done.push(message.id);
                }
            }
        })
    });
    let mut all = Vec::new();
    for task in senders.chain(receivers).collect::<Vec<_>>() {
        all.extend(task.await.unwrap());
    }
    assert_eq!(all.len(), 200);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 200, "each by one of them");
    assert_eq!(state(&queues, "q").await.bytes, 0);
}

async fn a_clock_that_is_set_back_hides_nothing(engine: &dyn Fixture) {
    let (queues, clock) = fresh(engine);
    clock.advance(MAX_DELAY * 60);
    send(&queues, "q", &["1"]).await;
    clock.set_back(MAX_DELAY * 60);
    assert_eq!(bodies(&receive(&queues, "q", 1).await), ["1"]);
}
