//! `POST /?mode=sync`: the whole way by calls, while the client waits.
//!
//! ```text
//! reserve (inventory) → pay (payments) → confirm → ship (shipping) → notify (notifications)
//! ```
//!
//! A step that fails undoes those before it. The order is cancelled first: that is on disk and published
//! (`order.cancelled`), so everybody gives back what is the order's even if this request ends here. Then the same is
//! asked by calls, so that the client who is told of the failure finds it undone. Both together do it once.
//!
//! A step that says no has done nothing. One that does not answer may have: it is undone, too. If the host is stopped
//! half way, the order stays pending, and the sweep cancels it; or it was confirmed, and events do the rest.
//!
//! This is the way in which all services have to be there at once. That one that only sends messages can fail an order
//! is what the saga does better.

use wharf_sdk::es::Loaded;
use wharf_sdk::{Error, log};

use crate::commands;
use crate::order::{Draft, Order, Status};
use crate::partners::{inventory, notifications, payments, shipping};

/// What a step has done, or may have.
#[derive(Clone, Copy, Debug)]
enum Done {
    Reserved,
    Paid,
}

/// Says how the order is in the end.
pub(crate) fn run(order: &Draft) -> Result<Loaded<Order>, Error> {
    let mut done = Vec::new();
    steps(order, &mut done).map_err(|error| undo(order, &done, error))
}

fn steps(order: &Draft, done: &mut Vec<Done>) -> Result<Loaded<Order>, Error> {
    step(done, Done::Reserved, || inventory::reserve(order))?;
    let payment = step(done, Done::Paid, || payments::charge(order))?;
    going_on(commands::confirm(&order.id, &payment)?)?;
    // An order that is cancelled takes its shipment with it: shipping hears of that.
    let tracking = shipping::schedule(order)?;
    let shipped = going_on(commands::ship(&order.id, &tracking)?)?;
    notifications::confirmed(order)?;
    Ok(shipped)
}

fn step<T>(done: &mut Vec<Done>, what: Done, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let outcome = work();
    if outcome.as_ref().err().is_none_or(|error| error.status() >= 500) {
        done.push(what);
    }
    outcome
}

/// Somebody else may cancel the order meanwhile: the customer, or the sweep.
fn going_on(order: Loaded<Order>) -> Result<Loaded<Order>, Error> {
    match order.state.status {
        Status::Cancelled => {
            let reason = order.state.reason.unwrap_or_default();
            Err(Error::conflict(format!("confirmation: the order was cancelled meanwhile ({reason})")))
        }
        Status::Pending | Status::Confirmed | Status::Shipped | Status::Delivered => Ok(order),
    }
}

/// Undoes what was done, and says what the client is told.
fn undo(order: &Draft, done: &[Done], error: Error) -> Error {
    let id = &order.id;
    let why = error.detail().unwrap_or("the order failed").to_owned();
    let open = [Status::Pending, Status::Confirmed, Status::Shipped];
    match commands::cancel(id, &open, &why) {
        Ok(cancelled) if cancelled.state.status == Status::Cancelled => {
            for step in done.iter().rev() {
                let undone = match step {
                    Done::Paid => payments::refund(id),
                    Done::Reserved => inventory::release(id),
                };
                if undone.is_err() {
                    log::warn(format_args!("order {id}: {step:?} is undone later, by order.cancelled"));
                }
            }
            Error::new(error.status(), format!("{why}; order {id} is cancelled"))
        }
        Ok(gone_on) => {
            log::error(format_args!("order {id} is {} and cannot be undone: {why}", gone_on.state.status.name()));
            error
        }
        Err(refusal) => {
            log::error(format_args!("order {id} cannot be cancelled now: {refusal:?}"));
            error
        }
    }
}
