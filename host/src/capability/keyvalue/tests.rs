use wasmtime::component::Resource;

use super::super::bindings::{keyvalue_draft, keyvalue_draft2};
use super::super::tests::{Fixture, Slot, fixture};
use super::super::{HasCapabilities, ServiceCapabilities};
use super::{Bucket, Cas, Failure};

use keyvalue_draft::wasi::keyvalue as draft;
use keyvalue_draft2::wasi::keyvalue as draft2;

use draft::atomics::Host as _;
use draft::batch::Host as _;
use draft::store::Host as _;
use draft2::atomics::HostCas as _;

fn open(slot: &mut Slot) -> u32 {
    draft::store::Host::open(&mut slot.capabilities(), "default".to_owned()).unwrap().rep()
}

fn bucket(rep: u32) -> Resource<Bucket> {
    Resource::new_own(rep)
}

fn text<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Other(text)) => text,
        other => panic!("{other:?}"),
    }
}

async fn set(slot: &mut Slot, rep: u32, key: &str, value: &[u8]) -> Result<(), Failure> {
    draft::store::HostBucket::set(&mut slot.capabilities(), bucket(rep), key.to_owned(), value.to_vec()).await
}

async fn get(slot: &mut Slot, rep: u32, key: &str) -> Option<Vec<u8>> {
    draft2::store::HostBucket::get(&mut slot.capabilities(), bucket(rep), key.to_owned()).await.unwrap()
}

#[tokio::test]
async fn only_the_store_of_the_service_opens() {
    let Fixture { service, mut slot, .. } = fixture(100);
    for name in ["", "Default", "default ", "users", "../users", &"x".repeat(1_000_000)] {
        let opened = slot.capabilities().open_bucket(name);
        assert!(matches!(opened, Err(Failure::NoSuchStore)), "{name}");
    }
    let denied = ServiceCapabilities::new("orders", None, Default::default(), service.log().clone());
    let mut slot = Slot::new(&denied.into());
    assert!(matches!(slot.capabilities().open_bucket("default"), Err(Failure::AccessDenied)));
    let error = draft2::store::Host::convert_error(&mut slot.capabilities(), Failure::AccessDenied).unwrap();
    assert!(matches!(error, draft2::store::Error::AccessDenied));
}

#[tokio::test]
async fn both_drafts_and_all_slots_see_one_store() {
    let Fixture { service, mut slot, .. } = fixture(1000);
    let mut second = Slot::new(&service);
    let (one, two) = (open(&mut slot), open(&mut second));
    set(&mut slot, one, "a", b"1").await.unwrap();
    assert_eq!(get(&mut second, two, "a").await, Some(b"1".to_vec()));
    let mut view = second.capabilities();
    assert!(draft2::store::HostBucket::exists(&mut view, bucket(two), "a".to_owned()).await.unwrap());
    draft2::store::HostBucket::delete(&mut view, bucket(two), "a".to_owned()).await.unwrap();
    let mut view = slot.capabilities();
    assert!(!draft::store::HostBucket::exists(&mut view, bucket(one), "a".to_owned()).await.unwrap());

    let entries = vec![("b".to_owned(), vec![2]), ("c".to_owned(), vec![])];
    draft2::batch::Host::set_many(&mut second.capabilities(), bucket(two), entries).await.unwrap();
    let keys = ["c", "x", "b"].map(str::to_owned).to_vec();
    let values = slot.capabilities().get_many(bucket(one), keys.clone()).await.unwrap();
    assert_eq!(values, [Some(("c".to_owned(), vec![])), None, Some(("b".to_owned(), vec![2]))]);
    slot.capabilities().delete_many(bucket(one), keys).await.unwrap();
    assert_eq!(get(&mut second, two, "b").await, None);
}

#[tokio::test]
async fn limits_reach_the_guest_as_text_that_says_what_to_do() {
    let Fixture { mut slot, .. } = fixture(10);
    let rep = open(&mut slot);
    set(&mut slot, rep, "key", b"123").await.unwrap();
    assert_eq!(
        text(set(&mut slot, rep, "other", b"123456").await),
        "store is full: 17 bytes would be needed and the quota is 10 bytes; delete keys or raise it"
    );
    assert_eq!(
        text(set(&mut slot, rep, &"k".repeat(16 << 20), b"").await),
        "key has 16777216 bytes, at most 1024 are allowed"
    );
    assert_eq!(
        text(set(&mut slot, rep, "key", &[0; 5 << 20]).await),
        "value has 5242880 bytes, at most 4194304 are allowed; split it over several keys"
    );
    assert_eq!(get(&mut slot, rep, "key").await, Some(b"123".to_vec()));
}

#[tokio::test]
async fn a_failure_of_the_host_does_not_show_its_inside() {
    let Fixture { root, mut slot, .. } = fixture(10);
    std::fs::write(root.path().join("services"), "a file in the way").unwrap();
    let rep = open(&mut slot);
    let shown = text(set(&mut slot, rep, "key", b"").await);
    assert_eq!(shown, "key-value store is not available, the log of the host says why");
}

#[tokio::test]
async fn a_million_open_stores_end_in_an_error() {
    let Fixture { mut slot, .. } = fixture(10);
    let mut view = slot.capabilities();
    let failed = (0..1_000_000).find_map(|number| view.open("default".to_owned()).err().map(|error| (number, error)));
    let (number, error) = failed.unwrap();
    assert_eq!(number, 4096);
    assert_eq!(text::<()>(Err(error)), "too many open handles; drop some first");
    assert!(draft::store::HostBucket::exists(&mut view, bucket(0), "a".to_owned()).await.is_ok());
}

#[tokio::test]
async fn a_handle_that_is_none_is_a_trap() {
    let Fixture { mut slot, .. } = fixture(10);
    let rep = open(&mut slot);
    let mut view = slot.capabilities();
    let result = draft::store::HostBucket::get(&mut view, bucket(rep + 7), "a".to_owned()).await;
    assert!(matches!(result, Err(Failure::Trap(_))), "{result:?}");
    let result = draft2::atomics::HostCas::current(&mut view, Resource::new_own(rep)).await;
    assert!(matches!(result, Err(Failure::Trap(_))), "a bucket is no compare-and-swap: {result:?}");
    assert!(draft::store::HostBucket::drop(&mut view, bucket(rep)).is_ok());
    assert!(draft::store::HostBucket::drop(&mut view, bucket(rep)).is_err());
    let error = draft::store::Host::convert_error(&mut view, Failure::Trap(wasmtime::Error::msg("x")));
    assert!(error.is_err());
}

#[tokio::test]
async fn both_cursors_walk_over_all_keys() {
    let Fixture { mut slot, .. } = fixture(1 << 20);
    let rep = open(&mut slot);
    let keys: Vec<_> = (0..2500).map(|number| format!("key {number}")).collect();
    for part in keys.chunks(1000) {
        let entries = part.iter().map(|key| (key.clone(), vec![])).collect();
        draft::batch::Host::set_many(&mut slot.capabilities(), bucket(rep), entries).await.unwrap();
    }
    let mut view = slot.capabilities();
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = draft::store::HostBucket::list_keys(&mut view, bucket(rep), cursor).await.unwrap();
        listed.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert!(listed == keys, "{} keys by number", listed.len());

    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = draft2::store::HostBucket::list_keys(&mut view, bucket(rep), cursor).await.unwrap();
        listed.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert!(listed == keys, "{} keys by text", listed.len());
}

#[tokio::test]
async fn garbage_cursors_are_harmless() {
    let Fixture { mut slot, .. } = fixture(100);
    let rep = open(&mut slot);
    set(&mut slot, rep, "a", b"").await.unwrap();
    let mut view = slot.capabilities();
    for cursor in ["", "-1", "x", "1.5", "18446744073709551616", " 1", "'; DROP TABLE entries"] {
        let page = draft2::store::HostBucket::list_keys(&mut view, bucket(rep), Some(cursor.to_owned())).await;
        assert_eq!(text(page), "cursor is not one of this store; start the listing again", "{cursor}");
    }
    let page = draft::store::HostBucket::list_keys(&mut view, bucket(rep), Some(u64::MAX)).await.unwrap();
    assert!(page.keys.is_empty() && page.cursor.is_none());
}

#[tokio::test]
async fn counters_of_both_drafts_are_the_same_number() {
    let Fixture { mut slot, .. } = fixture(100);
    let rep = open(&mut slot);
    let mut view = slot.capabilities();
    assert_eq!(view.increment(bucket(rep), "n".to_owned(), 5).await.unwrap(), 5);
    let signed = |delta| (bucket(rep), "n".to_owned(), delta);
    let (handle, key, delta) = signed(-7);
    assert_eq!(draft2::atomics::Host::increment(&mut view, handle, key, delta).await.unwrap(), -2);
    let refused = "increment would leave the range of the counter, nothing was changed";
    assert_eq!(text(view.increment(bucket(rep), "n".to_owned(), 1).await), refused);
    assert_eq!(text(view.increment(bucket(rep), "n".to_owned(), u64::MAX).await), refused);
    assert_eq!(view.increment(bucket(rep), "n".to_owned(), 2).await.unwrap(), 0);
    assert_eq!(get(&mut slot, rep, "n").await, Some(b"0".to_vec()));
}

async fn swap(slot: &mut Slot, cas: Resource<Cas>, value: &[u8]) -> Result<(), Resource<Cas>> {
    match draft2::atomics::Host::swap(&mut slot.capabilities(), cas, value.to_vec()).await.unwrap() {
        Ok(()) => Ok(()),
        Err(draft2::atomics::CasError::CasFailed(next)) => Err(next),
        Err(draft2::atomics::CasError::StoreError(error)) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_swap_that_lost_hands_back_a_handle_that_can_win() {
    let Fixture { mut slot, .. } = fixture(100);
    let rep = open(&mut slot);
    let first = slot.capabilities().new(bucket(rep), "k".to_owned()).await.unwrap();
    let second = slot.capabilities().new(bucket(rep), "k".to_owned()).await.unwrap();
    assert_eq!(swap(&mut slot, first, b"one").await.map_err(|_| "lost"), Ok(()));
    let retry = swap(&mut slot, second, b"two").await.unwrap_err();
    assert_eq!(get(&mut slot, rep, "k").await, Some(b"one".to_vec()));
    let current = slot.capabilities().current(Resource::new_own(retry.rep())).await.unwrap();
    assert_eq!(current, Some(b"one".to_vec()));
    assert!(swap(&mut slot, retry, b"two").await.is_ok());
    assert_eq!(get(&mut slot, rep, "k").await, Some(b"two".to_vec()));

    // Without looking at the value, too: the handle stands for what was in the way.
    let late = slot.capabilities().new(bucket(rep), "k".to_owned()).await.unwrap();
    set(&mut slot, rep, "k", b"three").await.unwrap();
    let retry = swap(&mut slot, late, b"four").await.unwrap_err();
    assert!(swap(&mut slot, retry, b"four").await.is_ok());
    assert_eq!(get(&mut slot, rep, "k").await, Some(b"four".to_vec()));
    slot.capabilities().drop_bucket(bucket(rep)).unwrap();
    assert!(slot.table.is_empty(), "swaps leave no handle behind");
}

#[tokio::test]
async fn looking_at_the_value_renews_a_handle() {
    let Fixture { mut slot, .. } = fixture(100);
    let rep = open(&mut slot);
    let cas = slot.capabilities().new(bucket(rep), "k".to_owned()).await.unwrap();
    set(&mut slot, rep, "k", b"meanwhile").await.unwrap();
    let current = slot.capabilities().current(Resource::new_own(cas.rep())).await.unwrap();
    assert_eq!(current, Some(b"meanwhile".to_vec()));
    assert!(swap(&mut slot, cas, b"based on that").await.is_ok());

    let cas = slot.capabilities().new(bucket(rep), "k".to_owned()).await.unwrap();
    set(&mut slot, rep, "k", b"based on that").await.unwrap();
    assert!(swap(&mut slot, cas, b"lost").await.is_err());
    let cas = slot.capabilities().new(bucket(rep), "k".to_owned()).await.unwrap();
    let full = draft2::atomics::Host::swap(&mut slot.capabilities(), cas, vec![0; 100]).await.unwrap();
    assert!(matches!(full, Err(draft2::atomics::CasError::StoreError(draft2::store::Error::Other(_)))), "{full:?}");
}
