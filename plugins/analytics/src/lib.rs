//! What happened in the shop, counted: projections of its events.
//!
//! ```text
//! GET  /summary                 users by day, orders by status, payments, revenue by currency
//! GET  /revenue?from=&to=       by day and currency, both days included
//! GET  /products/top?limit=     what is sold most
//! POST /reset                   forgets everything; a replay of the events makes it again
//! GET  /health, /info
//! ```
//!
//! It asks nobody and owns nothing: all of it is read of events ([`events`]) and can be thrown away. The numbers
//! ([`numbers`]) are for administrators and other services.

mod events;
mod numbers;

use shop::{Caller, Info, Listing, Page, unprocessable};
use wharf_sdk::{Error, Request, Response, Router, get, log, post, serve, serve_events, sql};

use events::EVENTS;

wharf_sdk::migrations!("../migrations": "0001_projections.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    get("/summary", summary),
    get("/revenue", revenue),
    get("/products/top", top_products),
    post("/reset", reset),
    get("/health", |_| shop::health("orders")),
    get("/info", |_| INFO.show()),
]);
serve!(ROUTER);
serve_events!(EVENTS);

static INFO: Info = shop::info! {
    publishes: [],
    handles: ["user.*", "order.*", "payment.*"],
};

/// Days that are answered at once, at most.
const LONGEST_SPAN: i64 = 366;

fn summary(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    Ok(Response::json(&numbers::summary()?))
}

fn revenue(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let today: Option<(String, String)> = sql::first("SELECT date('now', '-30 days'), date('now')", &[])?;
    let (month_ago, today) = today.unwrap_or_default();
    let from = request.query("from").unwrap_or(month_ago);
    let to = request.query("to").unwrap_or(today);
    let both = events::is_day(&from) && events::is_day(&to);
    match if both { numbers::span(&from, &to)? } else { None } {
        Some(0..LONGEST_SPAN) => Ok(Response::json(&Page::whole(numbers::revenue(&from, &to)?))),
        _ => {
            let detail = format!("`from` and `to` are to be days like 2026-01-31, at most {LONGEST_SPAN} of them");
            Err(unprocessable("from", detail))
        }
    }
}

fn top_products(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let Listing { limit, .. } = Listing::read(&request)?;
    Ok(Response::json(&Page::whole(numbers::top_products(limit)?)))
}

fn reset(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    numbers::reset()?;
    log::info("all numbers are forgotten; a replay makes them again");
    Ok(Response::empty(204))
}

#[cfg(test)]
mod tests;
