//! Handling an event once, although it is delivered at least once.
//!
//! The id of an event that was handled is marked in the service's key-value store, and one with a mark is not handled
//! again. Between the work and the mark the service can still end: then the work is done twice, so it should bear that.
//! (Work that is all done in the service's SQL database can be marked in the same transaction instead.)
//!
//! A mark costs about 100 bytes of `keyValue.quota` until it expires. A replay of older events handles them again.

use std::time::Duration;

use crate::{Delivery, Failure, KeyValue};

const PREFIX: &str = "wharf-handled/";
/// How long [`once`] remembers: as long as the log remembers the ids of what was published.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// Does the work for an event unless that has been done for this subscription within the last day.
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
    once_in(event, REMEMBERED, work)
}

/// The same, remembered for so long. It should be longer than the subscription tries.
///
/// # Errors
/// Those of [`once`].
pub fn once_in(
    event: &Delivery,
    remembered: Duration,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let store = KeyValue::open("default")?;
    let mark = format!("{PREFIX}{}", fingerprint(event));
    if store.exists(&mark)? {
        return Ok(());
    }
    work()?;
    Ok(store.set_expiring(&mark, b"", remembered)?)
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
    fn a_mark_is_gone_when_its_time_is_over() {
        let count = Cell::new(0);
        let work = || {
            count.set(count.get() + 1);
            Ok(())
        };
        let short = Duration::from_millis(20);
        once_in(&event("1"), short, work).unwrap();
        let began = std::time::Instant::now();
        while began.elapsed() < short * 2 {
            std::hint::spin_loop();
        }
        once_in(&event("1"), short, work).unwrap();
        assert_eq!(count.get(), 2);
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
