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

mod caller;
mod events;
mod numbers;

use serde::Serialize;
use serde_json::json;
use wharf_sdk::{Error, FieldError, Request, Response, Router, get, log, post, serve, serve_events, sql};

use caller::check_admin;
use events::EVENTS;

wharf_sdk::migrations!("../migrations": "0001_projections.sql");

static ROUTER: Router = Router::new(&[
    get("/summary", summary),
    get("/revenue", revenue),
    get("/products/top", top_products),
    post("/reset", reset),
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
    handles: &["user.*", "order.*", "payment.*"],
};

/// Days that are answered at once, at most.
const LONGEST_SPAN: i64 = 366;

fn summary(request: Request) -> Result<Response, Error> {
    check_admin(&request)?;
    Ok(Response::json(&numbers::summary()?))
}

fn revenue(request: Request) -> Result<Response, Error> {
    check_admin(&request)?;
    let today: Option<(String, String)> = sql::first("SELECT date('now', '-30 days'), date('now')", &[])?;
    let (month_ago, today) = today.unwrap_or_default();
    let from = request.query("from").unwrap_or(month_ago);
    let to = request.query("to").unwrap_or(today);
    let both = events::is_day(&from) && events::is_day(&to);
    match if both { numbers::span(&from, &to)? } else { None } {
        Some(0..LONGEST_SPAN) => Ok(Response::json(&json!({ "items": numbers::revenue(&from, &to)?, "next": null }))),
        _ => {
            let detail = format!("`from` and `to` are to be days like 2026-01-31, at most {LONGEST_SPAN} of them");
            Err(Error::unprocessable(vec![FieldError { field: "from".to_owned(), detail }]))
        }
    }
}

fn top_products(request: Request) -> Result<Response, Error> {
    check_admin(&request)?;
    let limit = request.query_or("limit", 20)?;
    if !(1..=100).contains(&limit) {
        return Err(Error::invalid("limit", "from 1 to 100"));
    }
    Ok(Response::json(&json!({ "items": numbers::top_products(limit)?, "next": null })))
}

fn reset(request: Request) -> Result<Response, Error> {
    check_admin(&request)?;
    numbers::reset()?;
    log::info("all numbers are forgotten; a replay makes them again");
    Ok(Response::empty(204))
}

/// Healthy is who can reach its data.
fn health(_: Request) -> Result<Response, Error> {
    sql::first::<(i64,)>("SELECT 1 FROM orders LIMIT 1", &[])?;
    Ok(Response::text("ok\n"))
}

#[cfg(test)]
mod tests;
