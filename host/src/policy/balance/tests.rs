//! Choices against what they should be: shares, orders, bounds, and who is never chosen.

mod consistent;
mod properties;
mod shares;
mod two_choices;

use std::collections::HashSet;

use super::super::Outcome;
use super::*;
use crate::config::{ConsistentHash, Duration as Written, HashKey, StickySession};

const SECOND: Duration = Duration::from_secs(1);

/// A balancer with what surrounds it: a clock, chance that repeats itself, and health.
struct Scene {
    balancer: Balancer,
    now: Instant,
    random: fastrand::Rng,
    sick: HashSet<usize>,
    tried: Vec<usize>,
}

fn config(strategy: Strategy) -> LoadBalancer {
    LoadBalancer { strategy, ..LoadBalancer::default() }
}

fn consistent(bounded_load: u32) -> Strategy {
    Strategy::ConsistentHash(ConsistentHash { key: HashKey::ClientIp, bounded_load })
}

fn every_strategy() -> [Strategy; 5] {
    [Strategy::LeastRequest, Strategy::RoundRobin, Strategy::Random, Strategy::PeakEwma, consistent(125)]
}

/// Members `a`, `b`, … with these weights.
fn members(weights: &[u32], now: Instant) -> Vec<Member> {
    let member = |(index, weight): (usize, &u32)| Member {
        id: match u8::try_from(index) {
            Ok(index) if index < 26 => char::from(b'a' + index).to_string().into(),
            _ => format!("m{index}").into(),
        },
        weight: *weight,
        preferred: false,
        load: Arc::new(Load::new(now)),
    };
    weights.iter().enumerate().map(member).collect()
}

impl Scene {
    fn new(config: &LoadBalancer, weights: &[u32]) -> Self {
        let now = Instant::now();
        Self::of(Balancer::new(config, members(weights, now), None), now)
    }

    fn of(balancer: Balancer, now: Instant) -> Self {
        Self { balancer, now, random: fastrand::Rng::with_seed(7), sick: HashSet::new(), tried: Vec::new() }
    }

    fn pick_for(&mut self, hash: Option<u64>) -> Option<Pick> {
        let Self { balancer, now, random, sick, tried } = self;
        balancer.pick(|index| !sick.contains(&index), tried, hash, *now, &mut || random.u64(..))
    }

    fn pick(&mut self) -> usize {
        self.pick_for(None).unwrap().index
    }

    /// Picks in a row, as letters.
    fn order(&mut self, count: usize) -> String {
        let picks: Vec<usize> = (0..count).map(|_| self.pick()).collect();
        picks.iter().map(|index| &*self.balancer.members()[*index].id).collect()
    }

    /// How often each is chosen in `count` times; with a key of its own each time when there is a hash to go by.
    fn counts(&mut self, count: u64) -> Vec<u64> {
        let mut counts = vec![0; self.balancer.members().len()];
        for key in 0..count {
            counts[self.pick_for(Some(hash_key(&key.to_be_bytes()))).unwrap().index] += 1;
        }
        counts
    }

    /// So many requests that do not end.
    fn busy(&self, index: usize, requests: usize) -> Vec<Started> {
        (0..requests).map(|_| self.balancer.members()[index].load.start(self.now)).collect()
    }
}

/// Each count is within five standard deviations of its expectation.
fn assert_shares(counts: &[u64], shares: &[f64]) {
    let total = counts.iter().sum::<u64>() as f64;
    let all: f64 = shares.iter().sum();
    for (count, share) in counts.iter().zip(shares) {
        let p = share / all;
        let deviation = (total * p * (1.0 - p)).sqrt();
        let off = (*count as f64 - total * p).abs();
        assert!(off <= 5.0 * deviation, "{counts:?} for {shares:?}: {count} is {:.1} deviations off", off / deviation);
    }
}

#[test]
fn a_single_member_takes_no_random_number() {
    let now = Instant::now();
    for strategy in every_strategy() {
        let balancer = Balancer::new(&config(strategy), members(&[3], now), None);
        let mut random = || panic!("a random number was asked for");
        let chosen = Pick { index: 0, panic: false };
        assert_eq!(balancer.pick(|_| true, &[], Some(5), now, &mut random), Some(chosen));
        assert_eq!(balancer.pick(|_| false, &[], None, now, &mut random), Some(Pick { panic: true, ..chosen }));
        assert_eq!(balancer.pick(|_| true, &[0], None, now, &mut random), None);
    }
    let never = LoadBalancer { panic_threshold: 0, ..LoadBalancer::default() };
    assert_eq!(Balancer::new(&never, members(&[3], now), None).pick(|_| false, &[], None, now, &mut || 0), None);
    let idle = Balancer::new(&LoadBalancer::default(), members(&[0], now), None);
    assert_eq!(idle.pick(|_| true, &[], None, now, &mut || 0), None);
}

#[test]
fn nobody_is_chosen_from_none() {
    for strategy in every_strategy() {
        for weights in [&[][..], &[0, 0]] {
            let mut scene = Scene::new(&config(strategy.clone()), weights);
            assert_eq!(scene.pick_for(None), None);
            assert_eq!(scene.pick_for(Some(1)), None);
        }
    }
}

#[test]
fn when_fewer_than_the_threshold_are_healthy_all_are_used() {
    for strategy in every_strategy() {
        let mut scene = Scene::new(&config(strategy), &[1, 1, 1, 1, 0, 0]);
        scene.sick = [0, 1, 5].into();
        let half = scene.counts(1000);
        assert!(half[..2] == [0, 0] && half[2] > 0 && half[3] > 0, "half of those with a weight is enough: {half:?}");
        assert!(!scene.pick_for(None).unwrap().panic);
        scene.sick.insert(2);
        let all = scene.counts(4000);
        assert_eq!(all[4..], [0, 0], "weight 0 gets nothing even now");
        let of_a_quarter = (4000.0_f64 * 0.25 * 0.75).sqrt();
        assert!(all[..4].iter().all(|count| (*count as f64 - 1000.0).abs() < 5.0 * of_a_quarter), "{all:?}");
        for _ in 0..20 {
            let pick = scene.pick_for(None).unwrap();
            assert_eq!(pick.panic, pick.index != 3, "it says so for those that are not healthy");
        }
        assert!(scene.balancer.panics(|index| index == 3, scene.now));
        assert!(!scene.balancer.panics(|index| index > 1, scene.now));
    }
}

#[test]
fn all_sick_are_still_served_unless_the_threshold_is_0() {
    for strategy in every_strategy() {
        for (panic_threshold, served) in [(1, true), (100, true), (0, false)] {
            let mut scene = Scene::new(&LoadBalancer { panic_threshold, ..config(strategy.clone()) }, &[1, 2, 3]);
            scene.sick = [0, 1, 2].into();
            assert_eq!(scene.pick_for(Some(9)).map(|pick| pick.panic), served.then_some(true));
        }
    }
}

#[test]
fn what_was_tried_is_not_chosen_again_and_is_no_reason_to_panic() {
    for strategy in every_strategy() {
        let mut scene = Scene::new(&config(strategy), &[1, 1, 1, 1]);
        scene.sick = [3].into();
        scene.tried = vec![0, 1];
        assert_eq!(scene.counts(100), [0, 0, 100, 0]);
        scene.tried.push(2);
        assert_eq!(scene.pick_for(Some(1)), None, "three of four are healthy, so the sick one is not used");
        scene.sick.extend([1, 2]);
        assert_eq!(scene.pick_for(Some(1)), Some(Pick { index: 3, panic: true }));
        scene.tried.push(3);
        assert_eq!(scene.pick_for(Some(1)), None);
    }
}

#[test]
fn others_are_used_only_when_no_preferred_one_is_usable() {
    for strategy in every_strategy() {
        let now = Instant::now();
        let mut members = members(&[1, 1, 1, 1, 1, 0], now);
        for index in [1, 3, 5] {
            members[index].preferred = true;
        }
        let mut scene = Scene::of(Balancer::new(&config(strategy), members, None), now);
        let counts = scene.counts(1000);
        assert!(counts[1] > 0 && counts[3] > 0 && counts[1] + counts[3] == 1000, "{counts:?}");
        scene.sick = [1].into();
        assert_eq!(scene.counts(100)[3], 100);
        scene.tried = vec![3];
        let others = scene.counts(1000);
        assert!(others[1] + others[3] + others[5] == 0 && others.iter().filter(|count| **count > 0).count() == 3);
        scene.tried.clear();
        scene.sick = [0, 1, 2].into();
        let panic = scene.counts(2000);
        assert!(panic[..5].iter().all(|count| *count > 250), "in panic all are used: {panic:?}");
    }
}

#[test]
fn a_cookie_leads_back_to_its_member_while_that_can_be_used() {
    let sticky = LoadBalancer { sticky_session: Some(StickySession::default()), ..LoadBalancer::default() };
    let scene = Scene::new(&sticky, &[1, 1, 1, 0]);
    let balancer = &scene.balancer;
    let cookie = |index: usize| Token::of(&balancer.members()[index].id).to_string();
    for index in 0..3 {
        let chosen = balancer.pinned(cookie(index).as_bytes(), |_| true, &[], scene.now);
        assert_eq!(chosen, Some(Pick { index, panic: false }));
        assert_eq!(balancer.pinned(cookie(index).as_bytes(), |_| true, &[index], scene.now), None);
        assert_eq!(balancer.pinned(cookie(index).as_bytes(), |other| other != index, &[], scene.now), None);
        let in_panic = balancer.pinned(cookie(index).as_bytes(), |_| false, &[], scene.now);
        assert_eq!(in_panic, Some(Pick { index, panic: true }));
    }
    assert_eq!(balancer.pinned(cookie(3).as_bytes(), |_| true, &[], scene.now), None, "weight 0");
    assert_eq!(balancer.pinned(Token::of("z").to_string().as_bytes(), |_| true, &[], scene.now), None);
    assert_eq!(balancer.pinned(b"a", |_| true, &[], scene.now), None);
    let plain = Scene::new(&LoadBalancer::default(), &[1, 1]);
    assert_eq!(plain.balancer.pinned(cookie(0).as_bytes(), |_| true, &[], plain.now), None, "it is not switched on");
}

#[test]
fn a_request_counts_until_it_is_dropped() {
    let now = Instant::now();
    let load = Arc::new(Load::new(now));
    let (first, second) = (load.start(now), load.start(now));
    first.record(Outcome::Success, now + SECOND);
    assert_eq!(load.in_flight(), 2);
    drop(first);
    assert_eq!(load.in_flight(), 1);
    drop(second);
    assert_eq!(load.in_flight(), 0);
}
