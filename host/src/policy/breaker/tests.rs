use std::sync::atomic::AtomicUsize;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::config;

use super::BreakerState::{Closed, HalfOpen, Open as IsOpen};

/// A breaker with a clock of its own and a list of what it told.
struct Bench {
    breaker: Arc<Breaker>,
    now: Instant,
    told: Arc<Mutex<Vec<Transition>>>,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn some(millis: u64) -> config::Duration {
    config::Duration::millis(millis)
}

/// Round numbers: opens for (nearly) 10 s, then 20, 40, 60; three probes.
fn usual() -> CircuitBreaker {
    CircuitBreaker { wait_duration_in_open_state: some(10_000), ..CircuitBreaker::default() }
}

fn only_rates() -> CircuitBreaker {
    CircuitBreaker { consecutive_failures: 0, ..usual() }
}

impl Bench {
    fn new(config: &CircuitBreaker) -> Self {
        let now = Instant::now();
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        let tell: Told = Box::new(move |transition: &Transition| teller.lock().unwrap().push(*transition));
        let breaker = Arc::new(Breaker::with_random(config, now, fastrand::Rng::with_seed(7), tell));
        Self { breaker, now, told }
    }

    fn pass(&mut self, millis: u64) {
        self.now += ms(millis);
    }

    fn admit(&self) -> BreakerPermit {
        self.breaker.admit(self.now).unwrap_or_else(|_| panic!("refused: {:?}", self.breaker.status(self.now)))
    }

    fn refused(&self) -> Duration {
        self.breaker.admit(self.now).map(|_| ()).unwrap_err().retry_after
    }

    fn calls(&self, outcomes: &[Outcome]) {
        outcomes.iter().for_each(|outcome| self.admit().record(*outcome, self.now));
    }

    fn state(&self) -> BreakerState {
        self.breaker.status(self.now).state
    }

    fn told(&self) -> Vec<(BreakerState, BreakerState, Option<OpenReason>)> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        told.into_iter().map(|transition| (transition.from, transition.to, transition.reason)).collect()
    }

    /// Opens it and waits until it lets probes through.
    fn half_open(&mut self) {
        self.calls(&[Outcome::Failure; 5]);
        assert_eq!(self.state(), IsOpen);
        self.now += self.breaker.status(self.now).retry_after;
        assert_eq!(self.state(), HalfOpen);
        self.told();
    }
}

use Outcome::{Failure, Ignored, Overloaded, Success};

#[test]
fn a_row_of_failures_opens_at_once() {
    let bench = Bench::new(&usual());
    bench.calls(&[Failure; 4]);
    assert_eq!(bench.state(), Closed);
    bench.calls(&[Failure]);
    assert_eq!(bench.told(), [(Closed, IsOpen, Some(OpenReason::ConsecutiveFailures(5)))]);
    let wait = bench.refused();
    assert!((ms(8000)..=ms(10_000)).contains(&wait), "{wait:?}");
    assert_eq!(bench.breaker.status(bench.now).retry_after, wait);
}

#[test]
fn what_is_between_failures_ends_the_row_or_does_not() {
    for (between, opens) in [(Success, false), (Overloaded, true), (Ignored, true)] {
        let bench = Bench::new(&usual());
        bench.calls(&[Failure, Failure, Failure, Failure, between]);
        assert_eq!(bench.state(), Closed, "{between:?} is no failure in a row");
        bench.calls(&[Failure]);
        assert_eq!(bench.state() == IsOpen, opens, "{between:?}");
    }
}

#[test]
fn the_rate_opens_when_there_were_enough_calls_and_enough_of_them_failed() {
    // Successes, then failures; whether the last one opens.
    for (good, bad, opens) in [(0, 19, false), (0, 20, true), (10, 10, true), (11, 10, false), (100, 99, false)] {
        let bench = Bench::new(&only_rates());
        bench.calls(&vec![Success; good]);
        bench.calls(&vec![Failure; bad]);
        assert_eq!(bench.state() == IsOpen, opens, "{good} good, {bad} bad");
        if opens {
            let counts = Counts { calls: (good + bad) as u64, failures: bad as u64, slow: 0 };
            assert_eq!(bench.told(), [(Closed, IsOpen, Some(OpenReason::FailureRate(counts)))]);
        }
    }
}

#[test]
fn refusals_for_overload_count_for_the_rate() {
    let bench = Bench::new(&usual());
    bench.calls(&[Overloaded; 19]);
    assert_eq!(bench.state(), Closed);
    bench.calls(&[Overloaded]);
    let counts = Counts { calls: 20, failures: 20, slow: 0 };
    assert_eq!(bench.told(), [(Closed, IsOpen, Some(OpenReason::FailureRate(counts)))]);
}

#[test]
fn what_is_ignored_counts_nothing_at_all() {
    let bench = Bench::new(&only_rates());
    bench.calls(&[Ignored; 100]);
    assert_eq!(bench.breaker.status(bench.now).counts, Counts::default());
    bench.calls(&[Failure; 19]);
    bench.calls(&[Ignored; 100]);
    assert_eq!(bench.state(), Closed, "not even towards the least number of calls");
}

#[test]
fn a_good_call_never_opens() {
    let bench = Bench::new(&only_rates());
    bench.calls(&[Failure; 10]);
    bench.calls(&[Success; 10]);
    assert_eq!(bench.state(), Closed, "half of 20 failed, but what came last was good");
    bench.calls(&[Failure]);
    assert_eq!(bench.state(), IsOpen);
}

#[test]
fn a_failure_counts_only_while_it_is_in_the_window() {
    let mut bench = Bench::new(&only_rates());
    bench.calls(&[Failure; 19]);
    bench.pass(10_000);
    bench.calls(&[Failure]);
    assert_eq!(bench.state(), Closed);
    assert_eq!(bench.breaker.status(bench.now).counts.calls, 1);
}

#[test]
fn slow_calls_open_when_they_are_looked_at() {
    let config = CircuitBreaker { slow_call_duration_threshold: some(2000), slow_call_rate_threshold: 80, ..usual() };
    let mut bench = Bench::new(&config);
    let slow = |bench: &mut Bench, calls: usize| {
        let permits: Vec<_> = (0..calls).map(|_| bench.admit()).collect();
        bench.pass(2001);
        permits.into_iter().for_each(|permit| permit.record(Success, bench.now));
    };
    bench.calls(&[Success; 4]);
    slow(&mut bench, 15);
    assert_eq!(bench.state(), Closed, "78 % of 19");
    slow(&mut bench, 1);
    let counts = Counts { calls: 20, failures: 0, slow: 16 };
    assert_eq!(bench.told(), [(Closed, IsOpen, Some(OpenReason::SlowCallRate(counts)))]);

    let mut bench = Bench::new(&usual());
    slow(&mut bench, 100);
    assert_eq!(bench.state(), Closed, "nobody asked for it");
}

#[test]
fn a_call_exactly_as_long_as_the_threshold_is_not_slow() {
    let config = CircuitBreaker { slow_call_duration_threshold: some(2000), ..usual() };
    let mut bench = Bench::new(&config);
    let permit = bench.admit();
    bench.pass(2000);
    permit.record(Success, bench.now);
    assert_eq!(bench.breaker.status(bench.now).counts.slow, 0);
}

#[test]
fn an_open_breaker_lets_so_many_probes_through_when_its_wait_is_over() {
    let mut bench = Bench::new(&usual());
    bench.half_open();
    let probes: Vec<_> = (0..3).map(|_| bench.admit()).collect();
    assert!(probes.iter().all(BreakerPermit::is_probe));
    assert_eq!(bench.refused(), ms(1000));
    probes.into_iter().for_each(|probe| probe.record(Success, bench.now));
    assert_eq!(bench.told(), [(HalfOpen, Closed, None)]);
    assert!(!bench.admit().is_probe());
}

#[test]
fn a_bad_probe_opens_again_at_once() {
    for (outcome, reopens) in [(Failure, true), (Overloaded, true), (Ignored, false), (Success, false)] {
        let mut bench = Bench::new(&usual());
        bench.half_open();
        let (_out, probe) = (bench.admit(), bench.admit());
        probe.record(outcome, bench.now);
        assert_eq!(bench.state() == IsOpen, reopens, "{outcome:?}");
        if reopens {
            assert_eq!(bench.told(), [(HalfOpen, IsOpen, Some(OpenReason::ProbeFailed))]);
        }
    }
}

#[test]
fn a_cancelled_probe_gives_its_place_back_and_counts_nothing() {
    let mut bench = Bench::new(&usual());
    bench.half_open();
    for _ in 0..100 {
        let probes = [bench.admit(), bench.admit(), bench.admit()];
        bench.refused();
        drop(probes);
    }
    bench.calls(&[Success, Success]);
    assert_eq!(bench.state(), HalfOpen, "two of three were good");
    drop(bench.admit());
    bench.admit().record(Ignored, bench.now);
    bench.calls(&[Success]);
    assert_eq!(bench.told(), [(HalfOpen, Closed, None)]);
}

#[test]
fn a_cancelled_call_counts_nothing_while_closed_either() {
    let bench = Bench::new(&usual());
    (0..100).for_each(|_| drop(bench.admit()));
    assert_eq!(bench.breaker.status(bench.now).counts, Counts::default());
}

#[test]
fn half_open_ends_when_no_probe_is_answered() {
    let mut bench = Bench::new(&usual());
    bench.half_open();
    let lost = [bench.admit(), bench.admit(), bench.admit()];
    bench.pass(9999);
    assert_eq!(bench.state(), HalfOpen);
    bench.pass(1);
    assert_eq!(bench.state(), IsOpen);
    assert_eq!(bench.told(), [(HalfOpen, IsOpen, Some(OpenReason::ProbesLost))]);
    // They come back at last, and nobody cares.
    lost.into_iter().for_each(|probe| probe.record(Success, bench.now));
    assert_eq!((bench.state(), bench.told()), (IsOpen, vec![]));
}

#[test]
fn an_answer_that_comes_too_late_is_lost_even_if_nobody_asked_in_between() {
    let mut bench = Bench::new(&usual());
    bench.half_open();
    let probe = bench.admit();
    bench.pass(10_000);
    probe.record(Success, bench.now);
    assert_eq!(bench.told(), [(HalfOpen, IsOpen, Some(OpenReason::ProbesLost))]);
}

#[test]
fn half_open_waits_for_callers_as_long_as_it_takes() {
    let mut bench = Bench::new(&usual());
    bench.half_open();
    bench.calls(&[Success]);
    bench.pass(3_600_000);
    drop(bench.admit());
    bench.pass(3_600_000);
    bench.calls(&[Success, Success]);
    assert_eq!(bench.told(), [(HalfOpen, Closed, None)]);
}

#[test]
fn an_answered_probe_gives_the_others_time() {
    let mut bench = Bench::new(&usual());
    bench.half_open();
    let (first, second) = (bench.admit(), bench.admit());
    bench.pass(9000);
    first.record(Success, bench.now);
    bench.pass(9000);
    assert_eq!(bench.state(), HalfOpen);
    second.record(Success, bench.now);
    bench.calls(&[Success]);
    assert_eq!(bench.state(), Closed);
}

#[test]
fn slow_probes_keep_it_open() {
    let slow =
        |rate| CircuitBreaker { slow_call_duration_threshold: some(2000), slow_call_rate_threshold: rate, ..usual() };
    for (rate, closes) in [(100, true), (60, false)] {
        let mut bench = Bench::new(&slow(rate));
        bench.half_open();
        let probes = [bench.admit(), bench.admit()];
        bench.calls(&[Success]);
        bench.pass(3000);
        probes.into_iter().for_each(|probe| probe.record(Success, bench.now));
        assert_eq!(bench.state() == Closed, closes, "two of three are slow, {rate} %");
    }
}

#[test]
fn the_wait_doubles_up_to_the_longest_and_is_short_again_after_a_good_window() {
    let mut bench = Bench::new(&usual());
    let mut waits = Vec::new();
    bench.calls(&[Failure; 5]);
    for _ in 0..40 {
        let wait = bench.refused();
        waits.push(wait);
        bench.now += wait;
        bench.calls(&[Failure]);
    }
    for (wait, most) in waits.iter().zip([10_000, 20_000, 40_000].into_iter().chain(std::iter::repeat(60_000))) {
        assert!((ms(most / 5 * 4)..=ms(most)).contains(wait), "{wait:?} of {most}: {waits:?}");
    }
    let close = |bench: &mut Bench| {
        bench.now += bench.refused();
        bench.calls(&[Success; 3]);
        assert_eq!(bench.state(), Closed);
    };
    close(&mut bench);
    bench.pass(9999);
    bench.calls(&[Failure; 5]);
    assert!(bench.refused() > ms(40_000), "it was closed for less than a window");
    close(&mut bench);
    bench.pass(10_000);
    bench.calls(&[Failure; 5]);
    assert!(bench.refused() <= ms(10_000));
}

#[test]
fn a_recovery_that_checks_see_ends_a_long_wait_but_not_the_first_one() {
    let mut bench = Bench::new(&usual());
    assert_eq!(bench.breaker.recovered(bench.now), None, "closed, there is nothing to end");
    bench.calls(&[Failure; 5]);
    let first = bench.refused();
    assert_eq!(bench.breaker.recovered(bench.now), Some(first), "the first wait is what it is");
    for _ in 0..3 {
        bench.now += bench.refused();
        bench.calls(&[Failure]);
    }
    let long = bench.refused();
    assert!(long > ms(40_000), "{long:?}");
    // Too soon: then as soon as the first wait would be over.
    bench.pass(4000);
    assert_eq!(bench.breaker.recovered(bench.now), Some(ms(6000)));
    assert_eq!((bench.state(), bench.refused()), (IsOpen, ms(6000)));
    bench.told();
    bench.pass(6000);
    assert_eq!(bench.state(), HalfOpen);
    assert_eq!(bench.told(), [(IsOpen, HalfOpen, None)]);
    assert_eq!(bench.breaker.recovered(bench.now), None, "half open, real calls decide");
    bench.calls(&[Failure]);
    let next = bench.refused();
    assert!(next > ms(40_000), "a hint that was wrong makes no wait shorter: {next:?}");
    bench.pass(20_000);
    assert_eq!(bench.breaker.recovered(bench.now), None);
    assert_eq!(bench.state(), HalfOpen, "the first wait is long over");
    bench.calls(&[Success; 3]);
    assert_eq!(bench.state(), Closed);
}

#[test]
fn a_check_that_flaps_opens_no_more_often_than_the_first_wait_allows() {
    let mut bench = Bench::new(&usual());
    bench.calls(&[Failure; 5]);
    let mut probes = 0;
    for _ in 0..1000 {
        bench.pass(100);
        bench.breaker.recovered(bench.now);
        if let Ok(permit) = bench.breaker.admit(bench.now) {
            permit.record(Failure, bench.now);
            probes += 1;
        }
    }
    // A hundred seconds, and ten for each wait.
    assert!((8..=10).contains(&probes), "{probes} probes");
}

#[test]
fn waits_are_spread_by_chance() {
    let waits: Vec<_> = (0..100)
        .map(|seed| {
            let random = fastrand::Rng::with_seed(seed);
            let now = Instant::now();
            let breaker = Arc::new(Breaker::with_random(&usual(), now, random, Box::new(|_| {})));
            (0..5).for_each(|_| breaker.admit(now).unwrap().record(Failure, now));
            breaker.status(now).retry_after
        })
        .collect();
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*most - *least > ms(1800), "{least:?} to {most:?}");
    assert!(*least >= ms(8000) && *most <= ms(10_000), "{least:?} to {most:?}");
}

#[test]
fn counting_begins_anew_when_it_closes() {
    let mut bench = Bench::new(&CircuitBreaker {
        wait_duration_in_open_state: some(10),
        max_wait_duration_in_open_state: some(10),
        ..usual()
    });
    bench.half_open();
    bench.calls(&[Success; 3]);
    let status = bench.breaker.status(bench.now);
    assert_eq!((status.counts, status.consecutive_failures), (Counts::default(), 0));
    bench.calls(&[Failure; 4]);
    assert_eq!(bench.state(), Closed, "the five before it opened are forgotten");
    bench.calls(&[Failure]);
    assert_eq!(bench.state(), IsOpen);
}

#[test]
fn calls_from_before_a_change_of_state_count_nothing() {
    let mut bench = Bench::new(&usual());
    let early: Vec<_> = (0..30).map(|_| bench.admit()).collect();
    bench.half_open();
    let mut early = early.into_iter();
    early.by_ref().take(10).for_each(|call| call.record(Failure, bench.now));
    assert_eq!(bench.state(), HalfOpen, "they are no probes");
    bench.calls(&[Success; 3]);
    early.for_each(|call| call.record(Failure, bench.now));
    assert_eq!(bench.state(), Closed);
    assert_eq!(bench.breaker.status(bench.now).counts, Counts::default());
}

#[test]
fn a_late_probe_does_not_take_the_place_of_a_new_one() {
    let mut bench = Bench::new(&usual());
    bench.half_open();
    let (late, bad) = (bench.admit(), bench.admit());
    bad.record(Failure, bench.now);
    bench.now += bench.refused();
    let probes = [bench.admit(), bench.admit(), bench.admit()];
    drop(late);
    bench.refused();
    probes.into_iter().for_each(|probe| probe.record(Success, bench.now));
    assert_eq!(bench.state(), Closed);
}

#[test]
fn switched_off_it_admits_all_and_forgets() {
    let off = CircuitBreaker { enabled: false, ..usual() };
    let bench = Bench::new(&off);
    bench.calls(&[Failure; 100]);
    assert_eq!(bench.state(), Closed);

    let mut bench = Bench::new(&usual());
    bench.calls(&[Failure; 5]);
    bench.breaker.reconfigure(&off, bench.now);
    assert_eq!(bench.told().last(), Some(&(IsOpen, Closed, None)));
    bench.calls(&[Failure; 100]);
    bench.pass(1);
    bench.breaker.reconfigure(&usual(), bench.now);
    bench.calls(&[Failure; 4]);
    assert_eq!(bench.state(), Closed);
}

#[test]
fn a_row_that_began_before_it_was_switched_off_is_forgotten() {
    let bench = Bench::new(&usual());
    bench.calls(&[Failure; 4]);
    bench.breaker.reconfigure(&CircuitBreaker { enabled: false, ..usual() }, bench.now);
    bench.breaker.reconfigure(&usual(), bench.now);
    bench.calls(&[Failure; 4]);
    assert_eq!(bench.state(), Closed);
}

#[test]
fn a_new_configuration_leaves_an_open_breaker_open() {
    let mut bench = Bench::new(&usual());
    bench.calls(&[Failure; 5]);
    let before = bench.breaker.status(bench.now);
    bench.pass(100);
    let changed = CircuitBreaker { failure_rate_threshold: 80, sliding_window: some(60_000), ..usual() };
    bench.breaker.reconfigure(&changed, bench.now);
    let after = bench.breaker.status(bench.now);
    assert_eq!((after.state, after.since), (IsOpen, before.since));
    assert_eq!(after.retry_after, before.retry_after - ms(100));
    assert_eq!(bench.told().len(), 1, "nothing but that it opened");
}

#[test]
fn a_shorter_longest_wait_holds_for_a_breaker_that_is_open() {
    let bench = Bench::new(&usual());
    bench.calls(&[Failure; 5]);
    let shorter =
        CircuitBreaker { wait_duration_in_open_state: some(50), max_wait_duration_in_open_state: some(100), ..usual() };
    bench.breaker.reconfigure(&shorter, bench.now);
    assert_eq!(bench.refused(), ms(100));
}

#[test]
fn a_new_configuration_keeps_what_was_counted() {
    // The row, with calls on their way, and the window, with its length changed.
    let bench = Bench::new(&usual());
    let on_its_way = bench.admit();
    bench.calls(&[Failure; 4]);
    bench.breaker.reconfigure(&CircuitBreaker { minimum_number_of_calls: 10, ..usual() }, bench.now);
    on_its_way.record(Failure, bench.now);
    assert_eq!(bench.told(), [(Closed, IsOpen, Some(OpenReason::ConsecutiveFailures(5)))]);

    let mut bench = Bench::new(&only_rates());
    bench.calls(&[Failure; 19]);
    bench.pass(9000);
    let longer = CircuitBreaker { sliding_window: some(60_000), ..only_rates() };
    bench.breaker.reconfigure(&longer, bench.now);
    bench.pass(50_000);
    assert_eq!(bench.breaker.status(bench.now).counts.calls, 19);
    bench.calls(&[Failure]);
    assert_eq!(bench.state(), IsOpen);
}

#[test]
fn fewer_probes_are_enough_at_once() {
    let mut bench = Bench::new(&usual());
    bench.half_open();
    bench.calls(&[Success, Success]);
    let fewer = CircuitBreaker { permitted_number_of_calls_in_half_open_state: 2, ..usual() };
    bench.breaker.reconfigure(&fewer, bench.now);
    assert_eq!(bench.told(), [(HalfOpen, Closed, None)]);
}

#[test]
fn calls_that_were_slow_by_an_earlier_configuration_do_not_open() {
    let config = CircuitBreaker { slow_call_duration_threshold: some(1), slow_call_rate_threshold: 90, ..usual() };
    let mut bench = Bench::new(&config);
    let permits: Vec<_> = (0..19).map(|_| bench.admit()).collect();
    bench.pass(1000);
    permits.into_iter().for_each(|permit| permit.record(Success, bench.now));
    bench.breaker.reconfigure(&usual(), bench.now);
    bench.calls(&[Failure]);
    assert_eq!(bench.state(), Closed);
}

#[test]
fn each_reason_reads_as_a_sentence() {
    let counts = Counts { calls: 20, failures: 12, slow: 16 };
    for (reason, text) in [
        (OpenReason::ConsecutiveFailures(5), "5 failures in a row"),
        (OpenReason::FailureRate(counts), "12 of 20 calls failed"),
        (OpenReason::SlowCallRate(counts), "16 of 20 calls were slow"),
        (OpenReason::ProbeFailed, "a probe failed"),
        (OpenReason::ProbesLost, "no probe was answered in time"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}

/// gateway.md §5 no. 4: a service that fails half of the time makes the breaker open and stay open; it does not make it
/// flap.
#[test]
fn flapping_is_bounded_when_about_half_of_the_calls_fail() {
    for (percent, seed) in [40, 50, 60].into_iter().flat_map(|percent| (0..5).map(move |seed| (percent, seed))) {
        let mut bench = Bench::new(&CircuitBreaker::default());
        let mut random = fastrand::Rng::with_seed(seed);
        // 100 calls a second for half an hour.
        let mut changes = Vec::new();
        for _ in 0..30 {
            for _ in 0..6000 {
                bench.pass(10);
                if let Ok(permit) = bench.breaker.admit(bench.now) {
                    permit.record(if random.u32(..100) < percent { Failure } else { Success }, bench.now);
                }
            }
            changes.push(bench.told().len());
        }
        let (first, later): (Vec<_>, Vec<_>) = changes.iter().enumerate().partition(|(minute, _)| *minute < 2);
        let most = |minutes: &[(usize, &usize)]| minutes.iter().map(|(_, changes)| **changes).max().unwrap();
        assert!(most(&first) <= 14, "{percent} %, seed {seed}: {changes:?}");
        assert!(most(&later) <= 6, "{percent} %, seed {seed}: {changes:?}");
        assert!(changes.iter().sum::<usize>() > 30, "it does try again: {changes:?}");
    }
}

/// gateway.md §5 no. 26: nothing here can read another clock than the one that is passed in. One that stands still, or
/// a thread that is late with an earlier time, does no harm.
#[test]
fn only_the_clock_that_is_passed_in_counts() {
    let mut bench = Bench::new(&usual());
    bench.calls(&[Failure; 5]);
    for _ in 0..1000 {
        bench.refused();
    }
    let until = bench.refused();
    bench.now -= ms(3_600_000);
    assert_eq!(bench.refused(), until + ms(3_600_000), "earlier by the passed clock is longer to wait");
    bench.now += ms(3_600_000) + until;
    assert!(bench.admit().is_probe());
}

#[test]
fn probes_are_never_more_than_permitted_whatever_threads_do() {
    const PERMITTED: u32 = 4;
    let config = CircuitBreaker { permitted_number_of_calls_in_half_open_state: PERMITTED, ..usual() };
    let mut bench = Bench::new(&config);
    bench.half_open();
    let (out, most, admitted) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for round in 0..2000 {
                    let Ok(permit) = bench.breaker.admit(bench.now) else { continue };
                    assert!(permit.is_probe());
                    admitted.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(out.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    out.fetch_sub(1, Ordering::SeqCst);
                    // Neither brings it to an end.
                    if round % 2 == 0 { drop(permit) } else { permit.record(Ignored, bench.now) }
                }
            });
        }
    });
    assert!(most.into_inner() <= PERMITTED as usize);
    assert!(admitted.into_inner() > 100);
    // And no place was lost on the way.
    let probes: Vec<_> = (0..PERMITTED).map(|_| bench.admit()).collect();
    bench.refused();
    probes.into_iter().for_each(|probe| probe.record(Success, bench.now));
    assert_eq!(bench.state(), Closed);
}

#[test]
fn threads_open_it_once() {
    let bench = Bench::new(&only_rates());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Ok(permit) = bench.breaker.admit(bench.now) {
                    permit.record(Failure, bench.now);
                }
            });
        }
    });
    let told = bench.told();
    let [(Closed, IsOpen, Some(OpenReason::FailureRate(counts)))] = told[..] else { panic!("{told:?}") };
    assert!(counts.calls >= 20 && counts.failures <= counts.calls, "{counts:?}");
}

/// What a test may do to a breaker.
#[derive(Debug, Clone, Copy)]
enum Step {
    Admit,
    Answer(usize, Outcome),
    Cancel(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![4 => Just(Success), 4 => Just(Failure), 1 => Just(Overloaded), 1 => Just(Ignored)];
    prop_oneof![
        5 => Just(Step::Admit),
        4 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::Answer(which, outcome)),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => prop_oneof![3 => 0..300_u64, 1 => 0..20_000_u64].prop_map(Step::Pass),
    ]
}

proptest! {
    /// Counting against a list of all calls with their times, and whatever happens, a way out of every state.
    #[test]
    fn it_counts_as_a_list_of_all_calls_would_and_never_gets_stuck(steps in prop::collection::vec(step(), 1..400)) {
        let config = CircuitBreaker { minimum_number_of_calls: 6, consecutive_failures: 4, ..usual() };
        let mut bench = Bench::new(&config);
        let mut permits: Vec<(BreakerPermit, u64)> = Vec::new();
        // Of this closed time: when, whether it failed. Tenths count from when it closed.
        let (mut calls, mut row, mut began, mut time): (Vec<(Instant, bool)>, u32, Instant, u64) =
            (Vec::new(), 0, bench.now, 0);
        for step in steps {
            let before = bench.state();
            match step {
                Step::Admit => match bench.breaker.admit(bench.now) {
                    Ok(permit) => {
                        prop_assert_eq!(permit.is_probe(), bench.state() == HalfOpen);
                        permits.push((permit, time));
                    }
                    Err(open) => {
                        prop_assert!(bench.state() != Closed);
                        prop_assert!(open.retry_after > Duration::ZERO);
                    }
                },
                Step::Answer(which, outcome) if !permits.is_empty() => {
                    let (permit, of) = permits.swap_remove(which % permits.len());
                    permit.record(outcome, bench.now);
                    if before == Closed && of == time && outcome != Ignored {
                        calls.push((bench.now, outcome != Success));
                        row = match outcome {
                            Success => 0,
                            Failure => row + 1,
                            Overloaded | Ignored => row,
                        };
                        let tenth = |at: Instant| (at - began).as_nanos() / 1_000_000_000;
                        let inside: Vec<_> =
                            calls.iter().filter(|(at, _)| tenth(*at) + 10 > tenth(bench.now)).collect();
                        let failed = inside.iter().filter(|(_, failed)| *failed).count();
                        let opens = (outcome == Failure && row >= 4)
                            || (outcome != Success && inside.len() >= 6 && failed * 2 >= inside.len());
                        prop_assert_eq!(bench.state(), if opens { IsOpen } else { Closed });
                        let counts = bench.breaker.status(bench.now).counts;
                        prop_assert_eq!((counts.calls, counts.failures), (inside.len() as u64, failed as u64));
                    } else if before == Closed {
                        prop_assert_eq!(bench.state(), Closed);
                    }
                }
                Step::Cancel(which) if !permits.is_empty() => drop(permits.swap_remove(which % permits.len())),
                Step::Answer(..) | Step::Cancel(_) => {}
                Step::Pass(millis) => bench.pass(millis),
            }
            if bench.state() != before {
                time += 1;
                if bench.state() == Closed {
                    (calls, row, began) = (Vec::new(), 0, bench.now);
                }
            }
        }
        // However many permits are held: time and three good answers close it.
        for _ in 0..3 {
            bench.pass(60_000);
            while bench.state() != Closed {
                let Ok(permit) = bench.breaker.admit(bench.now) else { break };
                permit.record(Success, bench.now);
            }
        }
        prop_assert_eq!(bench.state(), Closed);
    }
}
