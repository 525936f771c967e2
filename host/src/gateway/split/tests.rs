use http::HeaderValue;
use http::header::COOKIE;

use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn split(json: serde_json::Value) -> Split {
    Split::new(&serde_json::from_value(json).unwrap(), "orders")
}

fn headers(sent: &[(&'static str, &str)]) -> HeaderMap {
    sent.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

fn choose(split: &Split, choices: &[(&str, u32)], headers: &HeaderMap, random: u64) -> Option<usize> {
    split.choose(choices.iter().copied(), Facts { headers, client: Some(CLIENT) }, random)
}

fn by_user() -> Split {
    split(serde_json::json!({ "stickyBy": { "header": "x-user" } }))
}

/// The choice of each of `n` users.
fn users(split: &Split, choices: &[(&str, u32)], n: u32) -> Vec<usize> {
    let choice = |user| choose(split, choices, &headers(&[("x-user", &format!("user-{user}"))]), 0).unwrap();
    (0..n).map(choice).collect()
}

/// How many got each choice.
fn counts(chosen: &[usize], choices: usize) -> Vec<usize> {
    (0..choices).map(|choice| chosen.iter().filter(|one| **one == choice).count()).collect()
}

#[test]
fn seventy_thirty_and_nothing_within_five_points_of_five_hundred() {
    let weights = [70, 30, 0];
    let choices = [("1", 70), ("2", 30), ("3", 0)];
    let (none, mut random) = (split(serde_json::json!({ "header": "x-version" })), fastrand::Rng::with_seed(7));
    let mut within = [0, 0];
    for _ in 0..10 {
        let plain = (0..500).map(|_| by_weight(weights.into_iter(), random.u64(..)).unwrap()).collect::<Vec<_>>();
        let drawn = (0..500).map(|_| choose(&none, &choices, &HeaderMap::new(), random.u64(..)).unwrap());
        for (within, counts) in within.iter_mut().zip([counts(&plain, 3), counts(&drawn.collect::<Vec<_>>(), 3)]) {
            *within += u32::from(counts[0].abs_diff(350) <= 25);
            assert_eq!(counts[2], 0);
        }
    }
    // Five points of 500 are 2.4 standard deviations: one of seventy misses them.
    assert!(within.iter().all(|within| *within >= 8), "{within:?} of 10");
}

#[test]
fn sticky_users_share_as_the_weights_say() {
    let counts = counts(&users(&by_user(), &[("1", 70), ("2", 30), ("3", 0)], 10_000), 3);
    // 5 standard deviations of a binomial distribution are 229.
    assert!(counts[0].abs_diff(7000) < 229 && counts[1].abs_diff(3000) < 229, "{counts:?}");
    assert_eq!(counts[2], 0);
}

#[test]
fn a_user_stays_whatever_the_draw() {
    let split = by_user();
    let choices = [("1", 50), ("2", 50)];
    for user in 0..100 {
        let headers = headers(&[("x-user", &format!("user-{user}"))]);
        let first = choose(&split, &choices, &headers, 0);
        for random in [1, 49, 50, 99, u64::MAX] {
            assert_eq!(choose(&split, &choices, &headers, random), first);
        }
    }
}

#[test]
fn whoever_is_on_the_growing_version_stays_and_nobody_moves_between_others() {
    let split = by_user();
    let steps = [[95, 5], [75, 25], [50, 50], [25, 75], [0, 100]];
    for pair in steps.windows(2) {
        let [before, after] = [pair[0], pair[1]].map(|[old, new]| users(&split, &[("1", old), ("2", new)], 2000));
        assert!(before.iter().zip(&after).all(|(before, after)| *before == 0 || *after == 1), "{pair:?}");
        assert_ne!(before, after);
    }
    // With three, too; and the order in which they are listed means nothing.
    let before = users(&split, &[("1", 60), ("2", 30), ("3", 10)], 2000);
    let after = users(&split, &[("3", 40), ("1", 60), ("2", 30)], 2000);
    let after: Vec<usize> = after.into_iter().map(|index| [2, 0, 1][index]).collect();
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == 2));
    assert!(before != after);
}

#[test]
fn choices_are_the_same_after_a_restart_and_differ_between_services() {
    let choices = [("1", 50), ("2", 50)];
    let orders = users(&by_user(), &choices, 20);
    // Reckoned by another program. Other numbers would move the users of everybody who upgrades.
    assert_eq!(orders, [1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1]);
    let other = Split { salt: "users".into(), ..by_user() };
    assert_ne!(users(&other, &choices, 20), orders);
}

#[test]
fn a_header_or_a_cookie_names_a_listed_version_even_one_without_weight() {
    let split = split(serde_json::json!({
        "header": "x-version", "cookie": "version", "stickyBy": { "header": "x-user" },
    }));
    let choices = [("", 50), ("2", 50), ("3", 0)];
    let stays = choose(&split, &choices, &headers(&[("x-user", "ann")]), 0);
    for (sent, chosen) in [
        (&[("x-version", "2")][..], Some(1)),
        (&[("x-version", "3")], Some(2)),
        (&[("cookie", "a=b; version=3")], Some(2)),
        // The header comes first; one that names nothing leaves it to the cookie.
        (&[("x-version", "2"), ("cookie", "version=3")], Some(1)),
        (&[("x-version", "9"), ("cookie", "version=3")], Some(2)),
        // Nothing is named: the user decides.
        (&[("x-version", "4")], stays),
        (&[("x-version", "")], stays),
        (&[("x-version", "2, 3")], stays),
        (&[("cookie", "version=")], stays),
        (&[("cookie", "version=33")], stays),
        (&[], stays),
    ] {
        let mut headers = headers(sent);
        headers.insert("x-user", HeaderValue::from_static("ann"));
        assert_eq!(choose(&split, &choices, &headers, 0), chosen, "{sent:?}");
    }
    let mut twice = headers(&[("x-user", "ann"), ("x-version", "3")]);
    twice.append("x-version", HeaderValue::from_static("3"));
    assert_eq!(choose(&split, &choices, &twice, 0), stays);
}

#[test]
fn each_field_is_looked_at_and_no_other() {
    let choices = [("1", 1), ("2", 0)];
    let all = headers(&[("x-version", "2"), ("cookie", "version=2")]);
    for (config, chosen) in [
        (serde_json::json!({ "header": "x-version" }), 1),
        (serde_json::json!({ "header": "x-other" }), 0),
        (serde_json::json!({ "cookie": "version" }), 1),
        (serde_json::json!({ "cookie": "other" }), 0),
        (serde_json::json!({ "stickyBy": "clientIp" }), 0),
    ] {
        assert_eq!(choose(&split(config.clone()), &choices, &all, 0), Some(chosen), "{config}");
    }
}

#[test]
fn a_user_is_an_address_a_header_or_a_cookie_and_nobody_without_one() {
    let choices = [("1", 50), ("2", 50)];
    // With no user the draw decides; with one it does not.
    let is_drawn = |split: &Split, headers: &HeaderMap| {
        let [low, high] = [0, 50].map(|random| choose(split, &choices, headers, random));
        low != high
    };
    let cookie = split(serde_json::json!({ "stickyBy": { "cookie": "session" } }));
    assert!(!is_drawn(&cookie, &headers(&[("cookie", "session=abc")])));
    assert!(is_drawn(&cookie, &headers(&[("cookie", "session=")])) && is_drawn(&cookie, &HeaderMap::new()));
    assert!(is_drawn(&by_user(), &HeaderMap::new()) && is_drawn(&by_user(), &headers(&[("x-user", "")])));
    let mut two = headers(&[("x-user", "ann")]);
    two.append("x-user", HeaderValue::from_static("bob"));
    assert!(is_drawn(&by_user(), &two));

    let address = split(serde_json::json!({ "stickyBy": "clientIp" }));
    let of = |client: &str| {
        let facts = Facts { headers: &HeaderMap::new(), client: Some(client.parse().unwrap()) };
        address.choose(choices.iter().copied(), facts, 0).unwrap()
    };
    // One customer's addresses of IPv6 are one user, and IPv4 in the form of IPv6 is the same.
    let network: Vec<usize> = (0..50).map(|host| of(&format!("2001:db8::{host}"))).collect();
    assert!(network.iter().all(|choice| *choice == network[0]));
    let networks: Vec<usize> = (0..50).map(|net| of(&format!("2001:db8:0:{net}::1"))).collect();
    assert!(networks.contains(&0) && networks.contains(&1));
    let all: Vec<usize> = (0..50).map(|host| of(&format!("192.0.2.{host}"))).collect();
    assert!(all.contains(&0) && all.contains(&1));
}

#[test]
fn hostile_values_choose_something_or_nothing_and_never_more() {
    let split = split(serde_json::json!({
        "header": "x-version", "cookie": "version", "stickyBy": { "cookie": "session" },
    }));
    let mut hostile = HeaderMap::new();
    hostile.insert("x-version", HeaderValue::from_bytes(b"\xff\xfe\x80").unwrap());
    hostile.append(COOKIE, HeaderValue::from_bytes(&[b';'; 8000]).unwrap());
    hostile.append(COOKIE, HeaderValue::from_bytes(&[b"session=".as_slice(), &[0xff; 60_000]].concat()).unwrap());
    let chosen = choose(&split, &[("1", u32::MAX), ("2", u32::MAX)], &hostile, u64::MAX);
    assert!(chosen.is_some_and(|index| index < 2));
    assert_eq!(choose(&split, &[], &hostile, 5), None);
    assert_eq!(choose(&split, &[("1", 0), ("2", 0)], &hostile, 5), None, "nobody has a weight");
}
