//! Messages to the users of the shop.
//!
//! ```text
//! POST /                    {"userId", "kind", "data"} → 201 (other services); the same again
//! GET  /?userId&after&limit the newest first (one's own, or for administrators)
//! GET  /health, /info
//! ```
//!
//! There is one message of a kind about one thing, whether a call asked for it or an event, and however often.
//! [`template`] has the texts, [`messages`] keeps them, [`events`] is what is heard.

mod events;
mod messages;
mod template;

use serde::Deserialize;
use shop::{Caller, Info, Listing, is_id, unprocessable};
use wharf_sdk::{Error, Request, Response, Router, get, post, serve, serve_events};

use events::EVENTS;
use template::{Facts, Kind};

wharf_sdk::migrations!("../migrations": "0001_messages.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    post("/", write),
    get("/", list),
    get("/health", |_| shop::health("messages")),
    get("/info", |_| INFO.show()),
]);
serve!(ROUTER);
serve_events!(EVENTS);

static INFO: Info = shop::info! {
    publishes: ["notification.sent"],
    handles: ["user.registered", "order.confirmed", "order.cancelled", "shipping.scheduled", "shipping.delivered"],
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    user_id: String,
    kind: String,
    #[serde(default)]
    data: Facts,
}

fn write(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let Input { user_id, kind, data } = request.json()?;
    if !is_id(&user_id) {
        return Err(unprocessable("userId", "is to be the id of a user"));
    }
    if data.order_id.as_deref().is_some_and(|id| !is_id(id)) {
        return Err(unprocessable("data.orderId", "is to be the id of an order"));
    }
    let kinds = || unprocessable("kind", format!("is to be one of {}", Kind::ALL.map(Kind::name).join(", ")));
    let kind = Kind::named(&kind).ok_or_else(kinds)?;
    Ok(Response::json(&messages::write(&user_id, kind, &data)?).with_status(201))
}

fn list(request: Request) -> Result<Response, Error> {
    let user = Caller::of(&request).whose(request.query("userId"))?;
    Ok(Response::json(&messages::page(user, &Listing::read(&request)?)?))
}

#[cfg(test)]
mod tests;
