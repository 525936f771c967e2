//! What every key-value engine must keep, as tests that any engine can run.
//!
//! An engine's own tests call [`holds`] with an empty engine of theirs. Each function here uses services of its own
//! name, so they don't meet.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::state::{
    KeyValueEngine, KeyValueError, KeyValueStore, Lifetime, MAX_BATCH_BYTES, MAX_BATCH_KEYS, MAX_KEY_BYTES,
    MAX_PAGE_KEYS, MAX_TTL, MAX_VALUE_BYTES, Revision, Swap,
};

const ROOMY: u64 = 1 << 30;
const ALL: std::ops::RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// Runs every check against the engine.
pub(in crate::state) async fn holds(engine: &dyn KeyValueEngine) {
    values_come_back_as_they_were(engine).await;
    services_never_see_each_other(engine).await;
    batches_are_all_or_nothing(engine).await;
    sizes_are_limited(engine).await;
    the_quota_is_exact(engine).await;
    a_lowered_quota_lets_a_store_shrink(engine).await;
    concurrent_increments_lose_nothing(engine).await;
    counters_stay_in_their_range(engine).await;
    a_swap_needs_the_revision_it_saw(engine).await;
    concurrent_swaps_lose_nothing(engine).await;
    pages_hold_every_key_once(engine).await;
    pages_stay_right_under_writes(engine).await;
    any_number_is_a_cursor(engine).await;
}

/// Checks what has to do with time, on an engine whose clock goes on by as many milliseconds as `pass` is told.
pub(in crate::state) async fn keys_end(engine: &dyn KeyValueEngine, pass: &dyn Fn(i64)) {
    an_ended_key_is_not_there_for_any_method(engine, pass).await;
    an_end_can_be_changed_and_taken_away(engine, pass).await;
    writes_take_the_end_away_and_increments_keep_it(engine, pass).await;
    what_has_ended_does_not_count(engine, pass).await;
    times_are_bounded(engine).await;
}

async fn set_expiring(store: &Arc<dyn KeyValueStore>, key: &str, value: &[u8], ms: u64) {
    store.set_expiring(key.to_owned(), value.to_vec(), Duration::from_millis(ms)).await.unwrap();
}

async fn left(store: &Arc<dyn KeyValueStore>, key: &str) -> Lifetime {
    store.lifetime(key.to_owned()).await.unwrap()
}

fn ms(milliseconds: u64) -> Lifetime {
    Lifetime::Left(Duration::from_millis(milliseconds))
}

async fn an_ended_key_is_not_there_for_any_method(engine: &dyn KeyValueEngine, pass: &dyn Fn(i64)) {
    let store = engine.store("ended", ROOMY);
    for key in ["a", "b", "c", "d", "e"] {
        set_expiring(&store, key, b"7", 1000).await;
    }
    set(&store, "stays", b"").await.unwrap();
    let before = store.revision("a".to_owned()).await.unwrap();
    pass(999);
    assert_eq!((value(&store, "a").await, left(&store, "a").await), (Some(b"7".to_vec()), ms(1)));
    pass(1);
    assert_eq!((value(&store, "a").await, left(&store, "a").await), (None, Lifetime::Missing));
    assert_eq!(store.revision("a".to_owned()).await.unwrap(), Revision::ABSENT);
    let keys = ["a", "stays", "b"].map(str::to_owned).to_vec();
    assert_eq!(store.get_many(keys).await.unwrap(), [None, Some(vec![]), None]);
    assert_eq!(store.list_keys(None, 10).await.unwrap().keys, ["stays"]);
    assert_eq!(store.list_keys(None, 1).await.unwrap().next, None);
    let usage = store.usage().await.unwrap();
    assert_eq!((usage.keys, usage.bytes), (1, 5));
    assert!(!store.expire("b".to_owned(), None).await.unwrap(), "nobody brings it back");
    assert_eq!(store.increment("b".to_owned(), 1, ALL).await.unwrap(), 1, "a missing key holds 0");
    assert_eq!(left(&store, "b").await, Lifetime::Unlimited);
    let swap = |key: &str, expected| store.compare_and_swap(key.to_owned(), expected, b"new".to_vec());
    assert_eq!(swap("c", before).await.unwrap(), Swap::Changed(Revision::ABSENT));
    assert_eq!(swap("c", Revision::ABSENT).await.unwrap(), Swap::Done);
    store.delete_many(vec!["d".to_owned(), "e".to_owned()]).await.unwrap();
    let usage = store.usage().await.unwrap();
    assert_eq!((usage.keys, usage.bytes), (3, 5 + 2 + 4));
}

async fn an_end_can_be_changed_and_taken_away(engine: &dyn KeyValueEngine, pass: &dyn Fn(i64)) {
    let store = engine.store("changed", ROOMY);
    let expire = |key: &str, ttl: Option<u64>| store.expire(key.to_owned(), ttl.map(Duration::from_millis));
    set_expiring(&store, "a", b"1", 1000).await;
    set(&store, "b", b"1").await.unwrap();
    assert_eq!((left(&store, "a").await, left(&store, "b").await), (ms(1000), Lifetime::Unlimited));
    let revision = store.revision("b".to_owned()).await.unwrap();
    assert!(expire("a", None).await.unwrap() && expire("b", Some(500)).await.unwrap());
    assert!(!expire("c", Some(500)).await.unwrap());
    assert_eq!(store.revision("b".to_owned()).await.unwrap(), revision);
    pass(499);
    assert_eq!((left(&store, "a").await, left(&store, "b").await), (Lifetime::Unlimited, ms(1)));
    pass(1);
    assert_eq!((value(&store, "a").await, value(&store, "b").await), (Some(b"1".to_vec()), None));
}

async fn writes_take_the_end_away_and_increments_keep_it(engine: &dyn KeyValueEngine, pass: &dyn Fn(i64)) {
    let store = engine.store("kept", ROOMY);
    for key in ["set", "many", "swap", "count"] {
        set_expiring(&store, key, b"1", 100).await;
    }
    set(&store, "set", b"2").await.unwrap();
    store.set_many(vec![("many".to_owned(), vec![2])]).await.unwrap();
    let revision = store.revision("swap".to_owned()).await.unwrap();
    assert_eq!(store.compare_and_swap("swap".to_owned(), revision, vec![2]).await.unwrap(), Swap::Done);
    assert_eq!(store.increment("count".to_owned(), 1, ALL).await.unwrap(), 2);
    pass(60);
    set_expiring(&store, "count", b"5", 100).await;
    pass(60);
    assert_eq!((value(&store, "count").await, left(&store, "count").await), (Some(b"5".to_vec()), ms(40)));
    pass(40);
    assert_eq!(store.list_keys(None, 10).await.unwrap().keys, ["set", "many", "swap"]);
}

async fn what_has_ended_does_not_count(engine: &dyn KeyValueEngine, pass: &dyn Fn(i64)) {
    let store = engine.store("quota of ends", 3000);
    for round in 0..5 {
        // 1000 keys of three bytes fill it; nothing but the time makes room for the next round.
        for number in 0..1000_u32 {
            let key = char::from_u32(0x4e00 + round * 1000 + number).unwrap().to_string();
            set_expiring(&store, &key, b"", 1000).await;
        }
        let full = store.set("x".to_owned(), vec![]).await;
        assert_eq!(full, Err(KeyValueError::QuotaExceeded { needed: 3001, quota: 3000 }));
        pass(1000);
    }
    assert_eq!(bytes(&store).await, 0);
    store.set("x".to_owned(), vec![0; 2999]).await.unwrap();
    assert!(store.list_keys(None, 10).await.unwrap().keys == ["x"]);
}

async fn times_are_bounded(engine: &dyn KeyValueEngine) {
    let store = engine.store("times", ROOMY);
    set(&store, "a", b"").await.unwrap();
    for ttl in [Duration::ZERO, Duration::from_micros(999), MAX_TTL + Duration::from_millis(1), Duration::MAX] {
        let refused = Err(KeyValueError::TtlOutOfBounds { ttl });
        assert_eq!(store.set_expiring("b".to_owned(), vec![], ttl).await, refused);
        assert_eq!(store.expire("a".to_owned(), Some(ttl)).await.map(drop), refused);
    }
    store.set_expiring("b".to_owned(), vec![], MAX_TTL).await.unwrap();
    assert_eq!((left(&store, "a").await, left(&store, "b").await), (Lifetime::Unlimited, Lifetime::Left(MAX_TTL)));
}

async fn value(store: &Arc<dyn KeyValueStore>, key: &str) -> Option<Vec<u8>> {
    store.get(key.to_owned()).await.unwrap().map(|entry| entry.value)
}

async fn set(store: &Arc<dyn KeyValueStore>, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
    store.set(key.to_owned(), value.to_vec()).await
}

async fn bytes(store: &Arc<dyn KeyValueStore>) -> u64 {
    store.usage().await.unwrap().bytes
}

async fn values_come_back_as_they_were(engine: &dyn KeyValueEngine) {
    let store = engine.store("values", ROOMY);
    let every_byte: Vec<u8> = (0..=255).collect();
    let keys = ["", "a", "A", " ", "a\0b", "a\0c", "\u{e9}", "e\u{301}", "\u{1f980}", "%", "_", "'; DROP TABLE x"];
    for (number, key) in keys.iter().enumerate() {
        set(&store, key, &[&every_byte[..], number.to_string().as_bytes()].concat()).await.unwrap();
    }
    for (number, key) in keys.iter().enumerate() {
        let expected = [&every_byte[..], number.to_string().as_bytes()].concat();
        assert_eq!(value(&store, key).await, Some(expected), "key {key:?}");
    }
    assert_eq!(store.usage().await.unwrap().keys, keys.len() as u64);

    set(&store, "", b"").await.unwrap();
    assert_eq!(value(&store, "").await, Some(Vec::new()));
    assert_eq!(value(&store, "b").await, None);
    store.delete("a".to_owned()).await.unwrap();
    store.delete("a".to_owned()).await.unwrap();
    assert_eq!(value(&store, "a").await, None);
    assert!(!store.revision("a".to_owned()).await.unwrap().exists());
    assert!(store.revision("A".to_owned()).await.unwrap().exists());
}

async fn services_never_see_each_other(engine: &dyn KeyValueEngine) {
    let names = ["one", "two", "One", "..", "../one", "one/", "o\u{e9}", ""];
    let stores: Vec<_> = names.iter().map(|name| engine.store(name, ROOMY)).collect();
    for (name, store) in names.iter().zip(&stores) {
        assert_eq!(value(store, "key").await, None, "service {name:?}");
        set(store, "key", name.as_bytes()).await.unwrap();
    }
    for (name, store) in names.iter().zip(&stores) {
        assert_eq!(value(store, "key").await, Some(name.as_bytes().to_vec()), "service {name:?}");
        assert_eq!(store.list_keys(None, 10).await.unwrap().keys, ["key"]);
    }
    assert_eq!(value(&engine.store("two", ROOMY), "key").await, Some(b"two".to_vec()));
}

async fn batches_are_all_or_nothing(engine: &dyn KeyValueEngine) {
    let store = engine.store("batches", 100);
    let entries = |pairs: &[(&str, &str)]| -> Vec<_> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    };
    store.set_many(entries(&[("a", "1"), ("b", "2"), ("a", "3")])).await.unwrap();
    let got = store.get_many(vec!["b".to_owned(), "x".to_owned(), "a".to_owned(), "b".to_owned()]).await.unwrap();
    assert_eq!(got, [Some(b"2".to_vec()), None, Some(b"3".to_vec()), Some(b"2".to_vec())]);

    let long = "x".repeat(99);
    let refused = store.set_many(entries(&[("a", "9"), ("c", "9"), ("d", &long)])).await;
    assert!(matches!(refused, Err(KeyValueError::QuotaExceeded { quota: 100, .. })), "{refused:?}");
    assert_eq!(value(&store, "a").await, Some(b"3".to_vec()));
    assert_eq!(value(&store, "c").await, None);
    assert_eq!(bytes(&store).await, 4);

    // What a batch frees counts for the batch, in whatever order.
    set(&store, "big", &[b'x'; 80]).await.unwrap();
    store.set_many(entries(&[("other", &"y".repeat(80)), ("big", "")])).await.unwrap();
    store.delete_many(vec!["big".to_owned(), "x".to_owned(), "other".to_owned()]).await.unwrap();
    assert_eq!(store.get_many(vec!["big".to_owned(), "other".to_owned()]).await.unwrap(), [None, None]);
    store.set_many(Vec::new()).await.unwrap();
    assert_eq!(store.get_many(Vec::new()).await.unwrap(), Vec::<Option<Vec<u8>>>::new());
}

async fn sizes_are_limited(engine: &dyn KeyValueEngine) {
    let store = engine.store("sizes", ROOMY);
    let key = "k".repeat(MAX_KEY_BYTES);
    let long = "k".repeat(MAX_KEY_BYTES + 1);
    let too_long = KeyValueError::KeyTooLong { bytes: MAX_KEY_BYTES + 1 };
    let large = vec![7; MAX_VALUE_BYTES];
    set(&store, &key, &large).await.unwrap();
    assert!(value(&store, &key).await == Some(large.clone()), "the largest value comes back");

    let too_large = store.set("a".to_owned(), vec![0; MAX_VALUE_BYTES + 1]).await.unwrap_err();
    assert_eq!(too_large, KeyValueError::ValueTooLarge { bytes: MAX_VALUE_BYTES + 1 });
    let swap = store.compare_and_swap("a".to_owned(), Revision::ABSENT, vec![0; MAX_VALUE_BYTES + 1]).await;
    assert_eq!(swap, Err(KeyValueError::ValueTooLarge { bytes: MAX_VALUE_BYTES + 1 }));
    assert_eq!(set(&store, &long, b"").await.unwrap_err(), too_long);
    assert_eq!(store.get(long.clone()).await.unwrap_err(), too_long);
    assert_eq!(store.revision(long.clone()).await.unwrap_err(), too_long);
    assert_eq!(store.get_many(vec![long.clone()]).await.unwrap_err(), too_long);
    assert_eq!(store.delete(long.clone()).await.unwrap_err(), too_long);
    assert_eq!(store.increment(long.clone(), 1, ALL).await.unwrap_err(), too_long);
    assert_eq!(store.compare_and_swap(long, Revision::ABSENT, Vec::new()).await.unwrap_err(), too_long);

    let many = vec!["a".to_owned(); MAX_BATCH_KEYS + 1];
    let too_many = KeyValueError::BatchTooLong { keys: MAX_BATCH_KEYS + 1 };
    assert_eq!(store.get_many(many.clone()).await.unwrap_err(), too_many);
    assert_eq!(store.delete_many(many.clone()).await.unwrap_err(), too_many);
    assert_eq!(store.set_many(many.into_iter().map(|key| (key, vec![])).collect()).await.unwrap_err(), too_many);

    let pieces = MAX_BATCH_BYTES / MAX_VALUE_BYTES;
    let batch: Vec<_> = (0..=pieces).map(|n| (n.to_string(), large.clone())).collect();
    assert_eq!(store.set_many(batch).await.unwrap_err(), KeyValueError::BatchTooLarge);
    let answer = store.get_many(vec![key; pieces + 1]).await.unwrap_err();
    assert_eq!(answer, KeyValueError::BatchTooLarge);
}

async fn the_quota_is_exact(engine: &dyn KeyValueEngine) {
    let store = engine.store("quota", 20);
    set(&store, "key", b"0123456789").await.unwrap();
    set(&store, "\u{e9}", b"12345").await.unwrap();
    assert_eq!(bytes(&store).await, 20);
    let full = |needed| Err(KeyValueError::QuotaExceeded { needed, quota: 20 });
    assert_eq!(set(&store, "", b"x").await, full(21));
    assert_eq!(set(&store, "x", b"").await, full(21));
    assert_eq!(set(&store, "key", b"0123456789x").await, full(21));
    assert_eq!(store.increment("n".to_owned(), 10, ALL).await, Err(full(23).unwrap_err()));
    assert_eq!(store.compare_and_swap("n".to_owned(), Revision::ABSENT, vec![0; 9]).await, Err(full(30).unwrap_err()));
    assert_eq!(store.usage().await.unwrap().keys, 2);

    set(&store, "", b"").await.unwrap();
    set(&store, "key", b"9876543210").await.unwrap();
    set(&store, "key", b"01234").await.unwrap();
    assert_eq!(bytes(&store).await, 15);
    set(&store, "abc", b"de").await.unwrap();
    assert_eq!(set(&store, "x", b"").await, full(21));
    store.delete("\u{e9}".to_owned()).await.unwrap();
    assert_eq!(bytes(&store).await, 13);
    assert_eq!(store.increment("n".to_owned(), 999_999, ALL).await, Ok(999_999));
    assert_eq!(store.increment("n".to_owned(), 1, ALL).await, Err(full(21).unwrap_err()));
    assert_eq!(value(&store, "n").await, Some(b"999999".to_vec()));
    assert_eq!(bytes(&store).await, 20);
}

async fn a_lowered_quota_lets_a_store_shrink(engine: &dyn KeyValueEngine) {
    let store = engine.store("lowered", 100);
    set(&store, "a", &[0; 90]).await.unwrap();
    let same = engine.store("lowered", 10);
    assert!(matches!(set(&store, "b", b"").await, Err(KeyValueError::QuotaExceeded { needed: 92, quota: 10 })));
    set(&same, "a", &[0; 50]).await.unwrap();
    set(&same, "a", &[1; 50]).await.unwrap();
    assert!(matches!(set(&store, "a", &[0; 51]).await, Err(KeyValueError::QuotaExceeded { .. })));
    store.delete("a".to_owned()).await.unwrap();
    set(&store, "b", &[0; 9]).await.unwrap();
}

async fn concurrent_increments_lose_nothing(engine: &dyn KeyValueEngine) {
    let store = engine.store("increments", ROOMY);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for _ in 0..50 {
                    seen.push(store.increment("n".to_owned(), 2, ALL).await.unwrap());
                }
                seen
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        seen.extend(task.await.unwrap());
    }
    assert_eq!(seen.len(), 1000, "no sum is returned twice");
    assert_eq!(value(&store, "n").await, Some(b"2000".to_vec()));
}

async fn counters_stay_in_their_range(engine: &dyn KeyValueEngine) {
    let store = engine.store("counters", ROOMY);
    let add = |key: &str, delta, range| store.increment(key.to_owned(), delta, range);
    assert_eq!(add("n", -5, ALL).await, Ok(-5));
    assert_eq!(add("n", 3, 0..=i64::MAX).await, Err(KeyValueError::CounterRange));
    assert_eq!(add("n", 0, ALL).await, Ok(-5));
    assert_eq!(add("n", 5, 0..=i64::MAX).await, Ok(0));
    assert_eq!(add("n", i64::MAX, ALL).await, Ok(i64::MAX));
    assert_eq!(add("n", 1, ALL).await, Err(KeyValueError::CounterRange));
    for (key, text) in [("empty", &b""[..]), ("word", b"one"), ("bytes", b"\xff"), ("wide", b"9223372036854775808")] {
        set(&store, key, text).await.unwrap();
        assert_eq!(add(key, 1, ALL).await, Err(KeyValueError::NotACounter), "{key}");
        assert_eq!(value(&store, key).await.as_deref(), Some(text));
    }
    set(&store, "set", b"41").await.unwrap();
    assert_eq!(add("set", 1, ALL).await, Ok(42));
    assert_eq!(value(&store, "set").await, Some(b"42".to_vec()));
}

async fn a_swap_needs_the_revision_it_saw(engine: &dyn KeyValueEngine) {
    let store = engine.store("swaps", ROOMY);
    let swap = |expected, value: &str| store.compare_and_swap("k".to_owned(), expected, value.as_bytes().to_vec());
    let revision = || store.revision("k".to_owned());
    assert_eq!(revision().await, Ok(Revision::ABSENT));
    assert_eq!(swap(Revision::ABSENT, "1").await, Ok(Swap::Done));
    let first = revision().await.unwrap();
    assert_eq!(swap(Revision::ABSENT, "x").await, Ok(Swap::Changed(first)));
    assert_eq!(value(&store, "k").await, Some(b"1".to_vec()));
    assert_eq!(store.get("k".to_owned()).await.unwrap().unwrap().revision, first);

    // Changed and changed back is changed.
    set(&store, "k", b"2").await.unwrap();
    set(&store, "k", b"1").await.unwrap();
    let second = revision().await.unwrap();
    assert_eq!(swap(first, "x").await, Ok(Swap::Changed(second)));
    assert_eq!(store.increment("k".to_owned(), 0, ALL).await, Ok(1));
    assert!(matches!(swap(second, "x").await, Ok(Swap::Changed(_))));

    // So is deleted and written again, and deleted.
    let third = revision().await.unwrap();
    store.delete("k".to_owned()).await.unwrap();
    assert_eq!(swap(third, "x").await, Ok(Swap::Changed(Revision::ABSENT)));
    set(&store, "k", b"1").await.unwrap();
    assert!(matches!(swap(third, "x").await, Ok(Swap::Changed(_))));
    assert_eq!(swap(revision().await.unwrap(), "new").await, Ok(Swap::Done));
    assert_eq!(value(&store, "k").await, Some(b"new".to_vec()));
}

async fn concurrent_swaps_lose_nothing(engine: &dyn KeyValueEngine) {
    let store = engine.store("races", ROOMY);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..20 {
                    loop {
                        let (text, revision) = match store.get("list".to_owned()).await.unwrap() {
                            Some(entry) => (entry.value, entry.revision),
                            None => (Vec::new(), Revision::ABSENT),
                        };
                        let longer = [&text[..], b"x"].concat();
                        let swap = store.compare_and_swap("list".to_owned(), revision, longer).await;
                        if swap.unwrap() == Swap::Done {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(value(&store, "list").await.map(|list| list.len()), Some(160));
}

/// All keys, page by page.
async fn listing(store: &Arc<dyn KeyValueStore>, limit: usize) -> Vec<String> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.list_keys(cursor, limit).await.unwrap();
        assert!(page.keys.len() <= limit);
        keys.extend(page.keys);
        cursor = page.next;
        if cursor.is_none() {
            return keys;
        }
    }
}

async fn pages_hold_every_key_once(engine: &dyn KeyValueEngine) {
    let store = engine.store("pages", ROOMY);
    assert_eq!(store.list_keys(None, 10).await.unwrap(), crate::state::KeyPage::default());
    let keys: Vec<_> = (0..25).rev().map(|n| format!("key {n}")).collect();
    store.set_many(keys.iter().map(|key| (key.clone(), vec![1])).collect()).await.unwrap();
    for limit in [1, 5, 7, 24, 25, 26, MAX_PAGE_KEYS] {
        assert_eq!(listing(&store, limit).await, keys, "pages of {limit}");
    }
    assert_eq!(store.list_keys(None, 0).await.unwrap().keys.len(), 1, "a page is never empty before the end");
    assert_eq!(store.list_keys(None, usize::MAX).await.unwrap().keys.len(), 25);
    assert_eq!(store.list_keys(None, 25).await.unwrap().next, None, "a full last page is known to be the last");
}

async fn pages_stay_right_under_writes(engine: &dyn KeyValueEngine) {
    let store = engine.store("moving-pages", ROOMY);
    let stay: Vec<_> = (0..40).map(|n| format!("stay {n}")).collect();
    for key in &stay {
        store.set_many(vec![(key.clone(), vec![1]), (format!("go {key}"), vec![])]).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    for round in 0_usize.. {
        let page = store.list_keys(cursor, 7).await.unwrap();
        cursor = page.next;
        // Delete what was just listed and does not stay, the anchor of the cursor among it; rewrite; add.
        store.delete_many(page.keys.iter().filter(|key| key.starts_with("go")).cloned().collect()).await.unwrap();
        seen.extend(page.keys);
        store.set(stay[round % 40].clone(), vec![2; round]).await.unwrap();
        if round < 10 {
            store.set(format!("new {round}"), vec![]).await.unwrap();
        }
        if cursor.is_none() {
            break;
        }
    }
    for key in &stay {
        assert_eq!(seen.iter().filter(|listed| *listed == key).count(), 1, "{key}");
    }
}

async fn any_number_is_a_cursor(engine: &dyn KeyValueEngine) {
    let store = engine.store("cursors", ROOMY);
    set(&store, "a", b"").await.unwrap();
    for cursor in [0, 1, 7, u64::from(u32::MAX), i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let page = store.list_keys(Some(cursor), 10).await.unwrap();
        assert!(page.keys.len() <= 1, "cursor {cursor}");
    }
}
