//! The better of two: by requests in flight, and by latency.

use super::*;

#[test]
fn the_less_busy_of_two_is_used() {
    let mut scene = Scene::new(&config(Strategy::LeastRequest), &[1, 1]);
    let _busy = scene.busy(0, 1);
    assert_eq!(scene.counts(1000), [0, 1000]);
    let _busier = scene.busy(1, 2);
    assert_eq!(scene.counts(1000), [1000, 0]);
}

#[test]
fn busy_is_meant_in_proportion_to_weight() {
    let mut scene = Scene::new(&config(Strategy::LeastRequest), &[3, 1]);
    let _busy = (scene.busy(0, 5), scene.busy(1, 2));
    assert_eq!(scene.counts(1000), [1000, 0]);
    let _busier = scene.busy(0, 2);
    assert_eq!(scene.counts(1000), [0, 1000]);
}

#[test]
fn those_who_look_at_the_same_moment_do_not_all_run_to_the_idle_one() {
    let mut scene = Scene::new(&config(Strategy::LeastRequest), &[1; 10]);
    let _busy: Vec<_> = (1..10).map(|index| scene.busy(index, index)).collect();
    // Of two out of `n`, the k-th best of `n` is the better in `2·(n-k)` of `n·(n-1)` draws.
    let shares: Vec<f64> = (0..10).map(|rank| f64::from(9 - rank)).collect();
    assert_shares(&scene.counts(45_000), &shares);
}

/// The longest queue after `n` requests to `n` instances, none of which ends.
fn longest_queue(strategy: Strategy, n: usize) -> u64 {
    let mut scene = Scene::new(&config(strategy), &vec![1; n]);
    let mut running = Vec::new();
    for _ in 0..n {
        let index = scene.pick();
        running.extend(scene.busy(index, 1));
    }
    scene.balancer.members().iter().map(|member| member.load.in_flight()).max().unwrap()
}

#[test]
fn two_choices_keep_queues_short_where_one_does_not() {
    assert!(longest_queue(Strategy::LeastRequest, 2000) <= 4);
    assert!(longest_queue(Strategy::Random, 2000) >= 5);
}

#[test]
fn requests_in_flight_are_known_to_the_next_balancer() {
    let scene = Scene::new(&config(Strategy::LeastRequest), &[1, 1]);
    let _busy = scene.busy(0, 1);
    let next = Balancer::new(&config(Strategy::LeastRequest), scene.balancer.members().to_vec(), Some(&scene.balancer));
    assert_eq!(Scene::of(next, scene.now).counts(100), [0, 100]);
}

/// Lets requests come one after another, 100 a second for so many seconds, and gives what each instance got. Instances
/// answer after so many milliseconds.
fn live(scene: &mut Scene, seconds: u64, latencies: &[u64]) -> Vec<u64> {
    let mut counts = vec![0; latencies.len()];
    for _ in 0..seconds * 100 {
        scene.now += SECOND / 100;
        let index = scene.pick();
        counts[index] += 1;
        let request = scene.balancer.members()[index].load.start(scene.now);
        request.record(Outcome::Success, scene.now + Duration::from_millis(latencies[index]));
    }
    counts
}

#[test]
fn a_slow_instance_is_left_and_comes_back_when_it_is_fast_again() {
    let mut scene = Scene::new(&config(Strategy::PeakEwma), &[1, 1, 1]);
    live(&mut scene, 60, &[10, 10, 10]);
    let even = live(&mut scene, 60, &[10, 10, 10]);
    assert!(even.iter().all(|count| *count > 1000), "{even:?}");
    let left = live(&mut scene, 60, &[10, 1000, 10]);
    assert!(left[1] < 60, "{left:?}");
    live(&mut scene, 120, &[10, 10, 10]);
    let back = live(&mut scene, 60, &[10, 10, 10]);
    assert!(back.iter().all(|count| *count > 1000), "{back:?}");
}

#[test]
fn who_fails_fast_is_left_as_one_who_is_slow() {
    for outcome in [Outcome::Failure, Outcome::Overloaded] {
        let mut scene = Scene::new(&config(Strategy::PeakEwma), &[1, 1]);
        live(&mut scene, 120, &[10, 10]);
        scene.balancer.members()[0].load.start(scene.now).record(outcome, scene.now);
        assert_eq!(scene.balancer.members()[0].load.latency(scene.now), 5 * SECOND);
        assert_eq!(live(&mut scene, 10, &[10, 10])[0], 0);
        live(&mut scene, 120, &[10, 10]);
        let back = live(&mut scene, 60, &[10, 10]);
        assert!(back[0] > 1000, "{back:?}");
    }
}

#[test]
fn a_peak_counts_at_once_and_fades_by_63_percent_in_10_seconds() {
    let now = Instant::now();
    let load = Arc::new(Load::new(now));
    assert_eq!(load.latency(now), SECOND, "who never answered is believed to take a second");
    load.start(now).record(Outcome::Success, now + 3 * SECOND);
    let after = |seconds| load.latency(now + Duration::from_secs(seconds)).as_secs_f64();
    assert!((after(3) - 3.0).abs() < 0.01);
    assert!((after(13) - 3.0 * (-1.0_f64).exp()).abs() < 0.01);
    assert!((after(23) - 3.0 * (-2.0_f64).exp()).abs() < 0.01);
    // A lower one pulls it down by its age alone: it has 63 % of the say after 10 s.
    load.start(now + 13 * SECOND).record(Outcome::Success, now + 13 * SECOND + SECOND / 2);
    let expected = 3.0 * (-1.05_f64).exp() + 0.5 * (1.0 - (-1.05_f64).exp());
    assert!((load.latency(now + 13 * SECOND + SECOND / 2).as_secs_f64() - expected).abs() < 0.01);
}

#[test]
fn what_says_nothing_about_the_instance_changes_nothing() {
    let now = Instant::now();
    let load = Arc::new(Load::new(now));
    load.start(now).record(Outcome::Ignored, now + 9 * SECOND);
    drop(load.start(now));
    assert_eq!(load.latency(now), SECOND);
}

#[test]
fn a_latency_from_before_the_last_one_does_not_look_centuries_old() {
    let now = Instant::now();
    let load = Arc::new(Load::new(now));
    load.start(now).record(Outcome::Success, now + 4 * SECOND);
    assert_eq!(load.latency(now + SECOND), 4 * SECOND, "another core's clock is a little behind");
    load.start(now).record(Outcome::Success, now + SECOND);
    assert_eq!(load.latency(now + 4 * SECOND), 4 * SECOND);
}

#[test]
fn a_weight_says_how_much_at_once_and_not_how_fast() {
    let mut scene = Scene::new(&config(Strategy::PeakEwma), &[3, 1]);
    let _busy = (scene.busy(0, 5), scene.busy(1, 2));
    assert_eq!(scene.counts(1000), [1000, 0]);
    let _busier = scene.busy(0, 2);
    assert_eq!(scene.counts(1000), [0, 1000]);
    let mut scene = Scene::new(&config(Strategy::PeakEwma), &[3, 1]);
    scene.busy(0, 1)[0].record(Outcome::Success, scene.now + 2 * SECOND);
    assert_eq!(scene.counts(1000), [0, 1000], "an idle one that is faster comes first whatever its weight");
}

#[test]
fn a_burst_goes_elsewhere_when_its_queue_costs_more_than_latency() {
    let mut scene = Scene::new(&config(Strategy::PeakEwma), &[1, 1]);
    for (index, millis) in [(0, 100), (1, 250)] {
        let load = Arc::clone(&scene.balancer.members()[index].load);
        for second in 1..200 {
            let at = scene.now + second * SECOND;
            load.start(at).record(Outcome::Success, at + Duration::from_millis(millis));
        }
    }
    scene.now += 199 * SECOND;
    assert_eq!(scene.counts(100), [100, 0]);
    let _busy = scene.busy(0, 1);
    assert_eq!(scene.counts(100), [100, 0], "2 · 100 ms is still sooner than 250 ms");
    let _busier = scene.busy(0, 1);
    assert_eq!(scene.counts(100), [0, 100], "3 · 100 ms is not");
}
