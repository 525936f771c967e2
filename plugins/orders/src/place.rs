//! `POST /`: an order is made, in one of two ways.
//!
//! Both check the input, the user and the price first: until then nothing has happened, and a mistake is the client's to
//! mend. Then the order is kept. As a *saga* that is all, and the client is answered 202: who hears of `order.created`
//! does the rest. In the *workflow* ([`crate::workflow`]) the client waits until all is done, or undone.

use std::time::{Duration, SystemTime};

use shop::{Caller, now, rfc3339};
use uuid::Uuid;
use wharf_sdk::es::Loaded;
use wharf_sdk::sql;
use wharf_sdk::{Error, Request, Response, log};

use crate::commands::{self, Refusal};
use crate::input::Input;
use crate::order::{Draft, Mode, Order, Status};
use crate::partners::{pricing, users};
use crate::requests::{self, Key, Known};
use crate::workflow;

pub(crate) fn place(mut request: Request) -> Result<Response, Error> {
    let mode = match request.query("mode").as_deref() {
        None | Some("saga") => Mode::Saga,
        Some("sync") => Mode::Sync,
        Some(_) => return Err(Error::invalid("mode", "is to be saga or sync")),
    };
    let caller = Caller::known(&request)?;
    let input: Input = request.json()?;
    let user_id = input.check(&caller)?;
    let key = Key::of(&request, &user_id, serde_json::to_string(&(mode, &input))?)?;
    if let Some(response) = key.as_ref().map(|key| repeated(key, &request)).transpose()?.flatten() {
        return Ok(response);
    }
    users::check(&user_id)?;
    let (items, total) = pricing::quote(&input, &user_id)?;
    let Input { currency, coupon, card, shipping_address, .. } = input;
    let id = Uuid::now_v7().to_string();
    let draft = Draft { id, user_id, mode, items, currency, total, coupon, card, shipping_address };
    let Some(order) = keep(&draft, key.as_ref())? else {
        return key.as_ref().map(|key| repeated(key, &request)).transpose()?.flatten().ok_or_else(in_progress);
    };
    match mode {
        Mode::Saga => made(&request, &draft.id, 202, shown(&order)?),
        Mode::Sync => {
            let (status, answer) = match workflow::run(&draft) {
                Ok(order) => (201, shown(&order)?),
                Err(error) => {
                    let response = error.into_response();
                    (response.status(), String::from_utf8_lossy(&response.into_bytes()).into_owned())
                }
            };
            if let Some(key) = &key
                && let Err(error) = sql::transaction(|tx| key.answered(tx, status, &answer))
            {
                // The order itself says how it went; see `repeated`.
                log::warn(format_args!("the answer of order {} is not kept: {error}", draft.id));
            }
            made(&request, &draft.id, status, answer)
        }
    }
}

/// Keeps the order, with the key of its request. Nothing if another request has taken the key.
pub(crate) fn keep(draft: &Draft, key: Option<&Key>) -> Result<Option<Loaded<Order>>, Error> {
    let kept: Result<_, Refusal> = sql::transaction(|tx| {
        if let Some(key) = key
            && !key.take(tx, &draft.id)?
        {
            return Ok(None);
        }
        let order = commands::create(tx, draft.clone(), now())?;
        if let Some(key) = key
            && draft.mode == Mode::Saga
        {
            key.answered(tx, 202, &shown(&order)?)?;
        }
        Ok(Some(order))
    });
    Ok(kept?)
}

/// What a request with this key was answered before, if there was one.
fn repeated(key: &Key, request: &Request) -> Result<Option<Response>, Error> {
    match key.look_up()? {
        Known::Nothing => Ok(None),
        Known::Answered { order, status, answer } => made(request, &order, status, answer).map(Some),
        // Still worked on, or the host was stopped meanwhile: the order says how it went.
        Known::Open(id) => {
            let order = commands::look(&id)?;
            match order.state.status {
                Status::Pending => Err(in_progress()),
                Status::Cancelled => {
                    let reason = order.state.reason.unwrap_or_default();
                    Err(Error::conflict(format!("order {id} is cancelled: {reason}")))
                }
                Status::Confirmed | Status::Shipped | Status::Delivered => {
                    made(request, &id, 201, shown(&order)?).map(Some)
                }
            }
        }
    }
}

fn in_progress() -> Error {
    Error::conflict("a request with this Idempotency-Key is being worked on, try again later")
}

fn shown(order: &Loaded<Order>) -> Result<String, Error> {
    Ok(serde_json::to_string(&order.state.view(order.version))?)
}

fn made(request: &Request, id: &str, status: u16, answer: String) -> Result<Response, Error> {
    let response = requests::again(status, answer);
    Ok(if status < 400 { response.header("location", &request.url_for(&format!("/{id}"))) } else { response })
}

/// The time that it was then.
pub(crate) fn ago(span: Duration) -> String {
    rfc3339(SystemTime::now().checked_sub(span).unwrap_or(SystemTime::UNIX_EPOCH))
}
