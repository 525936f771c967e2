//! The demonstration: a day in the shop, from opening to the books.
//!
//! ```text
//! opening    administrator, customers, goods, coupons
//! morning    a quarter of the orders, nothing special
//! noon       the bank fails one request in ten and is slow: a fault filter, set while the host runs
//! afternoon  payments is replaced by another version in the middle
//! evening    the host is killed in the middle and started again
//! closing    somebody changes their mind, the carrier delivers; then the books, twice
//! ```

mod closing;
mod told;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Trouble;
use crate::checks::{Check, Promises};
use crate::folder::{SERVICES, marked};
use crate::host::Host;
use crate::plan::{self, COUPON, GOODS, PEOPLE, RARE};
use crate::shop::{Person, Product, Shop};
use crate::story::Story;
use crate::wish::{Mode, Placed, Wish};

/// Customers who ask at the same time.
const AT_ONCE: usize = 4;
/// How long a customer goes on asking: a start of the host is in it.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long an order may be pending here: the day is short. A workflow whose host was killed is cancelled by that.
const SAGA_TIMEOUT: &str = "10s";
/// Between two looks for what has been pending for too long, while answers are waited for.
const SWEEP: Duration = Duration::from_secs(2);

/// What a day is made of.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which orders.
    pub seed: u64,
    /// How many.
    pub orders: usize,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    /// What was looked at.
    pub checks: Vec<Check>,
    /// A token of the administrator.
    pub token: String,
}

/// A day so far.
struct Day<'a> {
    host: &'a mut Host,
    story: &'a mut Story,
    shop: Shop,
    people: Vec<Person>,
    products: Vec<Product>,
    promises: Promises,
    placed: Vec<(Wish, Placed)>,
}

/// What happens when half of the orders are answered.
enum Midway {
    Nothing,
    Replace(&'static str),
    Kill,
}

/// Before the host is started: what is different from the repository's configuration.
///
/// # Errors
/// When it cannot be written.
pub fn prepare(folder: &mut crate::folder::Folder) -> Result<(), Trouble> {
    folder.set(&["services", "orders", "config", "saga-timeout"], json!(SAGA_TIMEOUT))
}

/// Runs it on a host that has just been started.
///
/// # Errors
/// When the shop does not do what it is there for. What it does wrong stands in the checks.
pub async fn run(host: &mut Host, story: &mut Story, settings: Settings) -> Result<Outcome, Trouble> {
    let mut day = Day::open(host, story, settings).await?;
    let wishes = plan::wishes(settings.seed, settings.orders, &day.products);
    day.promises.wishes = wishes.len();
    let mut parts = wishes.chunks(settings.orders.div_ceil(4).max(1)).map(<[_]>::to_vec);

    day.story.chapter("Morning: orders in both ways, with all that can be wrong with them");
    day.customers(parts.next().unwrap_or_default(), Midway::Nothing).await?;

    day.story.chapter("Noon: the bank fails one request in ten, and is slow");
    let fault = json!([{ "fault": {
        "abort": { "status": 503, "percent": 10 }, "delay": { "duration": "300ms", "percent": 50 },
    } }]);
    day.host.folder.set(&["services", "bank", "filters"], fault)?;
    day.customers(parts.next().unwrap_or_default(), Midway::Nothing).await?;
    day.host.folder.set(&["services", "bank", "filters"], json!([]))?;

    day.story.chapter("Afternoon: payments gets another version while orders come in");
    day.customers(parts.next().unwrap_or_default(), Midway::Replace("payments")).await?;

    day.story.chapter("Evening: somebody pulls the plug (kill -9) while orders come in");
    day.customers(parts.next().unwrap_or_default(), Midway::Kill).await?;

    day.story.chapter("Closing");
    day.change_of_mind().await?;
    let checks = day.close().await?;
    Ok(Outcome { checks, token: day.shop.boss.token.clone() })
}

impl<'a> Day<'a> {
    async fn open(host: &'a mut Host, story: &'a mut Story, settings: Settings) -> Result<Self, Trouble> {
        story.chapter("The shop opens");
        story.line(&format!("{} services at {}", SERVICES.len(), host.gateway().url("/api/")));
        story.progress("people and goods");
        let shop = Shop::open(host).await?;
        let mut people = Vec::new();
        for name in PEOPLE {
            people.push(shop.person(name).await?);
        }
        let plenty = i64::try_from(settings.orders).unwrap_or(i64::MAX / 8).saturating_mul(4).saturating_add(100);
        let mut products = Vec::new();
        for (name, price, is_rare) in GOODS {
            products.push(shop.product(name, price, if is_rare { RARE } else { plenty }).await?);
        }
        shop.coupon(COUPON, 10).await?;
        shop.rate("USD", 27, 25).await?;
        story.line(&format!(
            "an administrator, {} customers, {} products, the coupon {COUPON}, EUR and USD",
            people.len(),
            products.len()
        ));
        story.line(&format!("see {}", host.gateway().url("/api/products")));
        let promises = Promises::of(&products);
        Ok(Self { host, story, shop, people, products, promises, placed: Vec::new() })
    }

    /// All of them ask until they have an answer.
    async fn customers(&mut self, wishes: Vec<(usize, Wish)>, midway: Midway) -> Result<(), Trouble> {
        let (began, count, from) = (Instant::now(), wishes.len(), self.placed.len());
        let mut left = wishes.into_iter();
        let mut asking = JoinSet::new();
        let mut midway = Some(midway);
        loop {
            while asking.len() < AT_ONCE
                && let Some((who, wish)) = left.next()
            {
                let Some(person) = self.people.get(who).cloned() else { continue };
                let shop = self.shop.clone();
                asking.spawn(async move { shop.place(&person, &wish, PATIENCE).await.map(|placed| (wish, placed)) });
            }
            if self.placed.len().saturating_sub(from) >= count / 2
                && let Some(midway) = midway.take()
            {
                self.midway(midway).await?;
            }
            let answered = tokio::select! {
                answered = asking.join_next() => answered,
                // The schedule of the sweep ticks once a minute, and a day here is shorter than many of them. While the
                // host is away nobody is there to be told.
                () = tokio::time::sleep(SWEEP) => {
                    let _ = self.shop.tick("orders.sweep").await;
                    continue;
                }
            };
            let Some(answered) = answered else { break };
            let answered = answered.map_err(|error| Trouble::Host(format!("a customer: {error}")))?;
            let (wish, placed) = answered?;
            self.promise(&wish, &placed);
            self.placed.push((wish, placed));
            let done = self.placed.len().saturating_sub(from);
            self.story.progress(&format!("{done} of {count} orders are answered"));
        }
        let part = self.placed.get(from..).unwrap_or_default();
        let lines = told::part(part, began.elapsed());
        lines.iter().for_each(|line| self.story.line(line));
        Ok(())
    }

    /// What the books have to know of it.
    fn promise(&mut self, wish: &Wish, placed: &Placed) {
        let Some(order) = &placed.order else { return };
        self.promises.orders.insert(order.clone(), wish.kind.is_hopeless());
        if wish.mode == Mode::Sync && placed.status == 201 {
            self.promises.sent.insert(order.clone());
        }
    }

    async fn midway(&mut self, midway: Midway) -> Result<(), Trouble> {
        match midway {
            Midway::Nothing => Ok(()),
            Midway::Replace(service) => {
                let wasm = self.host.folder.component(service)?;
                let began = Instant::now();
                let before = self.shop.serving(service).await?;
                self.host.folder.install(service, &marked(&wasm, "another version"))?;
                self.story.progress("a new version is compiled beside the old one, which serves");
                let now = self.shop.replaced(service, &before, PATIENCE).await?;
                let took = told::span(began.elapsed());
                self.story.line(&format!("{service}: version {before} is replaced by {now} after {took}"));
                Ok(())
            }
            Midway::Kill => {
                self.host.kill().await?;
                self.story.line("the host is gone, with all that it was doing");
                let began = Instant::now();
                self.host.again().await?;
                self.story.line(&format!("it serves again after {}", told::span(began.elapsed())));
                Ok(())
            }
        }
    }

    /// Orders that are cancelled by their customers at once, or too late; some others are delivered.
    async fn change_of_mind(&mut self) -> Result<(), Trouble> {
        let mut answers = BTreeMap::<u16, usize>::new();
        let cheap = self.products.first().map(|product| product.id.clone()).unwrap_or_default();
        for (number, person) in self.people.clone().into_iter().enumerate() {
            let wish = Wish {
                key: format!("changed-{number}"),
                mode: Mode::Saga,
                kind: crate::wish::Kind::Plain,
                items: vec![(cheap.clone(), 1)],
                currency: "EUR",
                coupon: None,
            };
            self.promises.wishes = self.promises.wishes.saturating_add(1);
            let placed = self.shop.place(&person, &wish, PATIENCE).await?;
            self.promise(&wish, &placed);
            if let Some(order) = &placed.order {
                let cancel = self.shop.gateway.post(format!("/api/orders/{order}/cancel"), &Value::Null);
                *answers.entry(cancel.token(&person.token).send().await?.status).or_default() += 1;
            }
        }
        let in_time = answers.get(&200).copied().unwrap_or_default();
        let too_late = answers.get(&409).copied().unwrap_or_default();
        self.story.line(&format!("{} change their mind: {in_time} in time, {too_late} too late", self.people.len()));
        if let Some((status, _)) = answers.iter().find(|(status, _)| !matches!(**status, 200 | 409)) {
            return Err(Trouble::Host(format!("an order that is to be cancelled is answered {status}")));
        }
        Ok(())
    }
}
