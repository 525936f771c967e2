use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

fn config() -> config::AdaptiveLimit {
    config::AdaptiveLimit { enabled: true, ..config::AdaptiveLimit::default() }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A service that does `workers` requests at once, each in about `takes`; others wait inside of it.
struct Server {
    begun: Instant,
    adaptive: Adaptive,
    random: fastrand::Rng,
    /// When each worker is free, in microseconds.
    workers: BinaryHeap<Reverse<u64>>,
    /// When answers come, and when their requests did.
    answers: BinaryHeap<Reverse<(u64, u64)>>,
    now: u64,
}

/// What came of some time of load.
#[derive(Debug, Default)]
struct Load {
    answered: u64,
    refused: u64,
    /// Limits at the end of each hundredth.
    limits: Vec<usize>,
    slowest: u64,
}

impl Load {
    /// The mean limit of the last half.
    fn settled(&self) -> usize {
        let last = &self.limits[self.limits.len() / 2..];
        last.iter().sum::<usize>() / last.len()
    }
}

impl Server {
    fn new(config: &config::AdaptiveLimit, workers: usize, max_concurrent: usize) -> Self {
        fastrand::seed(7);
        Self {
            begun: Instant::now(),
            adaptive: Adaptive::new(config, max_concurrent),
            random: fastrand::Rng::with_seed(11),
            workers: std::iter::repeat_n(Reverse(0), workers).collect(),
            answers: BinaryHeap::new(),
            now: 0,
        }
    }

    /// Requests come at random, `rate` a second; those for whom there is no place are refused.
    fn load(&mut self, seconds: u64, rate: f64, takes: Duration) -> Load {
        let (mut load, began) = (Load::default(), self.now);
        let end = began + seconds * 1_000_000;
        while self.now < end {
            self.now += (-self.random.f64().max(1e-9).ln() / rate * 1e6) as u64;
            while self.answers.peek().is_some_and(|Reverse((at, _))| *at <= self.now) {
                let Reverse((at, came)) = self.answers.pop().unwrap();
                let took = at - came;
                let now = self.begun + Duration::from_micros(at);
                self.adaptive.sample(Duration::from_micros(took), self.answers.len() + 1, now);
                load.answered += 1;
                load.slowest = load.slowest.max(took);
            }
            if self.answers.len() < self.adaptive.limit() {
                let Reverse(free) = self.workers.pop().unwrap();
                let takes = takes.mul_f64(0.8 + 0.4 * self.random.f64()).as_micros() as u64;
                let done = free.max(self.now) + takes;
                self.workers.push(Reverse(done));
                self.answers.push(Reverse((done, self.now)));
            } else {
                load.refused += 1;
            }
            let hundredth = (self.now - began) * 100 / (end - began);
            if load.limits.len() < hundredth as usize {
                load.limits.push(self.adaptive.limit());
            }
        }
        load
    }
}

#[test]
fn under_overload_it_comes_to_what_the_service_can_do_at_once() {
    for (workers, takes) in [(8, ms(5)), (20, ms(10)), (50, ms(40))] {
        let mut server = Server::new(&config(), workers, 1000);
        let capacity = workers as f64 / takes.as_secs_f64();
        let load = server.load(40, capacity * 3.0, takes);
        let settled = load.settled();
        assert!((workers..=workers * 2).contains(&settled), "{workers} workers, limit {settled}");
        let share = load.answered as f64 / (capacity * 40.0);
        assert!(share > 0.95, "{workers} workers do only {share} of what they could");
        assert!(load.slowest < 4 * takes.as_micros() as u64, "the slowest took {} µs", load.slowest);
    }
}

#[test]
fn without_it_the_same_overload_makes_everybody_wait() {
    let fixed = config::AdaptiveLimit { min_limit: 1000, ..config() };
    let load = Server::new(&fixed, 20, 1000).load(40, 6000.0, ms(10));
    assert!(load.slowest > 400_000, "{load:?}");
}

#[test]
fn a_service_that_has_room_gets_everything() {
    let mut server = Server::new(&config(), 50, 1000);
    server.load(5, 2500.0, ms(10));
    let load = server.load(30, 2500.0, ms(10));
    assert_eq!(load.refused, 0, "{:?}", load.limits);
}

#[test]
fn it_recovers_when_an_overload_is_over() {
    let mut server = Server::new(&config(), 20, 1000);
    let before = server.load(30, 1500.0, ms(10));
    let slow = server.load(30, 1500.0, ms(100));
    assert!(slow.refused > slow.answered, "a tenth of its capacity is left");
    let after = server.load(130, 1500.0, ms(10));
    let refused = after.refused as f64 / (after.refused + after.answered) as f64;
    assert!(refused < 0.02, "{refused} are refused although there is room");
    assert!(after.settled() >= 20 && before.settled() >= 20, "{} {}", before.settled(), after.settled());
}

#[test]
fn a_service_that_became_slower_for_good_is_not_kept_at_the_least() {
    let mut server = Server::new(&config(), 20, 1000);
    server.load(10, 6000.0, ms(10));
    let load = server.load(60, 600.0, ms(100));
    assert!((20..=45).contains(&load.settled()), "{}", load.settled());
}

/// One that has been measured: 10 ms when idle.
fn measured(begun: Instant) -> Adaptive {
    let mut adaptive = Adaptive::new(&config(), 100);
    let changes: Vec<_> = (0..50).filter_map(|_| adaptive.sample(ms(10), 1, begun)).collect();
    assert!(changes.is_empty());
    adaptive
}

/// Ten answers of this kind at once.
fn ten(adaptive: &mut Adaptive, rtt: Duration, in_flight: usize, now: Instant) -> usize {
    for _ in 0..10 {
        adaptive.sample(rtt, in_flight, now);
    }
    adaptive.limit()
}

#[test]
fn it_grows_while_used_and_fast_and_shrinks_when_slow() {
    let begun = Instant::now();
    assert_eq!(ten(&mut measured(begun), ms(10), 3, begun + ms(99)), 3, "it is too early to look");
    let mut adaptive = measured(begun);
    let mut at = |millis, rtt, in_flight| ten(&mut adaptive, rtt, in_flight, begun + ms(millis));
    assert_eq!(at(100, ms(10), 3), 5, "3 · 1.25 + √3");
    assert_eq!(at(200, ms(10), 2), 5, "less than half of them are used");
    assert_eq!(at(300, ms(10), 3), 8, "5 · 1.25 + √5");
    assert_eq!(at(400, ms(50), 1), 5, "8 · 0.25 + √8");
    assert_eq!(at(500, ms(5), 5), 12, "5 · 2 + √5, and never more than twice at once");
}

#[test]
fn a_few_slow_requests_among_many_do_not_count() {
    let begun = Instant::now();
    let mut adaptive = measured(begun);
    let now = begun + ms(100);
    for rtt in [10, 10, 9000, 10, 9000, 10, 9000, 9000, 10] {
        assert_eq!(adaptive.sample(ms(rtt), 3, now), None);
    }
    assert_eq!(adaptive.sample(ms(10), 3, now), Some(5));
}

#[test]
fn a_probe_counts_only_requests_that_met_no_queue() {
    let begun = Instant::now();
    let mut adaptive = measured(begun);
    let mut now = begun;
    while adaptive.limit() < 90 {
        now += ms(100);
        let limit = adaptive.limit();
        ten(&mut adaptive, ms(10), limit, now);
    }
    let limit = adaptive.limit();
    now = begun + Duration::from_secs(70);
    assert_eq!(ten(&mut adaptive, ms(12), 60, now), 3, "time for a probe");
    // The rest of what was there, slow; then what came since.
    let slow: Vec<_> = (0..60).rev().filter_map(|left| adaptive.sample(ms(500), left, now)).collect();
    let since: Vec<_> = (0..49).filter_map(|_| adaptive.sample(ms(20), 3, now + ms(30))).collect();
    assert!(slow.is_empty() && since.is_empty());
    assert_eq!(adaptive.sample(ms(20), 3, now + ms(30)), Some(100), "where it was: {limit}");
    // 20 ms is what it takes now: 26 ms is slow, 24 ms is not.
    assert_eq!(ten(&mut adaptive, ms(24), 100, now + ms(200)), 100);
    assert_eq!(ten(&mut adaptive, ms(50), 100, now + ms(300)), 60, "100 · 25/50 + √100");
}

#[test]
fn a_probe_of_a_quiet_service_ends_with_what_it_has() {
    let begun = Instant::now();
    let mut adaptive = Adaptive::new(&config(), 100);
    for number in 0..=10u32 {
        assert_eq!(adaptive.sample(ms(10), 1, begun + ms(100) * number), None);
    }
    assert_eq!(ten(&mut adaptive, ms(10), 3, begun + ms(1100)), 5, "it follows now");
}

#[test]
fn streams_that_never_end_do_not_keep_everybody_out() {
    let begun = Instant::now();
    let mut first = Adaptive::new(&config(), 10);
    assert_eq!(first.crowded(begun), None);
    assert_eq!(first.crowded(begun + ms(2999)), None);
    assert_eq!(first.crowded(begun + ms(3000)), Some(6));
    assert_eq!(first.crowded(begun + ms(6000)), Some(10));
    assert_eq!(first.crowded(begun + ms(9000)), None, "there are no more");

    let mut later = measured(begun);
    assert_eq!(later.crowded(begun + ms(9000)), None, "only a probe keeps out too many");
    ten(&mut later, ms(10), 3, begun + ms(100));
    let now = begun + Duration::from_secs(70);
    assert_eq!(ten(&mut later, ms(10), 5, now), 3);
    assert_eq!(later.sample(ms(10), 1, now + ms(20)), None);
    assert_eq!(later.crowded(now), None);
    assert_eq!(later.crowded(now + ms(3000)), Some(8), "where it was");
    assert_eq!(later.samples.seen, 0, "and from the beginning");
}

#[test]
fn new_bounds_hold_at_once() {
    let begun = Instant::now();
    let mut adaptive = measured(begun);
    ten(&mut adaptive, ms(10), 3, begun + ms(100));
    adaptive.reconfigure(&config(), 4);
    assert_eq!(adaptive.limit(), 4);
    adaptive.reconfigure(&config::AdaptiveLimit { min_limit: 20, ..config() }, 100);
    assert_eq!(adaptive.limit(), 20);
    adaptive.reconfigure(&config::AdaptiveLimit { tolerance: 100, ..config() }, 100);
    assert_eq!(ten(&mut adaptive, ms(20), 20, begun + ms(200)), 24, "20 + √20: twice as slow is allowed");
}

proptest! {
    #[test]
    fn it_never_leaves_its_bounds_and_says_every_change(
        min in 1u32..20, max in 1usize..50,
        samples in prop::collection::vec((0u64..200, 0usize..60, 0u64..500), 1..1500),
        crowded in any::<bool>(),
    ) {
        let mut adaptive = Adaptive::new(&config::AdaptiveLimit { min_limit: min, ..config() }, max);
        let (mut now, mut limit) = (Instant::now(), adaptive.limit());
        for (rtt, in_flight, step) in samples {
            now += ms(step);
            limit = adaptive.sample(ms(rtt), in_flight, now).unwrap_or(limit);
            if crowded {
                limit = adaptive.crowded(now).unwrap_or(limit);
            }
            prop_assert_eq!(adaptive.limit(), limit);
            prop_assert!((min as usize).min(max) <= limit && limit <= max);
            prop_assert!(adaptive.samples.chosen.len() <= SAMPLES);
        }
    }
}
