//! Whatever fails and whenever it is killed: every event is handled, and each key's in their order.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A run: events by key, what becomes of deliveries, and when everything is killed.
#[derive(Debug, Clone)]
struct Run {
    keys: Vec<Option<u8>>,
    /// Bits of chance, used up one after the other and again from the start.
    chances: Vec<u8>,
    crashes: Vec<u64>,
    delay: u64,
    ordered: bool,
}

fn run() -> impl Strategy<Value = Run> {
    (
        prop::collection::vec(prop::option::weighted(0.8, 0u8..4), 1..60),
        prop::collection::vec(any::<u8>(), 1..200),
        prop::collection::vec(1u64..400, 0..6),
        // Longer than the least wait before another try, too.
        prop_oneof![0u64..4, 0u64..60],
        prop::bool::weighted(0.8),
    )
        .prop_map(|(keys, chances, crashes, delay, ordered)| Run { keys, chances, crashes, delay, ordered })
}

async fn check(run: Run) {
    let log = Arc::new(FakeLog::slow(Duration::from_millis(run.delay)));
    let mut chances = run.chances.clone().into_iter().cycle();
    let mut failures = 0;
    let service = FakeService::new(move |_| {
        let chance = chances.next().unwrap();
        let takes = Duration::from_millis(u64::from(chance % 16));
        failures += 1;
        // Not for ever.
        match chance / 16 {
            0..=3 if failures < 300 => (takes, status(500)),
            4 if failures < 300 => (takes, Answer::NotThere { reason: "draining", after: None }),
            _ => (takes, status(200)),
        }
    });
    let short = Backoff::new(Duration::from_millis(10), Duration::from_millis(80));
    let terms = || Terms { attempts: u32::MAX, backoff: short, ordered: run.ordered, ..terms() };
    for (n, key) in run.keys.iter().enumerate() {
        let key = key.map(|key| key.to_string());
        log.put([event("a", key.as_deref(), &n.to_string())]);
    }
    for crash in &run.crashes {
        let running = start(&log, &service, terms());
        pass(Duration::from_millis(*crash)).await;
        running.task.abort();
        let _cancelled = running.task.await;
    }
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(3600)).await;
    let all = run.keys.len() as u64;
    assert_eq!(running.noted().await, (all, 0, 0));

    let mut first = HashMap::new();
    for (place, id) in service.handled_ids().into_iter().enumerate() {
        first.entry(id.parse::<usize>().unwrap()).or_insert(place);
    }
    assert_eq!(first.len() as u64, all, "every event is handled");
    if run.ordered {
        for key in 0..4 {
            let of_key = run.keys.iter().enumerate().filter(|(_, of)| **of == Some(key)).map(|(n, _)| first[&n]);
            assert!(of_key.clone().is_sorted(), "{key}: {:?}", of_key.collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn every_event_is_handled_and_those_of_a_key_in_order(run in run()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(check(run));
    }
}
