//! Payments of orders, by a provider outside.
//!
//! ```text
//! POST /                   {orderId, amount, currency, card, userId?} → 201 captured; 402 declined, 409 cancelled, 503 later
//! POST /{orderId}/refund   200 refunded, 202 while the card is being charged (both for services and administrators)
//! GET  /{orderId}          (who pays, services and administrators)
//! GET  /health, /info
//! ```
//!
//! [`store`] keeps what is to be done and what was, [`provider`] talks to the provider, [`process`] does the one by the
//! other, [`events`] is the saga; here is only HTTP.

mod events;
mod input;
mod process;
mod provider;
mod store;

use shop::{Caller, Info};
use wharf_sdk::{Error, Request, Response, Router, get, log, migrations, post, serve, serve_events};

use events::EVENTS;
use input::Ask;
use process::Stop;
use store::Status;

migrations!("../migrations": "0001_create_payments.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    post("/", pay),
    // The provider is somebody else: without it, payments wait.
    get("/health", |_| shop::health("payments")),
    get("/info", |_| INFO.show()),
    get("/{orderId}", read),
    post("/{orderId}/refund", refund),
]);
serve!(ROUTER);
serve_events!(EVENTS);

static INFO: Info = shop::info! {
    publishes: ["payment.completed", "payment.failed", "payment.refunded"],
    handles: ["inventory.reserved", "order.cancelled", "payments.sweep"],
};

fn pay(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let ask = Ask::read(&mut request)?;
    let payment = process::pay(&ask, None).map_err(refusal)?;
    match payment.status {
        Status::Captured => {
            let location = request.url_for(&format!("/{}", payment.order_id));
            Ok(Response::json(&payment).with_status(201).header("location", &location))
        }
        Status::Failed => Err(Error::new(402, payment.reason.unwrap_or_else(|| "the payment failed".to_owned()))),
        Status::Pending | Status::Refunding | Status::Refunded | Status::Cancelled => {
            Err(Error::conflict("the order is cancelled"))
        }
    }
}

fn refund(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let payment = process::refund(request.param("orderId")).map_err(refusal)?.ok_or_else(unknown)?;
    match payment.status {
        Status::Refunded | Status::Cancelled => Ok(Response::json(&payment)),
        // Who charges the card gives it back then.
        Status::Pending | Status::Refunding => Ok(Response::json(&payment).with_status(202)),
        Status::Captured | Status::Failed => Err(Error::conflict("nothing was paid")),
    }
}

fn read(request: Request) -> Result<Response, Error> {
    let payment = store::get(request.param("orderId"))?;
    let payer = payment.as_ref().and_then(|payment| payment.user_id.as_deref());
    Caller::of(&request).check_may_act_for(payer)?;
    Ok(Response::json(&payment.ok_or_else(unknown)?))
}

fn refusal(stop: Stop) -> Error {
    match stop {
        Stop::Different => Error::new(422, "the order has a payment of another amount, currency or card"),
        Stop::Unavailable(why) => {
            log::warn(format_args!("the payment provider: {why}"));
            Error::new(503, "the payment provider does not answer: try again")
        }
        Stop::Internal(error) => error,
    }
}

fn unknown() -> Error {
    Error::not_found("no payment of this order is known")
}

#[cfg(test)]
mod tests;
