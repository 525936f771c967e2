//! The same instance for the same key; how many keys move, and how much one can get.

use super::*;

const KEYS: u64 = 20_000;

/// The owner's id of each key.
fn owners(config: &LoadBalancer, members: Vec<Member>) -> Vec<Arc<str>> {
    let mut scene = Scene::of(Balancer::new(config, members, None), Instant::now());
    let owner = |key: u64| {
        let index = scene.pick_for(Some(hash_key(&key.to_be_bytes()))).unwrap().index;
        Arc::clone(&scene.balancer.members()[index].id)
    };
    (0..KEYS).map(owner).collect()
}

fn moved(before: &[Arc<str>], after: &[Arc<str>]) -> Vec<(Arc<str>, Arc<str>)> {
    let pairs = before.iter().cloned().zip(after.iter().cloned());
    pairs.filter(|(before, after)| before != after).collect()
}

#[test]
fn only_the_keys_of_a_removed_member_move_and_they_spread_over_all_others() {
    for weights in [[1; 10], [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]] {
        let config = config(consistent(125));
        let all = members(&weights, Instant::now());
        let before = owners(&config, all.clone());
        let mut fewer = all;
        let gone = fewer.remove(3);
        let moved = moved(&before, &owners(&config, fewer.clone()));
        assert!(moved.iter().all(|(from, _)| *from == gone.id));
        let of_gone = before.iter().filter(|owner| **owner == gone.id).count();
        assert_eq!(moved.len(), of_gone);
        let to: Vec<u64> =
            fewer.iter().map(|member| moved.iter().filter(|(_, to)| *to == member.id).count() as u64).collect();
        let shares: Vec<f64> = fewer.iter().map(|member| f64::from(member.weight)).collect();
        assert_shares(&to, &shares);
    }
}

#[test]
fn a_sick_member_loses_its_keys_and_gets_the_same_back() {
    let mut scene = Scene::new(&config(consistent(125)), &[1; 5]);
    let owner = |scene: &mut Scene| {
        (0..1000).map(|key| scene.pick_for(Some(hash_key(&u64::to_be_bytes(key)))).unwrap().index).collect::<Vec<_>>()
    };
    let before = owner(&mut scene);
    scene.sick = [2].into();
    let during = owner(&mut scene);
    assert!(before.iter().zip(&during).all(|(before, during)| (before == during) == (*before != 2)));
    scene.sick.clear();
    assert_eq!(owner(&mut scene), before);
}

#[test]
fn a_higher_weight_takes_keys_from_others_and_moves_none_between_them() {
    let config = config(consistent(0));
    let before = owners(&config, members(&[2, 2, 2, 2], Instant::now()));
    let moved = moved(&before, &owners(&config, members(&[2, 3, 2, 2], Instant::now())));
    assert!(moved.iter().all(|(_, to)| &**to == "b"));
    let expected = KEYS as f64 * (3.0 / 9.0 - 2.0 / 8.0);
    assert!((moved.len() as f64 - expected).abs() < 0.1 * expected, "{} for {expected}", moved.len());
}

#[test]
fn the_order_in_which_members_are_listed_does_not_matter() {
    let config = config(consistent(125));
    let listed = members(&[1, 2, 1, 2, 1], Instant::now());
    let reversed = listed.iter().rev().cloned().collect();
    assert_eq!(moved(&owners(&config, listed), &owners(&config, reversed)), []);
}

#[test]
fn owners_are_the_same_for_ever() {
    assert_eq!(hash_key(b"alice"), 322_438_937_101_131_605);
    let owners = owners(&config(consistent(125)), members(&[1, 1, 1, 2], Instant::now()));
    let first: String = owners[..24].iter().map(|id| &**id).collect();
    assert_eq!(first, "dabddaadaaabcaacbbaddbdd");
}

#[test]
fn nobody_gets_more_than_the_bound() {
    for (percent, weights) in [(100, vec![1; 7]), (125, vec![1; 10]), (125, vec![1, 5, 2, 2]), (200, vec![3, 1])] {
        let mut scene = Scene::new(&config(consistent(percent)), &weights);
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        let mut running: Vec<Started> = Vec::new();
        let mut overflowed = 0;
        for step in 0..3000_u64 {
            // Half of all requests have the same key.
            let key = if step % 2 == 0 { 0 } else { step };
            let index = scene.pick_for(Some(hash_key(&key.to_be_bytes()))).unwrap().index;
            running.extend(scene.busy(index, 1));
            let in_flight = scene.balancer.members()[index].load.in_flight();
            let bound = (u64::from(percent) * running.len() as u64 * u64::from(weights[index])).div_ceil(100 * total);
            assert!(in_flight <= bound, "{in_flight} of {} at {index}, bound {bound}", running.len());
            overflowed += u64::from(in_flight == bound);
            if step % 3 == 0 {
                drop(running.swap_remove(scene.random.usize(..running.len())));
            }
        }
        assert!(overflowed > 100, "the bound was never reached");
    }
}

#[test]
fn without_a_bound_a_hot_key_stays_where_it_is() {
    let mut scene = Scene::new(&config(consistent(0)), &[1; 4]);
    let home = scene.pick_for(Some(5)).unwrap().index;
    let _busy = scene.busy(home, 1000);
    assert_eq!(scene.pick_for(Some(5)).unwrap().index, home);
}

#[test]
fn beyond_the_bound_a_key_has_a_second_home() {
    let mut scene = Scene::new(&config(consistent(125)), &[1; 4]);
    let home = scene.pick_for(Some(5)).unwrap().index;
    let busy = scene.busy(home, 10);
    let second = scene.pick_for(Some(5)).unwrap().index;
    assert_ne!(second, home);
    scene.sick = [home].into();
    assert_eq!(scene.pick_for(Some(5)).unwrap().index, second, "the same as when the first is gone");
    scene.sick.clear();
    drop(busy);
    assert_eq!(scene.pick_for(Some(5)).unwrap().index, home);
}

#[test]
fn a_request_without_a_key_goes_to_the_less_busy_of_two() {
    let mut scene = Scene::new(&config(consistent(125)), &[1, 1]);
    let _busy = scene.busy(0, 1);
    assert!((0..100).all(|_| scene.pick() == 1));
}

#[test]
fn during_a_slow_start_keys_move_once_and_never_back() {
    let slowly = LoadBalancer { slow_start: Written::secs(100), ..config(consistent(0)) };
    let mut scene = Scene::new(&slowly, &[1, 1]);
    scene.now += 200 * SECOND;
    scene.balancer.members()[0].load.became_available(scene.now);
    let mut owned: HashSet<u64> = HashSet::new();
    for _ in 0..11 {
        let keys: Vec<u64> = (0..2000)
            .filter(|key| scene.pick_for(Some(hash_key(&u64::to_be_bytes(*key)))).unwrap().index == 0)
            .collect();
        assert!(owned.iter().all(|key| keys.contains(key)));
        assert!(keys.len() > owned.len() || owned.len() < 150, "it gets more each time");
        owned = keys.into_iter().collect();
        scene.now += 10 * SECOND;
    }
    assert!((900..1100).contains(&owned.len()), "{}", owned.len());
}

#[test]
fn what_a_slow_start_leaves_to_others_they_share_by_weight() {
    let slowly = LoadBalancer { slow_start: Written::secs(100), ..config(consistent(0)) };
    let mut scene = Scene::new(&slowly, &[10, 1, 3]);
    scene.now += 200 * SECOND;
    scene.balancer.members()[0].load.became_available(scene.now);
    let own = 0.1 * 10.0 / 14.0;
    assert_shares(&scene.counts(50_000), &[own, (1.0 - own) / 4.0, (1.0 - own) * 3.0 / 4.0]);
}
