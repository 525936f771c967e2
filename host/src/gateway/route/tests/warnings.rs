//! What is said to be never reached, when a configuration is loaded, is never found in the table.

use std::collections::HashMap;
use std::fmt::Write;

use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::*;
use crate::config::{Source, load};

/// A route's name, a rule of it and a match of that.
type Place = (String, usize, usize);

/// The routes as a file, with each match on a line of its own.
fn file(routes: &[Route]) -> (String, HashMap<usize, Place>) {
    let mut text = String::from(
        "listeners: [{ name: web, address: '127.0.0.1:1' }, { name: tls, address: '127.0.0.1:2' }]\nroutes:\n",
    );
    let mut places = HashMap::new();
    for route in routes {
        let (name, json) = (&route.name, |value: &Vec<String>| serde_json::to_string(value).unwrap());
        let (hosts, listeners) = (json(&route.hostnames), json(&route.listeners));
        writeln!(text, "- name: {name}\n  hostnames: {hosts}\n  listeners: {listeners}\n  rules:").unwrap();
        for (index, rule) in route.rules.iter().enumerate() {
            places.insert(text.lines().count() + 1, (name.clone(), index, 0));
            let backends = serde_json::to_string(&rule.backend_refs).unwrap();
            writeln!(text, "  - priority: {}\n    backendRefs: {backends}\n    matches:", rule.priority).unwrap();
            for (nth, matched) in rule.matches.iter().enumerate() {
                places.insert(text.lines().count() + 1, (name.clone(), index, nth));
                writeln!(text, "    - {}", serde_json::to_string(matched).unwrap()).unwrap();
            }
        }
    }
    (text, places)
}

/// Nothing if two matches are equal, which is an error.
fn never_reached(routes: &[Route]) -> Option<Vec<Place>> {
    let dir = tempfile::tempdir().unwrap();
    let (text, mut places) = file(routes);
    std::fs::write(dir.path().join("gateway.yaml"), &text).unwrap();
    let config = match load(&Source { dir: dir.path().to_owned(), env: None }) {
        Ok(config) => config,
        Err(problems) => {
            assert!(problems.iter().all(|problem| problem.message().contains("matches the same")), "{problems}");
            return None;
        }
    };
    assert_eq!(config.gateway.routes, routes);
    let warnings = config.warnings.iter().flatten().filter(|warning| warning.message().starts_with("never reached"));
    Some(warnings.map(|warning| places.remove(&warning.position().unwrap().0).unwrap()).collect())
}

#[test]
fn what_is_warned_about_as_never_reached_is_never_found() {
    let mut runner = TestRunner::deterministic();
    let (routes, requests) = (super::reference::routes(), vec(super::reference::requests(), 100));
    let (mut warned, mut found) = (0, 0);
    for _ in 0..2000 {
        let mut routes = routes.new_tree(&mut runner).unwrap().current();
        for (index, route) in routes.iter_mut().enumerate() {
            route.name = format!("r{index}");
        }
        let Some(never) = never_reached(&routes).filter(|never| !never.is_empty()) else { continue };
        warned += never.len();
        let table = table(&routes);
        for sent in requests.new_tree(&mut runner).unwrap().current() {
            let Some(Found { target, match_index, .. }) = table.find(&sent.request()) else { continue };
            let place = (target.route.to_string(), target.rule_index, match_index);
            assert!(!never.contains(&place), "{place:?} gets {} {}\n{}", sent.method, sent.target, file(&routes).0);
            found += 1;
        }
    }
    assert!(warned > 50 && found > 500, "{warned} warnings, {found} requests: too few to prove anything");
}
