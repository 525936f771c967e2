//! What orders hear. Every handler may be called with its event at any time and any number of times; what comes too late
//! does nothing.

use std::time::Duration;

use wharf_sdk::{Delivery, Events, Failure, config, log, on};

use crate::commands;
use crate::order::Status;
use crate::partners::{inventory, payments, shipping};
use crate::place::ago;
use crate::{requests, table};

pub(crate) static EVENTS: Events = Events::new(&[
    on("inventory.rejected", out_of_stock),
    on("payment.completed", paid),
    on("payment.failed", not_paid),
    on("shipping.scheduled", shipped),
    on("shipping.delivered", delivered),
    on("orders.sweep", sweep),
]);

/// How long an order may be pending, unless `saga-timeout` says otherwise.
const SAGA_TIMEOUT: Duration = Duration::from_secs(60);
/// Orders that one sweep cancels. The next goes on.
const MOST_SWEPT: u32 = 200;

fn out_of_stock(event: Delivery) -> Result<(), Failure> {
    let rejected: inventory::Rejected = event.json()?;
    commands::cancel(&rejected.order_id, &[Status::Pending], &rejected.reason())?;
    Ok(())
}

fn paid(event: Delivery) -> Result<(), Failure> {
    let payment: payments::Completed = event.json()?;
    let order = commands::confirm(&payment.order_id, &payment.payment_id)?;
    if order.state.status == Status::Cancelled {
        log::info(format_args!("order {} is paid and cancelled: the money goes back", payment.order_id));
    }
    Ok(())
}

fn not_paid(event: Delivery) -> Result<(), Failure> {
    let failed: payments::Failed = event.json()?;
    let reason = format!("payment: {}", failed.reason);
    commands::cancel(&failed.order_id, &[Status::Pending], &reason)?;
    Ok(())
}

fn shipped(event: Delivery) -> Result<(), Failure> {
    let shipment: shipping::Shipment = event.json()?;
    commands::ship(&shipment.order_id, &shipment.tracking_number)?;
    Ok(())
}

fn delivered(event: Delivery) -> Result<(), Failure> {
    let shipment: shipping::Shipment = event.json()?;
    let order = commands::deliver(&shipment.order_id, &shipment.tracking_number)?;
    if order.state.status == Status::Cancelled {
        log::warn(format_args!("order {} was delivered although it is cancelled", shipment.order_id));
    }
    Ok(())
}

/// Ends what nobody will end: orders of which nothing was heard for too long.
fn sweep(_: Delivery) -> Result<(), Failure> {
    let timeout = timeout();
    let reason = format!("nothing was heard of it for {}", humantime::format_duration(timeout));
    for (id,) in table::pending_since(&ago(timeout), MOST_SWEPT)? {
        commands::cancel(&id, &[Status::Pending], &reason)?;
        log::info(format_args!("order {id} is cancelled: {reason}"));
    }
    requests::forget(&ago(Duration::from_secs(requests::KEPT)))?;
    Ok(())
}

fn timeout() -> Duration {
    let Some(text) = config::get("saga-timeout") else { return SAGA_TIMEOUT };
    humantime::parse_duration(&text).unwrap_or_else(|error| {
        log::warn(format_args!("saga-timeout is {text}, which is no duration ({error}): it counts as 1m"));
        SAGA_TIMEOUT
    })
}
