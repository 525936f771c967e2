use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

fn quota(requests: u32, per: u64, burst: u32) -> Quota {
    Quota { requests, per: Duration::from_secs(per), burst, max_keys: 1000 }
}

fn limiter(quota: Quota) -> impl Fn(&str, Duration) -> Decision + Sync {
    let begun = Instant::now();
    let limiter = Limiter::new(quota, begun);
    move |key: &str, after| limiter.check(key, quota, begun + after)
}

#[test]
fn a_burst_is_admitted_at_once_and_then_one_for_each_interval() {
    let check = limiter(quota(60, 60, 3));
    let at = |millis| check("key", Duration::from_millis(millis));
    assert_eq!((0..4).map(|_| at(0).admitted).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(at(0).retry_after, Duration::from_secs(1));
    assert!(!at(999).admitted);
    let next = at(1000);
    assert!(next.admitted && next.remaining == 0);
    assert!(!at(1000).admitted);
    // Quiet for long: the whole burst again, and not more.
    assert_eq!((0..5).filter(|_| at(100_000).admitted).count(), 3);
}

#[test]
fn what_is_left_and_when_it_is_whole_again_are_told() {
    let check = limiter(quota(10, 10, 10));
    let first = check("a", Duration::ZERO);
    assert_eq!((first.remaining, first.reset_after, first.retry_after), (9, Duration::from_secs(1), Duration::ZERO));
    for _ in 0..9 {
        check("a", Duration::ZERO);
    }
    let refused = check("a", Duration::ZERO);
    assert_eq!((refused.admitted, refused.remaining, refused.reset_after), (false, 0, Duration::from_secs(10)));
    let later = check("a", Duration::from_millis(2500));
    assert_eq!((later.admitted, later.remaining), (true, 1));
}

proptest! {
    /// Against a bucket that is filled continuously, in exact arithmetic.
    #[test]
    fn it_admits_what_a_token_bucket_admits(
        requests in 1u32..50, seconds in 1u64..20, burst in 1u32..20,
        steps in prop::collection::vec(0u64..3_000_000_000, 1..200),
    ) {
        let quota = quota(requests, seconds, burst);
        let check = limiter(quota);
        let interval = u128::from(quota.interval());
        // Level in nanoseconds of interval, so that nothing is rounded.
        let full = interval * u128::from(burst);
        let (mut level, mut now) = (full, 0u64);
        for step in steps {
            now += step;
            level = full.min(level + u128::from(step));
            let expected = level >= interval;
            if expected {
                level -= interval;
            }
            let decision = check("key", Duration::from_nanos(now));
            prop_assert_eq!(decision.admitted, expected);
            prop_assert_eq!(u128::from(decision.remaining), level / interval);
            if !expected {
                let wait = decision.retry_after;
                prop_assert_eq!(wait.as_nanos(), interval - level);
            }
        }
    }
}

#[test]
fn keys_do_not_share_and_are_bounded() {
    let begun = Instant::now();
    let quota = Quota { max_keys: 10_000, ..quota(1, 3600, 1) };
    let limiter = Limiter::new(quota, begun);
    for key in 0..1_000_000u32 {
        assert!(limiter.check(key, quota, begun).admitted);
    }
    assert!(limiter.keys() <= 10_000, "{}", limiter.keys());
}

#[test]
fn a_flood_of_new_keys_does_not_give_quota_back_to_one_that_has_used_it() {
    let begun = Instant::now();
    let quota = Quota { max_keys: 1600, ..quota(100, 3600, 100) };
    let limiter = Limiter::new(quota, begun);
    for _ in 0..100 {
        assert!(limiter.check("greedy", quota, begun).admitted);
    }
    for key in 0..100_000u32 {
        limiter.check(key, quota, begun + Duration::from_millis(u64::from(key) / 100));
    }
    assert!(!limiter.check("greedy", quota, begun + Duration::from_secs(1)).admitted);
}

#[test]
fn exactly_the_burst_is_admitted_when_many_ask_at_once() {
    let check = limiter(quota(50, 3600, 50));
    let admitted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    if check("key", Duration::ZERO).admitted {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 50);
}

#[test]
fn a_limiter_is_found_again_and_keeps_each_keys_share_of_a_new_quota() {
    let (limiters, begun) = (Limiters::default(), Instant::now());
    let (small, large) = (quota(10, 3600, 10), quota(100, 60, 100));
    let first = limiters.get("rule shop #1", small, begun);
    for _ in 0..5 {
        first.check("half", small, begun);
    }
    for _ in 0..10 {
        first.check("all", small, begun);
    }
    let again = limiters.get("rule shop #1", large, begun);
    assert!(Arc::ptr_eq(&first, &again));
    assert_eq!(again.check("half", large, begun).remaining, 49);
    assert!(!again.check("all", large, begun).admitted);
    let other = limiters.get("rule shop #2", small, begun);
    assert!(other.check("all", small, begun).admitted);
    drop((first, again));
    limiters.forget_unused();
    assert!(limiters.get("rule shop #1", small, begun).check("all", small, begun).admitted);
}

#[test]
fn a_burst_beyond_all_measure_overflows_nothing() {
    let check = limiter(quota(1, 86_400, u32::MAX));
    // Each request is a day ahead of the one before; 584 years are all that 64 bits of nanoseconds have.
    for _ in 0..214_000 {
        let decision = check("key", Duration::from_secs(1));
        assert!(decision.admitted && decision.retry_after == Duration::ZERO);
    }
}
