//! Orders of the shop, as a workflow and as a saga.
//!
//! ```text
//! POST /                    an order: 202, and the rest by events; with ?mode=sync 201 when all is done
//! GET  /?userId&status&after&limit   the newest first; with userIds=a,b those of each of these
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
mod commands;
mod handlers;
mod input;
mod order;
mod partners;
mod place;
mod requests;
mod table;
mod workflow;

use serde_json::json;
use shop::{Caller, Info, Listing, Page};
use wharf_sdk::{Error, Request, Response, Router, es, get, post, serve, serve_events};

use handlers::EVENTS;
use input::Whose;
use order::{Happened, Order, Status};

// The first is a copy of `es::SCHEMA` by design: a migration that was applied never changes, and what the SDK says may.
// A test tells when they differ: then another migration is needed, and the first stays as it is.
wharf_sdk::migrations!("../migrations": "0001_events.sql", "0002_orders.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    post("/", place::place),
    get("/", list),
    get("/health", |_| shop::health("orders")),
    get("/info", |_| INFO.show()),
    post("/rebuild", rebuild),
    get("/{id}", read),
    get("/{id}/history", history),
    post("/{id}/cancel", cancel),
]);
serve!(ROUTER);
serve_events!(EVENTS);

static INFO: Info = shop::info! {
    publishes: ["order.created", "order.confirmed", "order.cancelled", "order.shipped", "order.delivered"],
    handles: [
        "inventory.rejected",
        "payment.completed",
        "payment.failed",
        "shipping.scheduled",
        "shipping.delivered",
        "orders.sweep",
    ],
};

/// Users see their own orders; administrators and other services those of everybody.
fn list(request: Request) -> Result<Response, Error> {
    let whose = Whose::read(&request)?;
    let listing = Listing::read(&request)?;
    let status = request.query("status");
    let named = |name: &String| Status::ALL.into_iter().find(|status| status.name() == name);
    let names = || Error::invalid("status", format!("one of {}", Status::ALL.map(Status::name).join(", ")));
    let status = status.map(|name| named(&name).ok_or_else(names)).transpose()?;
    match whose {
        Whose::Of(user) => Ok(Response::json(&table::page(user, status, &listing)?)),
        Whose::OfEach(users) => {
            input::check_size(&users, &listing)?;
            Ok(Response::json(&table::pages(&users, status, &listing)?))
        }
    }
}

/// An order that the caller may see. To anybody else there is none.
fn seen(request: &Request) -> Result<es::Loaded<Order>, Error> {
    let caller = Caller::known(request)?;
    let order = commands::look(request.param("id"))?;
    if !caller.may_act_for(order.state.draft.user_id.as_str()) {
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
    Ok(Response::json(&Page::whole(items)))
}

fn cancel(request: Request) -> Result<Response, Error> {
    let id = seen(&request)?.state.draft.id;
    let by = match Caller::of(&request) {
        Caller::User { .. } => "it was cancelled by the customer",
        Caller::Service(_) | Caller::Nobody => "it was cancelled by another service",
    };
    let order = commands::cancel(&id, &[Status::Pending, Status::Confirmed], by)?;
    match order.state.status {
        Status::Cancelled => Ok(Response::json(&order.state.view(order.version))),
        status => Err(Error::conflict(format!("the order is {} already", status.name()))),
    }
}

fn rebuild(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let resume = request.query_or("resume", false)?;
    let (events, complete) = table::rebuild(resume, table::MOST_PIECES)?;
    Ok(Response::json(&json!({ "events": events, "complete": complete })))
}

#[cfg(test)]
mod tests;
