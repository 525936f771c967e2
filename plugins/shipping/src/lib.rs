//! Shipments and their tracking numbers.
//!
//! ```text
//! POST /                    {"orderId", "userId"?, "address", "items"} → 201 (other services); the same again
//! GET  /{orderId}           whose order it is
//! POST /{orderId}/deliver   the carrier says that it has arrived (administrators)
//! GET  /health, /info
//! ```
//!
//! A shipment is known by its order: asked twice, by a call and by an event, it is sent once. [`shipments`] keeps them,
//! [`events`] is what is heard of orders, [`tracking`] makes numbers.

mod caller;
mod events;
mod input;
mod shipments;
mod tracking;

use serde::Serialize;
use wharf_sdk::{Error, Request, Response, Router, get, post, serve, serve_events, sql};

use caller::Caller;
use events::EVENTS;
use input::Parcel;

wharf_sdk::migrations!("../migrations": "0001_shipments.sql");

static ROUTER: Router = Router::new(&[
    post("/", schedule),
    get("/health", health),
    get("/info", |_| Ok(Response::json(&INFO))),
    get("/{orderId}", read),
    post("/{orderId}/deliver", deliver),
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
    publishes: &["shipping.scheduled", "shipping.delivered", "shipping.cancelled"],
    handles: &["order.confirmed", "order.cancelled"],
};

fn schedule(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_admin()?;
    let parcel: Parcel = request.json()?;
    parcel.check()?;
    let shipment = shipments::schedule(&parcel)?;
    let location = request.url_for(&format!("/{}", shipment.order_id));
    Ok(Response::json(&shipment).with_status(201).header("location", &location))
}

/// To anybody but its owner there is none.
fn read(request: Request) -> Result<Response, Error> {
    let shipment = shipments::find(request.param("orderId"))?;
    let caller = Caller::of(&request);
    if caller.check_admin().is_err() && !shipment.user_id.as_deref().is_some_and(|user| caller.may_act_for(user)) {
        return Err(shipments::Refusal::Unknown.into());
    }
    Ok(Response::json(&shipment))
}

fn deliver(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_admin()?;
    Ok(Response::json(&shipments::deliver(request.param("orderId"))?))
}

/// Healthy is who can reach its data.
fn health(_: Request) -> Result<Response, Error> {
    sql::first::<(i64,)>("SELECT 1 FROM shipments LIMIT 1", &[])?;
    Ok(Response::text("ok\n"))
}

#[cfg(test)]
mod tests;
