//! Handling an event once, although it is delivered at least once.
//!
//! The id of an event that was handled is marked in the service's key-value store, and one with a mark is not handled
//! again. Between the work and the mark the service can still end: then the work is done twice, so it should bear that.
//! (Work that is all done in the service's SQL database can be marked in the same transaction instead.)
//!
//! A mark lasts from one to two days, by the date of the host's clock; the first event of a day takes away what is older.
//! It costs about 100 bytes of `keyValue.quota` for each event. A replay of older events handles them again.

use std::time::{Duration, SystemTime};

use crate::{Delivery, Failure, KeyValue, KeyValueError};

const PREFIX: &str = "wharf-handled/";
/// The day up to which older marks were taken away.
const SWEPT: &str = "wharf-handled-swept";
/// Marks that one event takes away at most, so that it does not pay for a whole day.
const MAX_SWEPT: usize = 500;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Does the work for an event unless that has been done for this subscription before.
///
/// ```
/// use wharf_sdk::{Delivery, Failure, once};
///
/// fn created(event: Delivery) -> Result<(), Failure> {
///     once(&event, || {
///         println!("a mail for {}", event.id);
///         Ok(())
///     })
/// }
/// ```
///
/// # Errors
/// Those of the work, after which it is not marked, and [`Failure::Retry`] when the store fails.
pub fn once(event: &Delivery, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    once_on(since_1970.as_secs() / DAY.as_secs(), event, work)
}

fn once_on(day: u64, event: &Delivery, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let store = KeyValue::open("default")?;
    let mark = |day: u64| format!("{PREFIX}{day}/{}", fingerprint(event));
    if store.exists(&mark(day))? || store.exists(&mark(day.saturating_sub(1)))? {
        return Ok(());
    }
    work()?;
    store.set(&mark(day), b"")?;
    sweep(&store, day)?;
    Ok(())
}

/// Takes away marks of days that nobody asks for any more.
fn sweep(store: &KeyValue, day: u64) -> Result<(), KeyValueError> {
    let today = day.to_string();
    if store.get(SWEPT)?.as_deref() == Some(today.as_bytes()) {
        return Ok(());
    }
    let is_old = |key: &&String| {
        let of = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')).and_then(|(of, _)| of.parse().ok());
        of.is_some_and(|of: u64| of.saturating_add(1) < day)
    };
    let keys = store.keys()?;
    let mut old = keys.iter().filter(is_old);
    for key in old.by_ref().take(MAX_SWEPT) {
        store.delete(key)?;
    }
    if old.next().is_none() {
        store.set(SWEPT, today.as_bytes())?;
    }
    Ok(())
}

/// Which event it is, for whom, in a key of bounded length: FNV-1a of 128 bits, which nobody has to keep secret.
/// Whoever publishes chooses ids, but only among its own events, and meets only itself.
fn fingerprint(event: &Delivery) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash = OFFSET;
    for text in [&event.subscription, &event.source, &event.id] {
        // The end of each text counts, too: `a`, `bc` is not `ab`, `c`.
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn event(id: &str) -> Delivery {
        Delivery { id: id.to_owned(), source: "/services/orders".to_owned(), ..Delivery::default() }
    }

    #[test]
    fn what_was_handled_is_not_handled_again() {
        let done = Cell::new(0);
        let work = || {
            done.set(done.get() + 1);
            Ok(())
        };
        once(&event("1"), work).unwrap();
        once(&event("1"), work).unwrap();
        assert_eq!(done.get(), 1);
        once(&event("2"), work).unwrap();
        once(&Delivery { subscription: "other".to_owned(), ..event("1") }, work).unwrap();
        assert_eq!(done.get(), 3);
    }

    #[test]
    fn what_failed_is_handled_again() {
        assert!(once(&event("1"), || Err(Failure::retry("not yet"))).is_err());
        let done = Cell::new(false);
        once(&event("1"), || {
            done.set(true);
            Ok(())
        })
        .unwrap();
        assert!(done.get());
    }

    #[test]
    fn marks_last_until_the_day_after_and_are_taken_away_then() {
        let marks = || {
            let keys = KeyValue::open("default").unwrap().keys().unwrap();
            keys.into_iter().filter(|key| key.starts_with(PREFIX)).count()
        };
        let is_handled = |day, id: &str| {
            let done = Cell::new(false);
            once_on(day, &event(id), || {
                done.set(true);
                Ok(())
            })
            .unwrap();
            done.get()
        };
        for id in 0..MAX_SWEPT + 100 {
            assert!(is_handled(10, &id.to_string()));
        }
        assert!(!is_handled(11, "0"), "yesterday counts");
        assert!(is_handled(12, "0"));
        assert_eq!(marks(), 101, "a part of them goes with the first event");
        assert!(is_handled(12, "1"));
        assert_eq!(marks(), 2, "and the rest with the next");
    }

    #[test]
    fn texts_do_not_run_into_each_other() {
        let of = |subscription: &str, source: &str, id: &str| {
            let event = Delivery { subscription: subscription.into(), source: source.into(), ..event(id) };
            fingerprint(&event)
        };
        assert_ne!(of("a", "bc", "d"), of("ab", "c", "d"));
        assert_ne!(of("", "", "a"), of("a", "", ""));
        assert_eq!(of("a", "b", "c").len(), 32);
    }
}
