//! Taking money and giving it back: what the database says is to be done, done at the provider.
//!
//! Who charges holds a lease. Who wants the money back while it holds only says so: the one who charges sees that when
//! the card is charged, and gives it back. If that one is cut off, [`sweep`] or the next delivery does it when the
//! lease is over, with what the provider has under the order's id.

use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use wharf_sdk::{Error, log};

use crate::input::Ask;
use crate::provider::{self, Trouble};
use crate::store::{self, Payment, Status};

/// Why there is no payment as asked for.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The order has a payment of another amount, currency or card.
    Different,
    /// The provider has to be asked again later.
    Unavailable(String),
    /// Something of this service is wrong.
    Internal(Error),
}

impl<E: Into<Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

/// Payments that one sweep tries to settle.
const SWEPT: u32 = 20;
/// No other is begun after this time: one more has to fit into `timeouts.request`.
const SWEEP: Duration = Duration::from_secs(6);

/// Pays for an order, or finds what became of that.
pub(crate) fn pay(ask: &Ask, told: Option<&Value>) -> Result<Payment, Stop> {
    let payment = store::begin(ask, SystemTime::now())?;
    if payment.amount.is_some() && !payment.is_for(ask) {
        return Err(Stop::Different);
    }
    match payment.status {
        Status::Pending => {}
        // Left behind by somebody who was cut off, maybe.
        Status::Refunding if !payment.is_busy(SystemTime::now()) => return settle(&payment, told),
        Status::Captured | Status::Failed | Status::Refunding | Status::Refunded | Status::Cancelled => {
            return Ok(payment);
        }
    }
    // Nothing to charge: an order may be a present.
    let charge = if ask.amount == 0 { Ok(None) } else { provider::charge(ask).map(|charge| Some(charge.id)) };
    let payment = match charge {
        Ok(charge) => store::complete(&ask.order_id, charge.as_deref(), told, SystemTime::now())?,
        Err(Trouble::Refused(reason)) => store::fail(&ask.order_id, &reason, told, SystemTime::now())?,
        Err(Trouble::Unavailable(why)) => return Err(Stop::Unavailable(why)),
    };
    if payment.status == Status::Refunding { settle(&payment, told) } else { Ok(payment) }
}

/// Nothing is to be paid for this order any more.
pub(crate) fn cancel(order: &str, told: Option<&Value>) -> Result<Payment, Stop> {
    let payment = store::cancel(order, SystemTime::now())?;
    if payment.status == Status::Refunding && !payment.is_busy(SystemTime::now()) {
        return settle(&payment, told);
    }
    Ok(payment)
}

/// Gives back what was paid for this order.
pub(crate) fn refund(order: &str) -> Result<Option<Payment>, Stop> {
    match store::refund(order, SystemTime::now())? {
        Some(payment) if payment.status == Status::Refunding && !payment.is_busy(SystemTime::now()) => {
            settle(&payment, None).map(Some)
        }
        found => Ok(found),
    }
}

/// Settles what was left behind. What cannot be settled now goes to the end of the row.
pub(crate) fn sweep() -> Result<(), Stop> {
    let began = Instant::now();
    for order in store::unsettled(SystemTime::now(), SWEPT)? {
        if began.elapsed() > SWEEP {
            break;
        }
        let Some(payment) = store::get(&order)? else { continue };
        match settle(&payment, None) {
            Ok(payment) => log::info(format_args!("the payment {} is {:?}", payment.id, payment.status)),
            Err(Stop::Unavailable(why)) => {
                store::postpone(&order, SystemTime::now())?;
                log::warn(format_args!("the payment {} waits to be given back: {why}", payment.id));
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(())
}

/// Has the provider give back what it has of a payment.
fn settle(payment: &Payment, told: Option<&Value>) -> Result<Payment, Stop> {
    let order = payment.order_id.as_str();
    let charges = match (&payment.charge_id, payment.amount) {
        (_, Some(0) | None) => Ok(Vec::new()),
        (Some(charge), Some(_)) => Ok(vec![charge.clone()]),
        (None, Some(_)) => provider::find(order),
    };
    let given_back = charges.and_then(|charges| charges.iter().try_for_each(|charge| provider::refund(charge)));
    given_back.map_err(|trouble| match trouble {
        Trouble::Refused(why) | Trouble::Unavailable(why) => Stop::Unavailable(why),
    })?;
    Ok(store::settle(order, told, SystemTime::now())?)
}
