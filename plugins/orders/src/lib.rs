//! Orders of the shop, as a workflow and as a saga.
//!
//! ```text
//! POST /                    an order: 202, and the rest by events; with ?mode=sync 201 when all is done
//! GET  /?userId&status&after&limit   the newest first
//! GET  /{id}, /{id}/history
//! POST /{id}/cancel         while it is pending or confirmed
//! POST /rebuild?resume      makes the table for questions anew, of the events (administrators)
//! GET  /health, /info
//! ```
//!
//! An order is what happened to it ([`order`]); what may happen is decided in [`commands`]. Orders are made by [`place`];
//! [`workflow`] takes one through all steps by calls, [`handlers`] does by events. Nothing else is known here of other
//! services than what stands in [`partners`].

mod announce;
mod caller;
mod commands;
mod handlers;
mod input;
mod order;
mod partners;
mod place;
mod requests;
mod table;
mod workflow;

use serde::Serialize;
use serde_json::json;
use wharf_sdk::{Error, Request, Response, Router, es, get, post, serve, serve_events, sql};

use caller::Caller;
use handlers::EVENTS;
use order::{Happened, Order, Status};

wharf_sdk::migrations!("../migrations": "0001_events.sql", "0002_orders.sql");

static ROUTER: Router = Router::new(&[
    post("/", place::place),
    get("/", list),
    get("/health", health),
    get("/info", |_| Ok(Response::json(&INFO))),
    post("/rebuild", rebuild),
    get("/{id}", read),
    get("/{id}/history", history),
    post("/{id}/cancel", cancel),
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
    publishes: &["order.created", "order.confirmed", "order.cancelled", "order.shipped", "order.delivered"],
    handles: &[
        "inventory.rejected",
        "payment.completed",
        "payment.failed",
        "shipping.scheduled",
        "shipping.delivered",
        "orders.sweep",
    ],
};

const PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

/// Users see their own orders; administrators and other services those of everybody.
fn list(request: Request) -> Result<Response, Error> {
    let limit = request.query_or("limit", PAGE)?;
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Error::invalid("limit", format!("from 1 to {LARGEST_PAGE}")));
    }
    let status = request.query("status");
    let named = |name: &String| Status::ALL.into_iter().find(|status| status.name() == name);
    let names = || Error::invalid("status", format!("one of {}", Status::ALL.map(Status::name).join(", ")));
    let status = status.map(|name| named(&name).ok_or_else(names)).transpose()?;
    let caller = Caller::of(&request);
    let user = match (request.query("userId"), &caller) {
        (None, Caller::User { id, admin: false }) => Some(id.clone()),
        (user, _) => user,
    };
    if user.as_ref().is_some_and(|user| !caller.may_act_for(user)) {
        return Err(Error::new(403, "these are the orders of somebody else"));
    }
    let (items, next) = table::page(table::Wanted { user, status, after: request.query("after"), limit })?;
    Ok(Response::json(&json!({ "items": items, "next": next })))
}

/// An order that the caller may see. To anybody else there is none.
fn seen(request: &Request) -> Result<es::Loaded<Order>, Error> {
    let order = commands::look(request.param("id"))?;
    if !Caller::of(request).may_act_for(&order.state.draft.user_id) {
        return Err(commands::Refusal::Unknown.into());
    }
    Ok(order)
}

/// Made of its events: what a client is shown here is always what happened.
fn read(request: Request) -> Result<Response, Error> {
    let order = seen(&request)?;
    Ok(Response::json(&order.state.view(order.version)))
}

fn history(request: Request) -> Result<Response, Error> {
    seen(&request)?;
    let events = commands::history(request.param("id"))?;
    let shown = |event: &es::Recorded| {
        let (what, more) = match event.read()? {
            Happened::Created { order, .. } => ("created", json!({ "total": order.total, "currency": order.currency })),
            Happened::Confirmed { payment_id } => ("confirmed", json!({ "paymentId": payment_id })),
            Happened::Cancelled { reason } => ("cancelled", json!({ "reason": reason })),
            Happened::Shipped { tracking } => ("shipped", json!({ "trackingNumber": tracking })),
            Happened::Delivered => ("delivered", json!({})),
        };
        Ok(json!({ "version": event.version, "event": what, "at": event.at, "data": more }))
    };
    let items = events.iter().map(shown).collect::<Result<Vec<_>, es::EsError>>()?;
    Ok(Response::json(&json!({ "items": items, "next": null })))
}

fn cancel(request: Request) -> Result<Response, Error> {
    let id = seen(&request)?.state.draft.id;
    let by = match Caller::of(&request) {
        Caller::Inside => "it was cancelled by another service",
        Caller::User { .. } => "it was cancelled by the customer",
    };
    let order = commands::cancel(&id, &[Status::Pending, Status::Confirmed], by)?;
    match order.state.status {
        Status::Cancelled => Ok(Response::json(&order.state.view(order.version))),
        status => Err(Error::conflict(format!("the order is {} already", status.name()))),
    }
}

fn rebuild(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_admin()?;
    let resume = request.query_or("resume", false)?;
    let (events, complete) = table::rebuild(resume, table::MOST_PIECES)?;
    Ok(Response::json(&json!({ "events": events, "complete": complete })))
}

/// Healthy is who can reach its data.
fn health(_: Request) -> Result<Response, Error> {
    sql::first::<(i64,)>("SELECT 1 FROM orders LIMIT 1", &[])?;
    Ok(Response::text("ok\n"))
}

#[cfg(test)]
mod tests;
