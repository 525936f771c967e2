//! What a basket costs.
//!
//! ```text
//! POST /quote                 {currency, items: [{productId, quantity}], coupon?, userId?} → lines and sums
//! GET  /coupons/{code}        admin
//! PUT  /coupons/{code}        admin: {percent | fixed, minimum?, validFrom?, validTo?, maxUses?, maxUsesPerUser?, active?}
//! GET  /rates                 admin
//! PUT  /rates/{from}/{to}     admin: {numerator, denominator}
//! GET  /quantity-discounts    admin
//! PUT  /quantity-discounts    admin: {tiers: [{quantity, percent}]}
//! GET  /health, /info
//! ```
//!
//! [`money`] is the arithmetic, [`basket`] how a price comes about; [`rules`] are kept in the database, [`products`] come
//! from the catalog, [`quote`] brings all of it together. [`events`] counts the uses of coupons.

mod basket;
mod caller;
mod events;
mod input;
mod money;
mod products;
mod quote;
mod rules;

use std::time::SystemTime;

use serde::Serialize;
use wharf_sdk::{Error, Request, Response, Router, get, post, put, serve, serve_events, sql};

use basket::Tier;
use caller::must_be_admin_or_service;
use events::EVENTS;
use input::{CouponInput, Question};
use rules::NamedRate;

wharf_sdk::migrations!("../migrations": "0001_create_rules.sql");

static ROUTER: Router = Router::new(&[
    post("/quote", price),
    get("/coupons/{code}", read_coupon),
    put("/coupons/{code}", write_coupon),
    get("/rates", read_rates),
    put("/rates/{from}/{to}", write_rate),
    get("/quantity-discounts", read_tiers),
    put("/quantity-discounts", write_tiers),
    get("/health", health),
    get("/info", |_| Ok(Response::json(&INFO))),
]);
serve!(ROUTER);
serve_events!(EVENTS);

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
    description: &'static str,
    publishes: &'static [&'static str],
    handles: &'static [&'static str],
}

static INFO: Info = Info {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    description: env!("CARGO_PKG_DESCRIPTION"),
    publishes: &[],
    handles: &["order.created", "order.cancelled"],
};

#[derive(Serialize)]
struct Rates {
    items: Vec<NamedRate>,
}

#[derive(Serialize)]
struct Tiers {
    tiers: Vec<Tier>,
}

fn price(mut request: Request) -> Result<Response, Error> {
    let question = Question::read(&mut request)?;
    Ok(Response::json(&quote::of(&question, SystemTime::now())?))
}

fn read_coupon(request: Request) -> Result<Response, Error> {
    must_be_admin_or_service(&request)?;
    coupon(&code(&request)?, 200)
}

fn write_coupon(mut request: Request) -> Result<Response, Error> {
    must_be_admin_or_service(&request)?;
    let code = code(&request)?;
    let new = rules::set_coupon(&code, &CouponInput::read(&mut request)?)?;
    coupon(&code, if new { 201 } else { 200 })
}

fn coupon(code: &str, status: u16) -> Result<Response, Error> {
    let coupon = rules::coupon(code)?.ok_or_else(|| Error::not_found("there is no such coupon"))?;
    Ok(Response::json(&coupon).with_status(status))
}

fn code(request: &Request) -> Result<String, Error> {
    input::code(request.param("code")).ok_or_else(|| {
        let detail = "3 to 32 letters, digits and `-`";
        Error::unprocessable(vec![input::wrong("code", detail)])
    })
}

fn read_rates(request: Request) -> Result<Response, Error> {
    must_be_admin_or_service(&request)?;
    Ok(Response::json(&Rates { items: rules::rates()? }))
}

fn write_rate(mut request: Request) -> Result<Response, Error> {
    must_be_admin_or_service(&request)?;
    let (from, to, rate) = input::rate(&mut request)?;
    rules::set_rate(&from, &to, rate, SystemTime::now())?;
    Ok(Response::json(&NamedRate { from, to, rate }))
}

fn read_tiers(request: Request) -> Result<Response, Error> {
    must_be_admin_or_service(&request)?;
    Ok(Response::json(&Tiers { tiers: rules::tiers()? }))
}

fn write_tiers(mut request: Request) -> Result<Response, Error> {
    must_be_admin_or_service(&request)?;
    rules::set_tiers(&input::tiers(&mut request)?)?;
    Ok(Response::json(&Tiers { tiers: rules::tiers()? }))
}

/// Healthy is who can reach its data.
fn health(_: Request) -> Result<Response, Error> {
    sql::first::<(i64,)>("SELECT count(*) FROM coupons WHERE code = ''", &[])?;
    Ok(Response::text("ok\n"))
}

#[cfg(test)]
mod tests;
