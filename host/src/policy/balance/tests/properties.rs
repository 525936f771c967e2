//! What holds for every strategy and any state.

use proptest::prelude::*;

use super::*;

/// A member: weight, preferred, healthy, tried, requests in flight.
type State = (u32, bool, bool, bool, usize);

fn state() -> impl Strategy<Value = State> {
    let weight = prop_oneof![Just(0), 1..4_u32, Just(1_000_000)];
    (weight, any::<bool>(), prop::bool::weighted(0.7), prop::bool::weighted(0.2), 0..3_usize)
}

use proptest::strategy::Strategy;

fn strategy() -> impl Strategy<Value = crate::config::Strategy> {
    (0..5_usize, prop_oneof![Just(0), Just(100), Just(125)]).prop_map(|(which, bounded_load)| {
        let mut all = every_strategy();
        all[4] = consistent(bounded_load);
        all[which].clone()
    })
}

fn settings() -> impl Strategy<Value = LoadBalancer> {
    let slow_start = prop_oneof![Just(0), Just(100)];
    (strategy(), prop_oneof![Just(0), Just(50), Just(100)], slow_start).prop_map(|(strategy, panic_threshold, slow)| {
        LoadBalancer { panic_threshold, slow_start: Written::secs(slow), ..config(strategy) }
    })
}

fn scene(config: &LoadBalancer, states: &[State]) -> Scene {
    let now = Instant::now();
    let mut members = members(&states.iter().map(|state| state.0).collect::<Vec<_>>(), now);
    members.iter_mut().zip(states).for_each(|(member, state)| member.preferred = state.1);
    let mut scene = Scene::of(Balancer::new(config, members, None), now);
    let indexes = |which: fn(&State) -> bool| states.iter().enumerate().filter(move |(_, s)| which(s)).map(|(i, _)| i);
    scene.sick = indexes(|state| !state.2).collect();
    scene.tried = indexes(|state| state.3).collect();
    scene
}

/// Who may be chosen, found the long way, and whether it is panic.
fn allowed(config: &LoadBalancer, states: &[State]) -> (Vec<usize>, bool) {
    let active = states.iter().filter(|state| state.0 > 0).count() as u32;
    let healthy = states.iter().filter(|state| state.0 > 0 && state.2).count() as u32;
    let panic = healthy * 100 < active * config.panic_threshold;
    let usable = |state: &State| state.0 > 0 && !state.3 && (state.2 || panic);
    let indexes = |which: &dyn Fn(&State) -> bool| {
        states.iter().enumerate().filter(|(_, state)| which(state)).map(|(index, _)| index).collect::<Vec<_>>()
    };
    let preferred = indexes(&|state| usable(state) && state.1);
    if panic || preferred.is_empty() { (indexes(&usable), panic) } else { (preferred, panic) }
}

proptest! {
    #[test]
    fn somebody_usable_is_chosen_if_there_is_anybody(
        config in settings(), states in prop::collection::vec(state(), 0..9), hash in any::<Option<u64>>(), seed in any::<u64>(),
    ) {
        let mut scene = scene(&config, &states);
        scene.random.seed(seed);
        let _busy: Vec<_> = states.iter().enumerate().map(|(index, state)| scene.busy(index, state.4)).collect();
        let (allowed, panic) = allowed(&config, &states);
        for step in 0..5 {
            let pick = scene.pick_for(hash.map(|hash| hash.wrapping_add(step)));
            prop_assert_eq!(pick.is_some(), !allowed.is_empty());
            if let Some(Pick { index, panic: told }) = pick {
                prop_assert!(allowed.contains(&index), "{} is not in {:?}", index, allowed);
                prop_assert_eq!(told, panic && !states[index].2);
            }
        }
    }

    #[test]
    fn every_usable_member_is_reached(config in settings(), mut states in prop::collection::vec(state(), 1..6)) {
        // Nobody is so light that it takes for ever.
        states.iter_mut().for_each(|state| state.0 = state.0.min(3));
        let mut scene = scene(&config, &states);
        let (allowed, _) = allowed(&config, &states);
        let reached: HashSet<usize> = (0..3000_u64)
            .filter_map(|key| scene.pick_for(Some(hash_key(&key.to_be_bytes()))))
            .map(|pick| pick.index)
            .collect();
        prop_assert_eq!(reached, allowed.into_iter().collect::<HashSet<_>>());
    }

    #[test]
    fn requests_that_end_leave_nothing_behind(
        config in settings(), weights in prop::collection::vec(1..5_u32, 1..6), ends in prop::collection::vec(0..20_usize, 0..200),
    ) {
        let mut scene = Scene::new(&config, &weights);
        let mut running: Vec<Started> = Vec::new();
        for end in ends {
            let index = scene.pick();
            running.extend(scene.busy(index, 1));
            if end < running.len() {
                drop(running.swap_remove(end));
            }
            let counted: u64 = scene.balancer.members().iter().map(|member| member.load.in_flight()).sum();
            prop_assert_eq!(counted, running.len() as u64);
        }
        drop(running);
        prop_assert!(scene.balancer.members().iter().all(|member| member.load.in_flight() == 0));
    }
}
