//! The shop while everything goes wrong: the host is killed, services are replaced and put on trial, the bank fails and
//! is slow, and customers go on asking. Afterwards the books are right. And the three things that are said of systems
//! made of services, as tests.
//!
//! Chaos goes on for `WHARF_CHAOS_SECONDS` (default 25), from the seed `WHARF_CHAOS_SEED`, which is printed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wharf_demo::books::Books;
use wharf_demo::folder::marked;
use wharf_demo::shop::{Person, Product, Shop};
use wharf_demo::wish::{Kind, Mode, Placed, Wish};
use wharf_tests::{OpenShop, Wharf, eventually};

/// Customers who ask at the same time.
const CUSTOMERS: usize = 4;
/// Longer than a customer ever has to wait: a start of the host, a trial, a sweep.
const PATIENCE: Duration = Duration::from_secs(180);
/// Services that are replaced while they work. Each has two versions, which do the same.
const REPLACED: [&str; 4] = ["orders", "payments", "inventory", "shipping"];

#[allow(clippy::disallowed_methods, reason = "a test has no command line of its own")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What somebody in the shop does until the time is over: what was wished, and what came of it.
async fn customer(shop: Shop, person: Person, goods: Vec<Product>, seed: u64, end: Instant) -> Vec<(Wish, Placed)> {
    let mut rng = Rng::with_seed(seed);
    let mut all = Vec::new();
    while Instant::now() < end {
        let kind = *rng.choice(&Kind::ALL).unwrap();
        let product = if kind == Kind::SoldOut { &goods[1] } else { &goods[0] };
        let product = if kind == Kind::Insufficient { &goods[2] } else { product };
        let wish = Wish {
            key: format!("{}-{}", person.name, all.len()),
            mode: if rng.bool() { Mode::Saga } else { Mode::Sync },
            kind,
            items: vec![(product.id.clone(), rng.i64(3..6))],
            currency: "EUR",
            coupon: (kind == Kind::Coupon).then_some("TEN-OFF"),
        };
        let placed = shop.place(&person, &wish, PATIENCE).await.unwrap_or_else(|trouble| panic!("{wish:?}: {trouble}"));
        if let Some(order) = placed.order.as_ref().filter(|_| placed.status == 202 && rng.u8(..) < 25) {
            // It may be too late, and nobody may be there to be told.
            let cancel = shop.gateway.post(format!("/api/orders/{order}/cancel"), &Value::Null);
            let _ = cancel.token(&person.token).send().await;
        }
        all.push((wish, placed));
    }
    all
}

#[tokio::test]
async fn whatever_happens_every_order_ends_and_the_books_are_right() {
    let seed = setting("WHARF_CHAOS_SEED", fastrand::u64(..1_000_000));
    let time = Duration::from_secs(setting("WHARF_CHAOS_SECONDS", 25));
    eprintln!("WHARF_CHAOS_SEED={seed} WHARF_CHAOS_SECONDS={}", time.as_secs());
    let mut rng = Rng::with_seed(seed);
    let mut open = OpenShop::open("10s").await;
    let goods = vec![
        open.product("pen", 250, 1_000_000).await,
        open.product("first edition", 9900, 2).await,
        open.product("bicycle", 45_000, 1000).await,
    ];
    open.shop.coupon("TEN-OFF", 10).await.unwrap();
    // Compiled before, so that services are replaced at once when chance has it.
    let mut versions = BTreeMap::new();
    for name in REPLACED {
        let wasm = open.host.folder.component(name).unwrap();
        let (other, before) = (marked(&wasm, "other"), open.shop.serving(name).await.unwrap());
        open.host.folder.install(name, &other).unwrap();
        open.shop.replaced(name, &before, PATIENCE).await.unwrap();
        versions.insert(name, [wasm, other]);
    }
    open.keep_compiled();
    let end = Instant::now() + time;
    let mut customers = JoinSet::new();
    for number in 0..CUSTOMERS {
        let person = open.person(&format!("customer{number}")).await;
        customers.spawn(customer(open.shop.clone(), person, goods.clone(), rng.u64(..), end));
    }
    let mut did = BTreeMap::<&str, usize>::new();
    let mut current = BTreeMap::<&str, usize>::new();
    let mut replaced = 0;
    // Whatever chance says, each has happened once.
    let mut what: Vec<usize> = (0..6).collect();
    rng.shuffle(&mut what);
    while Instant::now() < end || !what.is_empty() {
        let chosen = what.pop().unwrap_or_else(|| rng.usize(..6));
        let did_what = match chosen {
            0 | 1 => {
                open.host.kill().await.unwrap();
                open.host.again().await.unwrap();
                "kill -9"
            }
            2 | 3 => {
                let name = *rng.choice(&REPLACED).unwrap();
                let canary = if chosen == 3 {
                    json!({ "canary": { "steps": [50, 100], "interval": "1s", "minRequests": 2 } })
                } else {
                    json!({})
                };
                open.host.folder.set(&["services", name, "rollout"], canary).unwrap();
                let version = current.entry(name).or_default();
                let before = open.shop.serving(name).await.unwrap();
                open.host.folder.install(name, &versions[name][*version % 2]).unwrap();
                *version += 1;
                // One that was on trial may be taken back by this, and then nothing else serves.
                if chosen == 2 && open.shop.replaced(name, &before, Duration::from_secs(5)).await.is_ok() {
                    replaced += 1;
                }
                if chosen == 3 { "canary" } else { "hot reload" }
            }
            4 => {
                let fault = json!([{ "fault": { "abort": { "status": 503, "percent": 30 } } }]);
                open.host.folder.set(&["services", "bank", "filters"], fault).unwrap();
                "failing bank"
            }
            _ => {
                let fault = json!([{ "fault": { "delay": { "duration": "800ms", "percent": 60 } } }]);
                open.host.folder.set(&["services", "bank", "filters"], fault).unwrap();
                "slow bank"
            }
        };
        *did.entry(did_what).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(rng.u64(300..3000))).await;
        // The schedule of the sweep ticks once a minute; nobody may be there to be told.
        let _ = open.shop.tick("orders.sweep").await;
    }
    // Peace: whoever still asks gets an answer.
    open.host.folder.set(&["services", "bank", "filters"], json!([])).unwrap();
    let mut placed = Vec::new();
    loop {
        let ended = tokio::select! {
            ended = customers.join_next() => ended,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let _ = open.shop.tick("orders.sweep").await;
                continue;
            }
        };
        let Some(ended) = ended else { break };
        placed.extend(ended.unwrap());
    }
    assert!(did.len() >= 5, "{did:?}");
    let log = std::fs::read_to_string(open.host.folder.log()).unwrap();
    let trials = log.lines().filter(|line| line.contains("rollout: canary")).count();
    assert!(replaced + trials > 0, "no service was ever replaced: {did:?}");

    open.promises.wishes = placed.len();
    placed.iter().for_each(|(wish, placed)| open.promise(wish, placed));
    let books = open.books().await;
    let sent = books.orders.values().filter(|order| order.is_alive()).count();
    eprintln!("{did:?}; {replaced} replaced, {trials} on trial; {} orders, {sent} sent", books.orders.len());
    assert!(sent > 0 && books.orders.len() > sent, "nothing was tried: {books:?}");

    // Duplicates are harmless: everybody is told everything once more, and nothing changes.
    for (service, name, _) in open.shop.subscriptions().await.unwrap() {
        open.shop.replay(&service, &name).await.unwrap();
    }
    assert_eq!(open.books().await, books);
}

#[tokio::test]
async fn a_service_that_fails_leaves_those_that_do_not_need_it_untouched() {
    let mut open = OpenShop::open("2m").await;
    let (pen, ann) = (open.product("pen", 250, 100).await, open.person("ann").await);
    let before = open.wish(Mode::Sync, Kind::Plain, &pen, 1);
    assert_eq!(open.place(&ann, &before).await.status, 201);

    let payments = open.take_away("payments").await;

    // Who needs it says so, and undoes what was done.
    let wish = open.wish(Mode::Sync, Kind::Plain, &pen, 1);
    let placed = open.place(&ann, &wish).await;
    assert_eq!(placed.status, 503, "{}", placed.detail);
    assert!(placed.detail.starts_with("payment: the service is not available"), "{}", placed.detail);
    // Who does not need it does not notice, and is no slower for it.
    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(3) {
        let items = json!([{ "productId": pen.id, "quantity": 1 }]);
        let gateway = &open.shop.gateway;
        gateway.get("/api/products").expect(&[200]).await.unwrap();
        gateway.get(format!("/api/inventory/{}", pen.id)).expect(&[200]).await.unwrap();
        gateway.post("/api/pricing/quote", &json!({ "currency": "EUR", "items": items })).expect(&[200]).await.unwrap();
        gateway.get("/api/orders").token(&ann.token).expect(&[200]).await.unwrap();
        gateway.get("/api/notifications").token(&ann.token).expect(&[200]).await.unwrap();
        asked += 1;
    }
    assert!(asked >= 5, "{asked} rounds");
    // A saga begins without it, and waits; it goes on when there is somebody again.
    let wish = open.wish(Mode::Saga, Kind::Plain, &pen, 1);
    let waiting = open.place(&ann, &wish).await.order.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(open.order(&waiting).await["status"], "pending");
    open.host.folder.install("payments", &payments).unwrap();
    open.becomes(&waiting, "shipped").await;
    open.books().await;
}

#[tokio::test]
async fn what_one_service_tells_all_others_know_in_the_end() {
    let mut open = OpenShop::open("2m").await;
    let (pen, ann) = (open.product("pen", 250, 100).await, open.person("ann").await);
    // Those who only listen are away while things happen.
    let away = ["analytics", "notifications", "shipping"];
    let mut components = Vec::new();
    for name in away {
        components.push(open.take_away(name).await);
    }
    let mut ids = Vec::new();
    for _ in 0..5 {
        let wish = open.wish(Mode::Saga, Kind::Plain, &pen, 2);
        ids.push(open.place(&ann, &wish).await.order.unwrap());
    }
    for id in &ids {
        // As far as it gets without them.
        open.becomes(id, "confirmed").await;
    }
    let left = async |open: &OpenShop, service: &str| -> i64 {
        let all = open.shop.subscriptions().await.unwrap();
        all.iter().filter(|(of, ..)| of == service).map(|(.., left)| left).sum()
    };
    for service in away {
        eventually(&format!("{service} has something to be told"), async || {
            (left(&open, service).await >= 5).then_some(())
        })
        .await;
    }
    // The host is killed meanwhile, too: what they have to be told is on disk.
    open.host.kill().await.unwrap();
    open.host.again().await.unwrap();
    for (name, wasm) in away.iter().zip(&components) {
        open.host.folder.install(name, wasm).unwrap();
    }
    for id in &ids {
        open.becomes(id, "shipped").await;
    }
    // Everybody has the same numbers: that is what the books check.
    let books: Books = open.books().await;
    assert_eq!(books.summary["orders"], json!([{ "name": "shipped", "count": 5 }]));
    assert_eq!(books.messages.iter().filter(|(kind, _)| kind == "order.confirmed").count(), 5);
}

/// Requests that `clients` have had answered in this time, each asking again and again.
async fn answered(wharf: &Wharf, clients: usize, time: Duration) -> usize {
    let end = Instant::now() + time;
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        let (client, url) = (wharf.client().clone(), wharf.url("/versioned/slow?ms=200"));
        asking.spawn(async move {
            let mut answered = 0;
            while Instant::now() < end {
                client.get(&url).await.assert_status(200);
                answered += 1;
            }
            answered
        });
    }
    asking.join_all().await.into_iter().sum()
}

#[tokio::test]
async fn a_service_without_state_does_more_with_more_instances() {
    // Each does two things at a time, so ten a second, and lets the others wait.
    let one_more = async || {
        let route = "routes: [{ name: all, rules: [{ backendRefs: [{ service: versioned }] }] }]";
        let bulkhead = "bulkhead: { maxConcurrent: 2, maxPending: 100, maxWait: 20s }";
        Wharf::builder().plugin("versioned").gateway(route).service("versioned", bulkhead).start().await
    };
    let hosts = [one_more().await, one_more().await, one_more().await];
    let instances = |count: usize| {
        let hosts = hosts.iter().take(count).enumerate();
        let urls = hosts.map(|(number, host)| format!("{{ name: i{number}, url: \"{}\" }}", host.url("")));
        format!("instances: [{}]\n", urls.collect::<Vec<_>>().join(", "))
    };
    let gateway = Wharf::builder().service("versioned", &instances(1)).start().await;
    let mut counts = Vec::new();
    for count in 1..=hosts.len() {
        gateway.configure("services/versioned.yaml", &instances(count));
        eventually("the gateway knows them", async || {
            let all = gateway.admin_get("/api/services").await.json();
            let of_it = all["services"].as_array()?.iter().find(|one| one["name"] == "versioned")?;
            (of_it["instances"].as_array()?.len() == count).then_some(())
        })
        .await;
        counts.push(answered(&gateway, 12, Duration::from_secs(3)).await);
    }
    // Those that were waiting when the time was over are answered, too.
    assert!((20..=45).contains(&counts[0]), "{counts:?}");
    assert!(counts[1] * 10 >= counts[0] * 14 && counts[2] * 10 >= counts[0] * 19, "{counts:?}");
}
