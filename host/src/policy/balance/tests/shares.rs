//! Shares by weight, whatever of the others cannot be used, and the order of a rotation.

use super::*;

const WEIGHTS: [u32; 6] = [1, 5, 2, 0, 10, 2];
const SHARES: [f64; 6] = [1.0, 5.0, 2.0, 0.0, 10.0, 2.0];

#[test]
fn shares_are_in_proportion_to_weights() {
    for strategy in [Strategy::Random, consistent(0), consistent(125)] {
        assert_shares(&Scene::new(&config(strategy), &WEIGHTS).counts(50_000), &SHARES);
    }
    assert_eq!(Scene::new(&config(Strategy::RoundRobin), &WEIGHTS).counts(2000), [100, 500, 200, 0, 1000, 200]);
}

#[test]
fn equal_weights_of_any_size_share_evenly() {
    for weight in [1, 1_000_000, u32::MAX] {
        for strategy in [Strategy::Random, Strategy::LeastRequest, Strategy::PeakEwma, consistent(125)] {
            assert_shares(&Scene::new(&config(strategy), &[weight; 7]).counts(30_000), &[1.0; 7]);
        }
        assert_eq!(Scene::new(&config(Strategy::RoundRobin), &[weight; 7]).counts(700), [100; 7]);
    }
}

#[test]
fn shares_stay_in_proportion_among_those_that_are_usable() {
    for strategy in [Strategy::Random, consistent(125)] {
        let never = LoadBalancer { panic_threshold: 0, ..config(strategy) };
        let mut scene = Scene::new(&never, &WEIGHTS);
        scene.sick = [4].into();
        scene.tried = vec![2];
        assert_shares(&scene.counts(50_000), &[1.0, 5.0, 0.0, 0.0, 0.0, 2.0]);
        // So rare that only a look at all finds them.
        let mut scene = Scene::new(&never, &[1, 1_000_000, 3]);
        scene.sick = [1].into();
        assert_shares(&scene.counts(20_000), &[1.0, 0.0, 3.0]);
    }
}

#[test]
fn idle_members_share_by_weight_when_two_are_compared() {
    // The second of two is never cheaper, so what counts is how the first is drawn.
    for strategy in [Strategy::LeastRequest, Strategy::PeakEwma] {
        assert_shares(&Scene::new(&config(strategy.clone()), &WEIGHTS).counts(50_000), &SHARES);
        assert_shares(&Scene::new(&config(strategy), &[3, 1]).counts(50_000), &[3.0, 1.0]);
    }
}

#[test]
fn a_rotation_is_smooth() {
    assert_eq!(Scene::new(&config(Strategy::RoundRobin), &[5, 1, 1]).order(14), "aabacaaaabacaa");
    assert_eq!(Scene::new(&config(Strategy::RoundRobin), &[1, 1, 1]).order(7), "abcabca");
    assert_eq!(Scene::new(&config(Strategy::RoundRobin), &[200, 0, 100]).order(6), "acaaca");
}

#[test]
fn a_rotation_passes_over_who_is_not_usable_and_keeps_the_order_of_the_others() {
    let mut scene = Scene::new(&config(Strategy::RoundRobin), &[1, 1, 1, 1]);
    scene.sick = [1].into();
    assert_eq!(scene.order(7), "acdacda");
    scene.sick.clear();
    assert_eq!(scene.order(5), "bcdab");
    let mut scene = Scene::new(&config(Strategy::RoundRobin), &[5, 1, 1]);
    scene.sick = [1].into();
    assert_eq!(scene.counts(600), [500, 0, 100]);
}

#[test]
fn a_rotation_finds_the_only_usable_one_however_seldom_its_turn_is() {
    let mut scene = Scene::new(&config(Strategy::RoundRobin), &[1_000_000, 1_000_000, 1]);
    scene.sick = [0].into();
    scene.tried = vec![1];
    assert_eq!(scene.order(3), "ccc");
}

#[test]
fn fine_weights_are_rounded_and_nobody_is_lost() {
    let mut scene = Scene::new(&config(Strategy::RoundRobin), &[1, 999_983, 500_009]);
    let counts = scene.counts(40_960);
    assert!(counts[0] >= 9 && counts[0] <= 11, "{counts:?}");
    assert!((counts[1] as f64 / counts[2] as f64 - 2.0).abs() < 0.01, "{counts:?}");
}

#[test]
fn a_new_configuration_does_not_restart_a_rotation() {
    let config = config(Strategy::RoundRobin);
    let mut scene = Scene::new(&config, &[1, 1, 1, 1]);
    assert_eq!(scene.order(2), "ab");
    let same = Balancer::new(&config, scene.balancer.members().to_vec(), Some(&scene.balancer));
    let mut same = Scene::of(same, scene.now);
    assert_eq!(same.order(1), "c");
    assert_eq!(scene.order(1), "d", "requests that hold the old one take turns with those of the new one");
    assert_eq!(same.order(2), "ab");
    // `c` would be next, but goes; `e` comes.
    let mut others = members(&[1, 1, 1, 1, 1], scene.now);
    others.remove(2);
    let mut changed = Scene::of(Balancer::new(&config, others, Some(&same.balancer)), scene.now);
    assert_eq!(changed.order(5), "deabd");
    let mut weighted = members(&[1, 1, 2], scene.now);
    weighted.remove(0);
    let mut weighted = Scene::of(Balancer::new(&config, weighted, Some(&changed.balancer)), scene.now);
    assert_eq!(weighted.order(3), "bcc");
}

#[test]
fn the_rotation_of_preferred_members_goes_on_too() {
    let config = config(Strategy::RoundRobin);
    let now = Instant::now();
    let preferring = |preferred: &[usize]| {
        let mut members = members(&[1, 1, 1, 1], now);
        preferred.iter().for_each(|index| members[*index].preferred = true);
        members
    };
    let mut scene = Scene::of(Balancer::new(&config, preferring(&[0, 1, 2]), None), now);
    assert_eq!(scene.order(1), "a");
    let mut changed = Scene::of(Balancer::new(&config, preferring(&[0, 1, 2]), Some(&scene.balancer)), now);
    assert_eq!(changed.order(3), "bca");
}

#[test]
fn a_slow_start_gives_a_tenth_and_then_more_and_more() {
    for strategy in [Strategy::LeastRequest, Strategy::RoundRobin, Strategy::Random, consistent(0)] {
        let by_key = matches!(strategy, Strategy::ConsistentHash(_));
        let slowly = LoadBalancer { slow_start: Written::secs(100), ..config(strategy) };
        let mut scene = Scene::new(&slowly, &[1, 1, 1]);
        assert_shares(&scene.counts(30_000), &[1.0; 3]);
        scene.now += 200 * SECOND;
        assert_shares(&scene.counts(30_000), &[1.0; 3]);
        scene.balancer.members()[1].load.became_available(scene.now);
        for (seconds, part) in [(0, 0.1), (5, 0.1), (20, 0.25), (25, 0.5), (49, 0.99), (1, 1.0)] {
            scene.now += seconds * SECOND;
            // Its keys are a third of all, and it has a part of them; else a part of its weight.
            let others = if by_key { (3.0 - part) / 2.0 } else { 1.0 };
            assert_shares(&scene.counts(30_000), &[others, part, others]);
        }
    }
}

#[test]
fn a_slow_start_refuses_nobody() {
    for strategy in every_strategy() {
        let slowly = LoadBalancer { slow_start: Written::secs(100), ..config(strategy) };
        let mut scene = Scene::new(&slowly, &[1, 1]);
        scene.tried = vec![0];
        assert_eq!(scene.counts(200), [0, 200], "it ramps, and it is the only one");
    }
}
