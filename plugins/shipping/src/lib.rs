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

mod events;
mod input;
mod shipments;
mod tracking;

use shop::{Caller, Info};
use wharf_sdk::{Error, Request, Response, Router, get, post, serve, serve_events};

use events::EVENTS;
use input::Parcel;

wharf_sdk::migrations!("../migrations": "0001_shipments.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    post("/", schedule),
    get("/health", |_| shop::health("shipments")),
    get("/info", |_| INFO.show()),
    get("/{orderId}", read),
    post("/{orderId}/deliver", deliver),
]);
serve!(ROUTER);
serve_events!(EVENTS);

static INFO: Info = shop::info! {
    publishes: ["shipping.scheduled", "shipping.delivered", "shipping.cancelled"],
    handles: ["order.confirmed", "order.cancelled"],
};

fn schedule(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let parcel: Parcel = request.json()?;
    parcel.check()?;
    let shipment = shipments::schedule(&parcel)?;
    let location = request.url_for(&format!("/{}", shipment.order_id));
    Ok(Response::json(&shipment).with_status(201).header("location", &location))
}

/// To anybody but its owner there is none.
fn read(request: Request) -> Result<Response, Error> {
    let caller = Caller::known(&request)?;
    let shipment = shipments::find(request.param("orderId"))?;
    if !caller.may_act_for(shipment.user_id.as_deref()) {
        return Err(shipments::Refusal::Unknown.into());
    }
    Ok(Response::json(&shipment))
}

fn deliver(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    Ok(Response::json(&shipments::deliver(request.param("orderId"))?))
}

#[cfg(test)]
mod tests;
