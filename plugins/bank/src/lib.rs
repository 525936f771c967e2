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

use serde::Serialize;
use wharf_sdk::{Error, FieldError, Request, Response, Router, get, migrations, post, serve, sql};

use charge::Charge;
use input::Order;

migrations!("../migrations": "0001_create_charges.sql");

static ROUTER: Router = Router::new(&[
    post("/charges", create),
    get("/charges", list),
    get("/charges/{id}", |request| Ok(Response::json(&charge::get(request.param("id"))?))),
    post("/charges/{id}/capture", |request| Ok(Response::json(&charge::capture(request.param("id"))?))),
    post("/charges/{id}/refund", |request| Ok(Response::json(&charge::refund(request.param("id"))?))),
    get("/health", health),
    get("/info", |_| Ok(Response::json(&INFO))),
]);
serve!(ROUTER);

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
    description: &'static str,
    publishes: [&'static str; 0],
    handles: [&'static str; 0],
}

static INFO: Info = Info {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    description: env!("CARGO_PKG_DESCRIPTION"),
    publishes: [],
    handles: [],
};

#[derive(Serialize)]
struct Page {
    items: Vec<Charge>,
    /// Give it back as `after` to get what comes next.
    next: Option<String>,
}

/// How long `tok_slow` takes.
const SLOW: Duration = Duration::from_secs(3);
/// Charges on one page, unless the client asks for fewer or more.
const PAGE: u32 = 20;
/// The most that it may ask for.
const MOST: u32 = 100;

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
    let limit = request.query("limit").map_or(Ok(PAGE), |text| text.parse::<u32>());
    let limit = limit.ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| {
        let detail = format!("is a number from 1 to {MOST}");
        Error::unprocessable(vec![FieldError { field: "limit".to_owned(), detail }])
    })?;
    let after = request.query("after").unwrap_or_default();
    let (items, next) = charge::page(request.query("reference").as_deref(), &after, limit)?;
    Ok(Response::json(&Page { items, next }))
}

/// Healthy is who can reach its data.
fn health(_: Request) -> Result<Response, Error> {
    sql::first::<(i64,)>("SELECT count(*) FROM (SELECT 1 FROM charges LIMIT 1)", &[])?;
    Ok(Response::text("ok\n"))
}

#[cfg(test)]
mod tests;
