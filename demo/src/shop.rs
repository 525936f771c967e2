//! What people do in the shop, by its public routes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Trouble;
use crate::host::Host;
use crate::http::{Http, list, number, text};
use crate::wish::{Placed, Wish};

const PASSWORD: &str = "correct horse battery";
/// Between two tries of somebody who wants something.
const PAUSE: Duration = Duration::from_millis(200);

/// Who has a token.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user's id.
    pub id: String,
    /// The username.
    pub name: String,
    /// The token.
    pub token: String,
}

/// Something that is sold.
#[derive(Clone, Debug)]
pub struct Product {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: &'static str,
    /// Minor units of EUR.
    pub price: i64,
    /// How many there were in the beginning.
    pub stock: i64,
}

/// A shop, seen from its two listeners, and its administrator.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The public listener.
    pub gateway: Http,
    /// The operators' listener.
    pub admin: Http,
    /// The administrator.
    pub boss: Person,
}

impl Shop {
    /// Registers the administrator, who has to be the first.
    ///
    /// # Errors
    /// When the shop does not answer as it should.
    pub async fn open(host: &Host) -> Result<Self, Trouble> {
        let (gateway, admin) = (host.gateway(), host.admin());
        let boss = register(&gateway, "admin").await?;
        Ok(Self { gateway, admin, boss })
    }

    /// Registers somebody, who is logged in then.
    ///
    /// # Errors
    /// When the shop does not answer as it should.
    pub async fn person(&self, name: &str) -> Result<Person, Trouble> {
        register(&self.gateway, name).await
    }

    /// Puts something new into the shelves.
    ///
    /// # Errors
    /// When the shop does not answer as it should.
    pub async fn product(&self, name: &'static str, price: i64, stock: i64) -> Result<Product, Trouble> {
        let sku = format!("{}-1", name.to_uppercase().replace(' ', "-"));
        let price_in_euros = json!({ "amount": price, "currency": "EUR" });
        let body = json!({ "sku": sku, "name": name, "category": "demo", "price": price_in_euros });
        let made = self.gateway.post("/api/products", &body).token(&self.boss.token).expect(&[201]).await?;
        let id = text(&made, "id");
        let shelf = json!({ "available": stock });
        self.gateway.put(format!("/api/inventory/{id}"), &shelf).token(&self.boss.token).expect(&[200]).await?;
        Ok(Product { id, name, price, stock })
    }

    /// A coupon of so many percent.
    ///
    /// # Errors
    /// When the shop does not answer as it should.
    pub async fn coupon(&self, code: &str, percent: i64) -> Result<(), Trouble> {
        let ask = self.gateway.put(format!("/api/pricing/coupons/{code}"), &json!({ "percent": percent }));
        ask.token(&self.boss.token).expect(&[200, 201]).await.map(drop)
    }

    /// How many of another currency one of EUR is.
    ///
    /// # Errors
    /// When the shop does not answer as it should.
    pub async fn rate(&self, to: &str, numerator: i64, denominator: i64) -> Result<(), Trouble> {
        let rate = json!({ "numerator": numerator, "denominator": denominator });
        let ask = self.gateway.put(format!("/api/pricing/rates/EUR/{to}"), &rate);
        ask.token(&self.boss.token).expect(&[200]).await.map(drop)
    }

    /// Asks for an order until there is an answer that counts.
    ///
    /// # Errors
    /// When there was none for so long: what came last.
    pub async fn place(&self, person: &Person, wish: &Wish, patience: Duration) -> Result<Placed, Trouble> {
        let began = Instant::now();
        let mut tries = 0_u32;
        loop {
            tries = tries.saturating_add(1);
            let ask = self.gateway.post(wish.path(), &wish.body()).token(&person.token);
            let trouble = match ask.header("idempotency-key", wish.key.as_str()).send().await {
                Ok(answer) => match Placed::of(&answer, tries, began) {
                    Some(placed) => return Ok(placed),
                    None => answer.unexpected(),
                },
                Err(trouble) => trouble,
            };
            if began.elapsed() > patience {
                return Err(trouble);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// GET with the administrator's token.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn read(&self, path: &str) -> Result<Value, Trouble> {
        self.gateway.get(path).token(&self.boss.token).expect(&[200]).await
    }

    /// All pages of a list, with the administrator's token.
    ///
    /// # Errors
    /// When an answer is not 200.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>, Trouble> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.read(&format!("{path}?limit=100{after}")).await?;
            all.extend(list(&page, "items").iter().cloned());
            match page.get("next").and_then(Value::as_str) {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(all),
            }
        }
    }

    /// The digest of the version that serves; empty if none does.
    ///
    /// # Errors
    /// When the host does not say.
    pub async fn serving(&self, service: &str) -> Result<String, Trouble> {
        let all = self.admin.get("/api/services").expect(&[200]).await?;
        let of_it = list(&all, "services").iter().find(|one| text(one, "name") == service);
        let versions = of_it.map(|one| list(one, "versions")).unwrap_or_default();
        let serving = versions.iter().find(|version| text(version, "state") == "serving");
        Ok(serving.map(|version| text(version, "digest").chars().take(8).collect()).unwrap_or_default())
    }

    /// Waits until another version than this one serves.
    ///
    /// # Errors
    /// When none does in time.
    pub async fn replaced(&self, service: &str, before: &str, patience: Duration) -> Result<String, Trouble> {
        let began = Instant::now();
        loop {
            let now = self.serving(service).await?;
            if !now.is_empty() && now != before {
                return Ok(now);
            }
            if began.elapsed() > patience {
                return Err(Trouble::Host(format!("no new version of {service} serves after {patience:?}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Publishes on a schedule's topic, so that nobody has to wait for its next minute.
    ///
    /// # Errors
    /// When the host does not take it.
    pub async fn tick(&self, topic: &str) -> Result<(), Trouble> {
        let event = json!({ "topic": topic, "data": "{}" });
        self.admin.post("/api/events", &event).expect(&[200, 201]).await.map(drop)
    }

    /// Has a subscription be told everything once more, from the beginning.
    ///
    /// # Errors
    /// When the host does not do it.
    pub async fn replay(&self, service: &str, subscription: &str) -> Result<(), Trouble> {
        let path = format!("/api/subscriptions/{service}/{}/seek", encoded(subscription));
        self.admin.post(path, &json!({ "from": "earliest" })).expect(&[200]).await.map(drop)
    }

    /// All subscriptions, and for each what it still has to be told.
    ///
    /// # Errors
    /// When the host does not say.
    pub async fn subscriptions(&self) -> Result<Vec<(String, String, i64)>, Trouble> {
        let all = self.admin.get("/api/subscriptions").expect(&[200]).await?;
        let left = |one: &Value| number(one, "lag") + number(one, "inFlight") + number(one, "waiting");
        let subscriptions = list(&all, "subscriptions").iter();
        Ok(subscriptions.map(|one| (text(one, "service"), text(one, "name"), left(one))).collect())
    }
}

async fn register(gateway: &Http, name: &str) -> Result<Person, Trouble> {
    let body = json!({
        "username": name, "email": format!("{name}@example.org"), "password": PASSWORD, "name": name,
    });
    let user = gateway.post("/api/users", &body).expect(&[201]).await?;
    let body = json!({ "username": name, "password": PASSWORD });
    let login = gateway.post("/api/users/login", &body).expect(&[200]).await?;
    Ok(Person { id: text(&user, "id"), name: name.to_owned(), token: text(&login, "token") })
}

/// A name as a segment of a path.
fn encoded(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}
