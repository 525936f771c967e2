use super::super::Outcome;
use super::*;

const MS: Duration = Duration::from_millis(1);

fn config() -> config::Canary {
    config::Canary::default()
}

/// A service with two versions under a steady load; time passes only here.
struct Traffic {
    canary: Canary,
    random: fastrand::Rng,
    now: Instant,
    requests_per_second: u32,
    /// Requests that the candidate has had.
    candidate: u64,
}

/// A version as it really is.
#[derive(Clone, Copy)]
struct Behaviour {
    /// Percent of requests that fail.
    fails: f64,
    /// Half of the requests take less.
    median: Duration,
    /// How far the others go: the standard deviation of the logarithm of the time.
    spread: f64,
}

const WELL: Behaviour = Behaviour { fails: 0.0, median: Duration::from_millis(20), spread: 0.5 };

impl Traffic {
    fn new(config: &config::Canary, seed: u64, requests_per_second: u32) -> Self {
        let now = Instant::now();
        Self {
            canary: Canary::new(config, now),
            random: fastrand::Rng::with_seed(seed),
            now,
            requests_per_second,
            candidate: 0,
        }
    }

    fn request(&mut self, versions: &Pair<Behaviour>) {
        let new = self.random.u8(..100) < self.canary.percent();
        let (behaviour, statistics) = if new {
            self.candidate += 1;
            (versions.candidate, self.canary.candidate())
        } else {
            (versions.stable, self.canary.stable())
        };
        let outcome = if self.random.f64() * 100.0 < behaviour.fails { Outcome::Failure } else { Outcome::Success };
        // The sum of twelve is as good as a normal distribution here.
        let normal: f64 = (0..12).map(|_| self.random.f64()).sum::<f64>() - 6.0;
        statistics.record(outcome, behaviour.median.mul_f64((normal * behaviour.spread).exp()));
    }

    /// Until something other than a step is decided, or for as long as this.
    fn run(&mut self, stable: Behaviour, candidate: Behaviour, at_most: Duration) -> Decision {
        let versions = Pair { candidate, stable };
        let end = self.now + at_most;
        loop {
            for _ in 0..self.requests_per_second.div_ceil(4) {
                self.request(&versions);
            }
            self.now += 250 * MS;
            match self.canary.decide(self.now) {
                decision @ (Decision::Promote | Decision::RollBack(_)) => return decision,
                decision if self.now >= end => return decision,
                Decision::Hold(_) | Decision::Advance(_) => {}
            }
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// How many of so many canaries are rolled back, and how many requests the candidates of those had on average.
fn rolled_back(of: u64, rate: u32, stable: Behaviour, candidate: Behaviour) -> (u64, u64) {
    let (mut count, mut requests) = (0, 0);
    for seed in 0..of {
        let mut traffic = Traffic::new(&config(), seed, rate);
        match traffic.run(stable, candidate, DAY) {
            Decision::RollBack(_) => {
                count += 1;
                requests += traffic.candidate;
            }
            Decision::Promote => {}
            other => panic!("seed {seed}: undecided after a day: {other:?}"),
        }
    }
    (count, requests.checked_div(count).unwrap_or(0))
}

#[tokio::test(start_paused = true)]
async fn a_good_version_walks_the_steps_one_interval_each() {
    let config = config();
    let began = Instant::now();
    let mut canary = Canary::new(&config, began);
    let mut seen = Vec::new();
    for second in 1..200 {
        for _ in 0..2 {
            canary.candidate().record(Outcome::Success, 5 * MS);
            canary.stable().record(Outcome::Success, 5 * MS);
        }
        match canary.decide(began + Duration::from_secs(second)) {
            Decision::Hold(_) => {}
            Decision::Advance(percent) => seen.push((second, percent)),
            Decision::Promote => {
                seen.push((second, 0));
                break;
            }
            Decision::RollBack(reason) => panic!("{reason}"),
        }
    }
    assert_eq!(seen, [(30, 25), (60, 50), (90, 100), (120, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_step_waits_for_min_requests_however_long_that_takes() {
    let began = Instant::now();
    let mut canary = Canary::new(&config(), began);
    for _ in 0..19 {
        canary.candidate().record(Outcome::Success, MS);
    }
    let later = began + Duration::from_secs(100_000);
    assert_eq!(canary.decide(later), Decision::Hold(Wait::Requests(1)));
    assert_eq!(canary.progress(later).waiting.unwrap().to_string(), "1 more request");
    canary.candidate().record(Outcome::Success, MS);
    assert_eq!(canary.decide(later), Decision::Advance(25));
    // What was counted in the step before does not count again.
    assert_eq!(canary.decide(later + Duration::from_secs(30)), Decision::Hold(Wait::Requests(20)));
}

#[tokio::test(start_paused = true)]
async fn four_hundreds_are_no_requests_so_a_version_that_gives_nothing_else_stays_where_it_is() {
    let began = Instant::now();
    let mut canary = Canary::new(&config(), began);
    for _ in 0..1000 {
        canary.candidate().record(Outcome::Ignored, MS);
    }
    assert_eq!(canary.decide(began + Duration::from_secs(60)), Decision::Hold(Wait::Requests(20)));
}

#[tokio::test(start_paused = true)]
async fn five_failures_at_the_start_are_enough() {
    let began = Instant::now();
    let mut canary = Canary::new(&config(), began);
    for _ in 0..95 {
        canary.stable().record(Outcome::Success, MS);
    }
    for _ in 0..4 {
        canary.candidate().record(Outcome::Failure, MS);
    }
    assert!(matches!(canary.decide(began + MS), Decision::Hold(Wait::Interval(_))));
    canary.candidate().record(Outcome::Failure, MS);
    assert_eq!(canary.decide(began + MS), Decision::RollBack(Reason::FirstRequests(5)));
}

#[tokio::test(start_paused = true)]
async fn a_version_is_not_blamed_for_what_the_old_one_suffers_from_as_well() {
    let began = Instant::now();
    let mut canary = Canary::new(&config(), began);
    for _ in 0..200 {
        canary.stable().record(Outcome::Failure, MS);
        canary.candidate().record(Outcome::Failure, MS);
        assert!(matches!(canary.decide(began + MS), Decision::Hold(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn one_unlucky_request_of_twenty_holds_the_step_and_does_not_end_it() {
    let began = Instant::now();
    let later = began + Duration::from_secs(30);
    let mut canary = Canary::new(&config(), began);
    for _ in 0..400 {
        canary.stable().record(Outcome::Success, MS);
    }
    canary.candidate().record(Outcome::Failure, MS);
    for _ in 0..19 {
        canary.candidate().record(Outcome::Success, MS);
    }
    let Decision::Hold(wait @ Wait::Certainty(_)) = canary.decide(later) else { panic!("it is decided") };
    assert_eq!(
        wait.to_string(),
        "more requests, as this may be chance: error rate 5.0 % against 0.0 % (1 of 20 requests)"
    );
    for _ in 0..80 {
        canary.candidate().record(Outcome::Success, MS);
    }
    assert_eq!(canary.decide(later), Decision::Advance(25));
}

#[tokio::test(start_paused = true)]
async fn one_millisecond_against_two_is_no_difference_and_twenty_against_sixty_is() {
    for (old, new, expected) in [(1, 2, true), (1, 9, true), (20, 28, true), (20, 60, false), (200, 400, false)] {
        let began = Instant::now();
        let mut canary = Canary::new(&config(), began);
        for _ in 0..100 {
            canary.stable().record(Outcome::Success, old * MS);
            canary.candidate().record(Outcome::Success, new * MS);
        }
        let before = canary.decide(began + 29_999 * MS);
        assert!(matches!(before, Decision::Hold(Wait::Interval(_))), "latency is judged when the interval is over");
        let decision = canary.decide(began + 30_000 * MS);
        assert_eq!(decision == Decision::Advance(25), expected, "{old} ms, {new} ms: {decision:?}");
        if !expected {
            assert!(matches!(decision, Decision::RollBack(Reason::Latency { .. })), "{decision:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_hundred_percent_the_old_version_is_known_from_the_steps_before() {
    let steps = config::Canary { steps: vec![50, 100], ..config() };
    let began = Instant::now();
    let mut canary = Canary::new(&steps, began);
    for _ in 0..1000 {
        canary.stable().record(Outcome::Success, 5 * MS);
        canary.candidate().record(Outcome::Success, 5 * MS);
    }
    assert_eq!(canary.decide(began + Duration::from_secs(30)), Decision::Advance(100));
    for n in 0..300 {
        let outcome = if n % 10 == 0 { Outcome::Failure } else { Outcome::Success };
        canary.candidate().record(outcome, 5 * MS);
    }
    let Decision::RollBack(reason) = canary.decide(began + Duration::from_secs(31)) else { panic!("it goes on") };
    assert_eq!(reason.to_string(), "error rate 10.0 % against 0.0 % (30 of 300 requests)");
}

#[tokio::test(start_paused = true)]
async fn other_steps_and_intervals_take_effect_in_the_middle() {
    let began = Instant::now();
    let mut canary = Canary::new(&config(), began);
    for _ in 0..50 {
        canary.candidate().record(Outcome::Success, MS);
    }
    canary.reconfigure(&config::Canary { steps: vec![1, 2, 60], interval: config::Duration::secs(5), ..config() });
    assert_eq!(canary.percent(), 5, "what it has, it keeps");
    assert_eq!(canary.decide(began + Duration::from_secs(5)), Decision::Advance(60));
    for _ in 0..50 {
        canary.candidate().record(Outcome::Success, MS);
    }
    assert_eq!(canary.decide(began + Duration::from_secs(10)), Decision::Promote);
}

#[tokio::test(start_paused = true)]
async fn equal_versions_are_hardly_ever_rolled_back() {
    let mut false_alarms = 0;
    let mut runs = 0;
    for fails in [0.0, 0.3, 1.0, 5.0, 20.0] {
        for spread in [0.1, 0.5, 1.0] {
            let version = Behaviour { fails, spread, ..WELL };
            let (count, _) = rolled_back(20, 40, version, version);
            false_alarms += count;
            runs += 20;
        }
    }
    // With 100 seeds each it was none of 1500.
    assert!(false_alarms <= 1, "{false_alarms} of {runs}");
}

#[tokio::test(start_paused = true)]
async fn bad_versions_are_rolled_back_within_few_requests() {
    // Of 30 canaries each: what is wrong with it, and how many requests it may have.
    let bad = |fails| Behaviour { fails, ..WELL };
    for (candidate, most) in [(bad(100.0), 15), (bad(50.0), 40), (bad(12.0), 300), (bad(5.0), 1500)] {
        let (count, requests) = rolled_back(30, 40, Behaviour { fails: 0.3, ..WELL }, candidate);
        assert!(count == 30, "{} % failures: {count}", candidate.fails);
        assert!(requests <= most, "{} % failures: {requests} requests", candidate.fails);
    }
    let slow = Behaviour { median: 3 * WELL.median, ..WELL };
    let (count, requests) = rolled_back(30, 40, WELL, slow);
    assert!(count == 30 && requests <= 400, "{count}, {requests}");
}

#[test]
fn the_bound_on_chance_is_one() {
    // Against the exact probability, summed up.
    let exact = |k: u64, n: u64, p: f64| {
        let mut term = (1.0 - p).powi(n as i32);
        let mut sum = 0.0;
        for i in 0..=n {
            if i >= k {
                sum += term;
            }
            term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
        }
        sum
    };
    for n in [1, 5, 20, 100, 500] {
        for k in 0..=n {
            for p in [0.001, 0.01, 0.1, 0.4] {
                let bound = (-Share { part: k, of: n }.evidence(p)).exp();
                assert!(bound >= exact(k, n, p) * 0.999_999, "{k} of {n}, {p}");
            }
        }
    }
    assert_eq!(Share { part: 0, of: 0 }.evidence(0.0), 0.0);
    assert_eq!(Share { part: 1, of: 10 }.evidence(0.0), f64::INFINITY);
}
