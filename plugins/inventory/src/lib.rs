//! What is in stock, and what is reserved.
//!
//! ```text
//! GET  /{product}                        {productId, available, reserved, committed}
//! PUT  /{product}                        admin: {available}
//! POST /{product}/adjust                 admin: {delta, reason}; once for each Idempotency-Key
//! GET  /?below&after&limit               admin: all, or those of which there is little
//! GET  /movements?product&after&limit    admin: what came in and went out by hand
//! POST /reservations                     inside: {orderId, items}, all or nothing: 201, or 409 with what is missing
//! GET  /reservations/{order}             inside
//! POST /reservations/{order}/commit      inside: what is reserved has left
//! POST /reservations/{order}/release     inside: gives back what the order holds
//! GET  /health, /info
//! ```
//!
//! What inside means: another service, or an admin. [`stock`] counts, [`reservation`] says what orders hold, [`events`]
//! does the same for sagas, [`input`] says what may come; here is only HTTP.

mod events;
mod input;
mod reservation;
mod stock;

use std::time::SystemTime;

use serde::Serialize;
use shop::{Caller, Info, Listing};
use wharf_sdk::{Error, Request, Response, Router, get, log, post, put, serve, serve_events, sql};

use events::EVENTS;
use input::{Adjustment, Count, Wish};
use reservation::{Missing, Outcome, Reservation, Status};

wharf_sdk::migrations!("../migrations": "0001_create_stock.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    get("/", list),
    get("/health", |_| shop::health("stock")),
    get("/info", |_| INFO.show()),
    get("/movements", movements),
    post("/reservations", reserve),
    get("/reservations/{order}", reservation),
    post("/reservations/{order}/commit", commit),
    post("/reservations/{order}/release", release),
    get("/{product}", read),
    put("/{product}", count),
    post("/{product}/adjust", adjust),
]);
serve!(ROUTER);
serve_events!(EVENTS);

static INFO: Info = shop::info! {
    publishes: ["inventory.reserved", "inventory.rejected"],
    handles: ["order.created", "order.confirmed", "order.cancelled"],
};

/// 409 that says what is missing, for programs too.
#[derive(Serialize)]
struct Short {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    missing: Vec<Missing>,
}

fn list(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    Ok(Response::json(&stock::page(input::below(&request)?, &Listing::read(&request)?)?))
}

fn movements(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let product = request.query("product").unwrap_or_default();
    Ok(Response::json(&stock::movements(&product, &Listing::read(&request)?)?))
}

fn read(request: Request) -> Result<Response, Error> {
    Ok(Response::json(&stock::get(input::product(&request)?)?))
}

fn count(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let Count { available } = Count::read(&mut request)?;
    Ok(Response::json(&stock::set(input::product(&request)?, available, SystemTime::now())?))
}

fn adjust(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let Adjustment { delta, reason, key } = Adjustment::read(&mut request)?;
    let product = input::product(&request)?;
    Ok(Response::json(&stock::adjust(product, delta, &reason, key.as_deref(), SystemTime::now())?))
}

fn reserve(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let (order, items) = Wish::read(&mut request)?;
    match sql::transaction(|tx| reservation::reserve(tx, &order, &items, SystemTime::now()))? {
        // Who asks again gets the answer of the first time.
        Outcome::Reserved(made) | Outcome::Known(made) => {
            let location = request.url_for(&format!("/reservations/{order}"));
            Ok(Response::json(&made).with_status(201).header("location", &location))
        }
        Outcome::Short(missing) => Ok(short(missing)),
        Outcome::Refused(there) => Err(Error::conflict(match there.status {
            Status::Cancelled => "the order is cancelled",
            Status::Released => "the reservation of this order was released",
            Status::Rejected => "the order was told that there is too little",
            Status::Reserved | Status::Committed => "the order has reserved other items",
        })),
    }
}

fn short(missing: Vec<Missing>) -> Response {
    let one = |m: &Missing| format!("{} of {} are wanted, {} available", m.requested, m.product_id, m.available);
    let detail = missing.iter().map(one).collect::<Vec<_>>().join("; ");
    log::info(format_args!("too little: {detail}"));
    let problem = Short { r#type: "about:blank", title: "Conflict", status: 409, detail, missing };
    match serde_json::to_vec(&problem) {
        Ok(bytes) => Response::bytes("application/problem+json", bytes).with_status(409),
        Err(error) => Error::internal(error).into_response(),
    }
}

fn reservation(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    known(reservation::get(request.param("order"))?)
}

fn commit(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    match sql::transaction(|tx| reservation::commit(tx, request.param("order"), SystemTime::now()))? {
        Some(there) if there.status != Status::Committed => {
            Err(Error::conflict("the order holds nothing any more that could leave"))
        }
        there => known(there),
    }
}

fn release(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    known(sql::transaction(|tx| reservation::release(tx, request.param("order"), SystemTime::now()))?)
}

fn known(reservation: Option<Reservation>) -> Result<Response, Error> {
    let reservation = reservation.ok_or_else(|| Error::not_found("this order has no reservation"))?;
    Ok(Response::json(&reservation))
}

#[cfg(test)]
mod tests;
