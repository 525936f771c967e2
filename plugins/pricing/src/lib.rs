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
mod events;
mod input;
mod money;
mod products;
mod quote;
mod rules;

use std::time::SystemTime;

use serde::Serialize;
use shop::{Caller, Info, unprocessable};
use wharf_sdk::{Error, Request, Response, Router, get, post, put, serve, serve_events};

use basket::Tier;
use events::EVENTS;
use input::{CouponInput, Question};
use rules::NamedRate;

wharf_sdk::migrations!("../migrations": "0001_create_rules.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    post("/quote", price),
    get("/coupons/{code}", read_coupon),
    put("/coupons/{code}", write_coupon),
    get("/rates", read_rates),
    put("/rates/{from}/{to}", write_rate),
    get("/quantity-discounts", read_tiers),
    put("/quantity-discounts", write_tiers),
    get("/health", |_| shop::health("coupons")),
    get("/info", |_| INFO.show()),
]);
serve!(ROUTER);
serve_events!(EVENTS);

static INFO: Info = shop::info! {
    publishes: [],
    handles: ["order.created", "order.cancelled"],
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
    Caller::of(&request).check_inside()?;
    coupon(&code(&request)?, 200)
}

fn write_coupon(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let code = code(&request)?;
    let new = rules::set_coupon(&code, &CouponInput::read(&mut request)?)?;
    coupon(&code, if new { 201 } else { 200 })
}

fn coupon(code: &str, status: u16) -> Result<Response, Error> {
    let coupon = rules::coupon(code)?.ok_or_else(|| Error::not_found("there is no such coupon"))?;
    Ok(Response::json(&coupon).with_status(status))
}

fn code(request: &Request) -> Result<String, Error> {
    let code = input::code(request.param("code"));
    code.ok_or_else(|| unprocessable("code", "3 to 32 letters, digits and `-`"))
}

fn read_rates(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    Ok(Response::json(&Rates { items: rules::rates()? }))
}

fn write_rate(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let (from, to, rate) = input::rate(&mut request)?;
    rules::set_rate(&from, &to, rate, SystemTime::now())?;
    Ok(Response::json(&NamedRate { from, to, rate }))
}

fn read_tiers(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    Ok(Response::json(&Tiers { tiers: rules::tiers()? }))
}

fn write_tiers(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    rules::set_tiers(&input::tiers(&mut request)?)?;
    Ok(Response::json(&Tiers { tiers: rules::tiers()? }))
}

#[cfg(test)]
mod tests;
