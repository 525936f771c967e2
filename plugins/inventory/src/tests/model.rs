//! The service beside a model of it, under sequences of calls and events that nobody thought of: any order, any number of
//! times. The model knows no stock, only what came in and what each order holds; the numbers must follow from that.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wharf_sdk::{Failure, sql};

use super::{answers, numbers, order, post_to, put_to, setup, told, wish};

const SEEDS: u64 = 40;
const STEPS: usize = 80;
const PRODUCTS: [&str; 3] = ["a", "b", "c"];
const ORDERS: [&str; 8] = ["o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reserved,
    Committed,
    Released,
    Rejected,
    Cancelled,
}

#[derive(Default)]
struct Model {
    received: BTreeMap<&'static str, i64>,
    orders: BTreeMap<&'static str, (State, BTreeMap<&'static str, i64>)>,
}

impl Model {
    fn held(&self, product: &str, state: State) -> i64 {
        let orders = self.orders.values().filter(|(of, _)| *of == state);
        orders.filter_map(|(_, items)| items.get(product)).sum()
    }

    fn available(&self, product: &str) -> i64 {
        let received = self.received.get(product).copied().unwrap_or_default();
        received - self.held(product, State::Reserved) - self.held(product, State::Committed)
    }

    fn fits(&self, items: &BTreeMap<&'static str, i64>) -> bool {
        items.iter().all(|(product, quantity)| self.available(product) >= *quantity)
    }

    fn state(&self, order: &str) -> Option<State> {
        self.orders.get(order).map(|(state, _)| *state)
    }

    fn set(&mut self, order: &'static str, state: State) {
        self.orders.entry(order).or_insert((state, BTreeMap::new())).0 = state;
    }
}

/// xorshift64*: enough to choose by, and the same for the same seed everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound
    }

    fn number(&mut self, bound: i64) -> i64 {
        i64::try_from(self.below(usize::try_from(bound).unwrap())).unwrap()
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

#[test]
fn whatever_comes_in_any_order_and_number_the_stock_adds_up() {
    let mut reached = BTreeMap::new();
    for seed in 1..=SEEDS {
        // A thread of its own has a database of its own.
        let seen = std::thread::spawn(move || run(seed)).join().unwrap();
        for (what, count) in seen {
            *reached.entry(what).or_insert(0) += count;
        }
    }
    // A test that never gets anywhere would pass, too.
    let all = ["reserved", "short", "committed", "released", "returned", "cancelled", "tombstone", "rejected late"];
    for what in all {
        assert!(reached.get(what).is_some_and(|count| *count > 10), "{what} was hardly reached: {reached:?}");
    }
}

fn run(seed: u64) -> BTreeMap<&'static str, usize> {
    setup();
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut model = Model::default();
    let mut seen = BTreeMap::new();
    for product in PRODUCTS {
        put_to(&format!("/{product}"), &json!({ "available": 12 }));
        model.received.insert(product, 12);
    }
    for _ in 0..STEPS {
        let (said, reached) = step(&mut dice, &mut model);
        *seen.entry(reached).or_insert(0) += 1;
        check(&model, &format!("seed {seed}: {said}"));
    }
    seen
}

/// One call or event. Says what it was, and what it led to.
fn step(dice: &mut Dice, model: &mut Model) -> (String, &'static str) {
    let id = dice.of(&ORDERS);
    let product = dice.of(&PRODUCTS);
    match dice.below(12) {
        0 => {
            let available = dice.number(20);
            let (status, _) = put_to(&format!("/{product}"), &json!({ "available": available }));
            let delta = available - model.available(product);
            *model.received.entry(product).or_default() += delta;
            assert_eq!(status, 200);
            (format!("count {product} {available}"), "counted")
        }
        1 => {
            let delta = dice.of(&[-4, -1, 2, 5]);
            let (status, _) = post_to(&format!("/{product}/adjust"), &json!({"delta": delta, "reason": "x"}));
            let fits = model.available(product) + delta >= 0;
            if fits {
                *model.received.entry(product).or_default() += delta;
            }
            assert_eq!(status, if fits { 200 } else { 409 }, "adjust {product} {delta}");
            (format!("adjust {product} {delta}"), "adjusted")
        }
        2 | 3 => by_call(id, basket(dice), model),
        4 | 5 => by_event(id, basket(dice), model),
        6..=8 => {
            let event = dice.below(2) == 0;
            let done = if event {
                let done = told("order.confirmed", &json!({ "id": id }));
                assert_eq!(matches!(done, Err(Failure::Retry(_))), model.state(id).is_none(), "confirm {id}");
                done.is_ok()
            } else {
                post_to(&format!("/reservations/{id}/commit"), &Value::Null).0 == 200
            };
            let holds = matches!(model.state(id), Some(State::Reserved | State::Committed));
            if holds {
                model.set(id, State::Committed);
            }
            assert!(event || done == holds, "commit {id}");
            (format!("commit {id}, by event: {event}"), if holds { "committed" } else { "nothing" })
        }
        9 | 10 => {
            let (status, _) = post_to(&format!("/reservations/{id}/release"), &Value::Null);
            assert_eq!(status, if model.state(id).is_some() { 200 } else { 404 });
            let reached = match model.state(id) {
                Some(State::Reserved) => "released",
                Some(State::Committed) => "returned",
                _ => return (format!("release {id}"), "nothing"),
            };
            model.set(id, State::Released);
            (format!("release {id}"), reached)
        }
        _ => {
            told("order.cancelled", &json!({ "id": id })).unwrap();
            let reached = if model.state(id).is_none() { "tombstone" } else { "cancelled" };
            model.set(id, State::Cancelled);
            (format!("cancel {id}"), reached)
        }
    }
}

fn basket(dice: &mut Dice) -> BTreeMap<&'static str, i64> {
    (0..=dice.below(2)).map(|_| (dice.of(&PRODUCTS), 1 + dice.number(4))).collect()
}

fn by_call(id: &'static str, items: BTreeMap<&'static str, i64>, model: &mut Model) -> (String, &'static str) {
    let said = format!("reserve {id} {items:?}");
    let list: Vec<_> = items.iter().map(|(product, quantity)| (*product, *quantity)).collect();
    let (status, _) = post_to("/reservations", &wish(id, &list));
    let (expected, reached) = match model.orders.get(id) {
        Some((State::Reserved | State::Committed, there)) if *there == items => (201, "again"),
        Some(_) => (409, "refused"),
        None if model.fits(&items) => {
            model.orders.insert(id, (State::Reserved, items));
            (201, "reserved")
        }
        None => (409, "short"),
    };
    assert_eq!(status, expected, "{said}");
    (said, reached)
}

fn by_event(id: &'static str, items: BTreeMap<&'static str, i64>, model: &mut Model) -> (String, &'static str) {
    let said = format!("created {id} {items:?}");
    answers();
    let list: Vec<_> = items.iter().map(|(product, quantity)| (*product, *quantity)).collect();
    told("order.created", &order(id, "saga", &list)).unwrap();
    let answers: Vec<_> = answers().into_iter().map(|(topic, ..)| topic).collect();
    let (expected, reached): (&[&str], _) = match model.state(id) {
        // Said before by the same id, the second time: then the log does not take it again.
        Some(State::Cancelled) if answers.is_empty() => (&[], "again"),
        Some(State::Cancelled) => (&["inventory.rejected"], "rejected late"),
        Some(_) => (&[], "again"),
        None if model.fits(&items) => {
            model.orders.insert(id, (State::Reserved, items));
            (&["inventory.reserved"], "reserved")
        }
        None => {
            model.set(id, State::Rejected);
            (&["inventory.rejected"], "short")
        }
    };
    assert_eq!(answers, expected, "{said}");
    (said, reached)
}

fn check(model: &Model, said: &str) {
    for product in PRODUCTS {
        if !model.received.contains_key(product) {
            continue;
        }
        let (available, reserved, committed) = numbers(product);
        assert!(available >= 0 && reserved >= 0 && committed >= 0, "{said}: {product}");
        let held = (model.held(product, State::Reserved), model.held(product, State::Committed));
        assert_eq!((available, reserved, committed), (model.available(product), held.0, held.1), "{said}: {product}");
        let moved = sql::first("SELECT sum(delta) FROM movements WHERE product_id = ?1", wharf_sdk::params![product]);
        let (moved,): (Option<i64>,) = moved.unwrap().unwrap();
        assert_eq!(moved.unwrap_or_default(), available + reserved + committed, "{said}: {product}");
    }
    for (id, (state, items)) in &model.orders {
        let (_, there) = super::send(wharf_sdk::Request::get(&format!("/reservations/{id}")));
        assert_eq!(there["status"], json!(format!("{state:?}").to_lowercase()), "{said}: {id}");
        assert_eq!(there["items"].as_array().unwrap().len(), items.len(), "{said}: {id}");
    }
}
