//! What shipping hears of `orders`. Its events carry the order, so nobody has to be asked.

use serde::Deserialize;
use wharf_sdk::{Delivery, Events, Failure, on};

use crate::input::{Address, Item, Parcel};
use crate::shipments::{self, Refusal};

pub(crate) static EVENTS: Events = Events::new(&[on("order.confirmed", confirmed), on("order.cancelled", cancelled)]);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    order_id: String,
    order: Order,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    user_id: String,
    items: Vec<Item>,
    shipping_address: Address,
}

fn confirmed(event: Delivery) -> Result<(), Failure> {
    let Told { order_id, order } = event.json()?;
    let Order { user_id, items, shipping_address: address } = order;
    let parcel = Parcel { order_id, user_id: Some(user_id), address, items };
    match shipments::schedule(&parcel) {
        // That it is cancelled was heard first.
        Ok(_) | Err(Refusal::Cancelled) => Ok(()),
        Err(refusal) => Err(refusal.into()),
    }
}

fn cancelled(event: Delivery) -> Result<(), Failure> {
    let told: Told = event.json()?;
    Ok(shipments::cancel(&told.order_id, Some(&told.order.user_id))?)
}
