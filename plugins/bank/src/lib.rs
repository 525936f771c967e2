//! A stand-in for a payment provider outside: it keeps charges, and no money. What a card says is in its token.
//!
//! ```text
//! POST /charges                {amount, currency, card, reference}, with Idempotency-Key → 201; 402 declined
//! POST /charges/{id}/capture   takes the money; 409 after a refund
//! POST /charges/{id}/refund    gives it back, or gives up what was authorized
//! GET  /charges?reference=&limit&after, /charges/{id}
//! GET  /health, /info
//! ```
//!
//! `tok_visa` works, `tok_declined` does not, `tok_insufficient` has 100.00 on it, `tok_flaky` is unavailable for the
//! first two tries of a charge, `tok_slow` takes three seconds. Every step can be repeated.

mod charge;
mod input;

use std::time::Duration;

use shop::{Info, Listing};
use wharf_sdk::{Error, Request, Response, Router, get, migrations, post, serve};

use input::Order;

migrations!("../migrations": "0001_create_charges.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    post("/charges", create),
    get("/charges", list),
    get("/charges/{id}", |request| Ok(Response::json(&charge::get(request.param("id"))?))),
    post("/charges/{id}/capture", |request| Ok(Response::json(&charge::capture(request.param("id"))?))),
    post("/charges/{id}/refund", |request| Ok(Response::json(&charge::refund(request.param("id"))?))),
    get("/health", |_| shop::health("charges")),
    get("/info", |_| INFO.show()),
]);
serve!(ROUTER);

static INFO: Info = shop::info! {
    publishes: [],
    handles: [],
};

/// How long `tok_slow` takes.
const SLOW: Duration = Duration::from_secs(3);

fn create(mut request: Request) -> Result<Response, Error> {
    let key = input::idempotency_key(&request)?;
    let order = Order::read(&mut request)?;
    if order.card == "tok_slow" {
        think();
    }
    let charge = charge::create(&key, &order)?;
    if let Some(reason) = charge.reason {
        return Err(Error::new(402, reason));
    }
    let location = request.url_for(&format!("/charges/{}", charge.id));
    Ok(Response::json(&charge).with_status(201).header("location", &location))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a guest sleeps by a timer of the host: it holds no thread and costs no CPU"
)]
fn think() {
    std::thread::sleep(SLOW);
}

fn list(request: Request) -> Result<Response, Error> {
    Ok(Response::json(&charge::page(request.query("reference").as_deref(), &Listing::read(&request)?)?))
}

#[cfg(test)]
mod tests;
