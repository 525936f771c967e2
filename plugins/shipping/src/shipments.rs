//! Shipments and what may become of them: `scheduled → delivered | cancelled`. A change and the event that tells of it
//! are one transaction, and a change that has happened already does nothing.

use serde::Serialize;
use serde_json::Value;
use shop::now;
use wharf_sdk::sql::{self, FromRow, Row, SqlError, Transaction};
use wharf_sdk::{Error, Event, Failure, config, log, params};

use crate::input::Parcel;
use crate::tracking;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shipment {
    pub(crate) order_id: String,
    #[serde(skip)]
    pub(crate) user_id: Option<String>,
    pub(crate) tracking_number: Option<String>,
    pub(crate) status: String,
    address: Option<Value>,
    items: Option<Value>,
    created_at: String,
    updated_at: String,
}

/// Why nothing was done.
#[derive(Debug)]
pub(crate) enum Refusal {
    Unknown,
    /// The order, or the shipment, is cancelled.
    Cancelled,
    Failed(String),
}

/// The data of all events.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    order_id: &'a str,
    user_id: Option<&'a str>,
    tracking_number: Option<&'a str>,
    status: &'a str,
}

const COLUMNS: &str = "order_id, user_id, tracking, status, address, items, created_at, updated_at";

pub(crate) fn find(order_id: &str) -> Result<Shipment, Refusal> {
    let found = sql::first(&format!("SELECT {COLUMNS} FROM shipments WHERE order_id = ?1"), params![order_id])?;
    found.ok_or(Refusal::Unknown)
}

/// Sends a parcel, unless its order is cancelled. One that is sent already stays as it is.
pub(crate) fn schedule(parcel: &Parcel) -> Result<Shipment, Refusal> {
    sql::transaction(|tx| {
        match in_transaction(tx, &parcel.order_id)? {
            Some(there) if there.status == "cancelled" => return Err(Refusal::Cancelled),
            Some(there) => return Ok(there),
            None => {}
        }
        let serial = tx.first::<(u32,)>("SELECT coalesce(max(serial), 0) + 1 FROM shipments", &[])?;
        let serial = serial.map_or(1, |(serial,)| serial);
        let tracking = tracking::number(serial, &country());
        let (address, items) = (serde_json::to_string(&parcel.address)?, serde_json::to_string(&parcel.items)?);
        let now = now();
        let insert = "INSERT INTO shipments VALUES (?1, ?2, 'scheduled', ?3, ?4, ?5, ?6, ?7, ?7)";
        let user = parcel.user_id.as_deref();
        tx.execute(insert, params![&parcel.order_id, user, serial, tracking, address, items, now])?;
        tell(tx, &parcel.order_id)
    })
}

/// The carrier has handed it over.
pub(crate) fn deliver(order_id: &str) -> Result<Shipment, Refusal> {
    sql::transaction(|tx| {
        let there = in_transaction(tx, order_id)?.ok_or(Refusal::Unknown)?;
        match there.status.as_str() {
            "scheduled" => become_(tx, order_id, "delivered"),
            "delivered" => Ok(there),
            _ => Err(Refusal::Cancelled),
        }
    })
}

/// The order is cancelled: nothing is sent, or what was sent comes back.
pub(crate) fn cancel(order_id: &str, user_id: Option<&str>) -> Result<(), Refusal> {
    sql::transaction(|tx| {
        match in_transaction(tx, order_id)? {
            None => {
                let insert = "INSERT INTO shipments (order_id, user_id, status, created_at, updated_at)
                    VALUES (?1, ?2, 'cancelled', ?3, ?3)";
                tx.execute(insert, params![order_id, user_id, now()])?;
            }
            Some(there) if there.status == "scheduled" => {
                become_(tx, order_id, "cancelled")?;
            }
            Some(there) if there.status == "delivered" => {
                log::warn(format_args!("order {order_id} is cancelled and was delivered before that"));
            }
            Some(_) => {}
        }
        Ok(())
    })
}

fn become_(tx: &Transaction, order_id: &str, status: &str) -> Result<Shipment, Refusal> {
    let update = "UPDATE shipments SET status = ?2, updated_at = ?3 WHERE order_id = ?1";
    tx.execute(update, params![order_id, status, now()])?;
    tell(tx, order_id)
}

/// Tells of the state that a shipment has now. A shipment has each state once, so the state names the event.
fn tell(tx: &Transaction, order_id: &str) -> Result<Shipment, Refusal> {
    let shipment = in_transaction(tx, order_id)?.ok_or(Refusal::Unknown)?;
    let Shipment { user_id, tracking_number, status, .. } = &shipment;
    let told = Told { order_id, user_id: user_id.as_deref(), tracking_number: tracking_number.as_deref(), status };
    let event = Event::json(format!("shipping.{status}"), &told)?;
    tx.publish(vec![event.id(format!("shipping-{order_id}-{status}")).key(order_id).subject(order_id)])?;
    Ok(shipment)
}

fn in_transaction(tx: &Transaction, order_id: &str) -> Result<Option<Shipment>, SqlError> {
    tx.first(&format!("SELECT {COLUMNS} FROM shipments WHERE order_id = ?1"), params![order_id])
}

impl FromRow for Shipment {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        let json = |place| -> Result<Option<Value>, SqlError> {
            let text: Option<String> = row.at(place)?;
            let read = text.map(|text| serde_json::from_str(&text)).transpose();
            read.map_err(|error| SqlError::Column(error.to_string()))
        };
        Ok(Self {
            order_id: row.at(0)?,
            user_id: row.at(1)?,
            tracking_number: row.at(2)?,
            status: row.at(3)?,
            address: json(4)?,
            items: json(5)?,
            created_at: row.at(6)?,
            updated_at: row.at(7)?,
        })
    }
}

/// Where parcels are sent from: the last two letters of their numbers.
fn country() -> String {
    let country = config::get_or("origin-country", "DE");
    if country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return country;
    }
    log::warn(format_args!("origin-country is {country}, which is no country: it counts as DE"));
    "DE".to_owned()
}

impl From<SqlError> for Refusal {
    fn from(error: SqlError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::not_found("no shipment is known for this order"),
            Refusal::Cancelled => Self::conflict("the order is cancelled"),
            Refusal::Failed(why) => Self::internal(why),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown | Refusal::Cancelled => Self::reject("there is nothing to send"),
            Refusal::Failed(why) => Self::Retry(why),
        }
    }
}
