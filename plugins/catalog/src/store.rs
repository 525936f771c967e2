//! Products in the service's own database. Each change is one transaction, with the event that tells of it.
//!
//! A product has a version that grows by one with each change; it is the ETag, and a part of the event's id. Deleting
//! makes a product inactive: orders of the past still name it.

use std::time::SystemTime;

use serde::Serialize;
use shop::{Page, rfc3339};
use uuid::Uuid;
use wharf_sdk::sql::{self, FromRow, Row, SqlError, Transaction, Value};
use wharf_sdk::{Error, Event, params};

use crate::input::{Filter, Input, Price};

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) category: String,
    pub(crate) price: Price,
    pub(crate) active: bool,
    pub(crate) version: i64,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    #[serde(skip)]
    number: i64,
}

impl FromRow for Product {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.get("id")?,
            sku: row.get("sku")?,
            name: row.get("name")?,
            description: row.get("description")?,
            category: row.get("category")?,
            price: Price { amount: row.get("amount")?, currency: row.get("currency")? },
            active: row.get("active")?,
            version: row.get("version")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
            number: row.get("number")?,
        })
    }
}

/// What a change may build upon.
#[derive(Debug)]
pub(crate) enum Precondition {
    None,
    /// The product is there, in any version.
    Any,
    /// It has one of these versions.
    Versions(Vec<i64>),
}

pub(crate) fn get(id: &str) -> Result<Product, Error> {
    sql::first("SELECT * FROM products WHERE id = ?1", params![id])?.ok_or_else(unknown)
}

pub(crate) fn batch(ids: Vec<String>) -> Result<Vec<Product>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<_> = (1..=ids.len()).map(|place| format!("?{place}")).collect();
    let statement = format!("SELECT * FROM products WHERE id IN ({}) ORDER BY id", places.join(", "));
    let ids: Vec<_> = ids.into_iter().map(Value::from).collect();
    Ok(sql::all(&statement, &ids)?)
}

/// Products in the order in which they were made.
pub(crate) fn page(filter: Filter) -> Result<Page<Product>, Error> {
    let listing = filter.listing;
    let mut conditions = vec!["id > ?1".to_owned()];
    let mut parameters = params![listing.after()].to_vec();
    let mut add = |condition: &str, value: String| {
        parameters.push(value.into());
        conditions.push(format!("{condition} ?{}", parameters.len()));
    };
    if let Some(category) = filter.category {
        add("category =", category);
    }
    if let Some(words) = filter.words {
        if words.is_empty() {
            // Nothing but punctuation: no word of a product is like that.
            return Ok(Page::whole(Vec::new()));
        }
        // Words are letters and digits only, so nothing in them means anything to the index.
        let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"*")).collect();
        add("number IN (SELECT rowid FROM product_text WHERE product_text MATCH", words.join(" "));
        if let Some(last) = conditions.last_mut() {
            last.push(')');
        }
    }
    if !filter.inactive {
        conditions.push("active".to_owned());
    }
    let conditions = conditions.join(" AND ");
    let statement = format!("SELECT * FROM products WHERE {conditions} ORDER BY id LIMIT {}", listing.with_one_more());
    Ok(listing.page(sql::all(&statement, &parameters)?, |product: &Product| product.id.clone()))
}

pub(crate) fn create(input: Input, now: SystemTime) -> Result<Product, Error> {
    let now = rfc3339(now);
    sql::transaction(|tx| {
        refuse_taken_sku(tx, &input.sku, "")?;
        let mut product = Product {
            id: Uuid::now_v7().to_string(),
            sku: input.sku,
            name: input.name,
            description: input.description,
            category: input.category,
            price: input.price,
            active: input.active.unwrap_or(true),
            version: 1,
            created_at: now.clone(),
            updated_at: now,
            number: 0,
        };
        let added = tx.execute(
            "INSERT INTO products (id, sku, name, description, category, amount, currency, active, version, \
             created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?9)",
            params![
                &product.id,
                &product.sku,
                &product.name,
                &product.description,
                &product.category,
                product.price.amount,
                &product.price.currency,
                product.active,
                &product.created_at
            ],
        )?;
        product.number = added.last_insert_id;
        index(tx, &product)?;
        tell(tx, "product.created", &product)?;
        Ok(product)
    })
}

pub(crate) fn update(id: &str, input: Input, on: &Precondition, now: SystemTime) -> Result<Product, Error> {
    sql::transaction(|tx| {
        let old = current(tx, id, on)?;
        let active = input.active.unwrap_or(old.active);
        let new = Product {
            sku: input.sku,
            name: input.name,
            description: input.description,
            category: input.category,
            price: input.price,
            active,
            ..old.clone()
        };
        if same(&old, &new) {
            return Ok(old);
        }
        refuse_taken_sku(tx, &new.sku, &new.id)?;
        write(tx, new, "product.updated", now)
    })
}

/// Takes it off the shelf. Says nothing a second time.
pub(crate) fn deactivate(id: &str, on: &Precondition, now: SystemTime) -> Result<(), Error> {
    sql::transaction(|tx| {
        let old = current(tx, id, on)?;
        if old.active {
            write(tx, Product { active: false, ..old }, "product.deleted", now)?;
        }
        Ok(())
    })
}

fn current(tx: &Transaction, id: &str, on: &Precondition) -> Result<Product, Error> {
    let product: Option<Product> = tx.first("SELECT * FROM products WHERE id = ?1", params![id])?;
    let product = product.ok_or_else(unknown)?;
    match on {
        Precondition::Versions(versions) if !versions.contains(&product.version) => {
            Err(Error::new(412, format!("the product is at version {} now: read it again", product.version)))
        }
        Precondition::Versions(_) | Precondition::Any | Precondition::None => Ok(product),
    }
}

fn write(tx: &Transaction, mut product: Product, topic: &str, now: SystemTime) -> Result<Product, Error> {
    product.version = product.version.checked_add(1).ok_or_else(|| Error::internal("no more versions"))?;
    product.updated_at = rfc3339(now);
    tx.execute(
        "UPDATE products SET sku = ?2, name = ?3, description = ?4, category = ?5, amount = ?6, currency = ?7, \
         active = ?8, version = ?9, updated_at = ?10 WHERE id = ?1",
        params![
            &product.id,
            &product.sku,
            &product.name,
            &product.description,
            &product.category,
            product.price.amount,
            &product.price.currency,
            product.active,
            product.version,
            &product.updated_at
        ],
    )?;
    index(tx, &product)?;
    tell(tx, topic, &product)?;
    Ok(product)
}

fn index(tx: &Transaction, product: &Product) -> Result<(), SqlError> {
    tx.execute("DELETE FROM product_text WHERE rowid = ?1", params![product.number])?;
    tx.execute(
        "INSERT INTO product_text (rowid, name, description) VALUES (?1, ?2, ?3)",
        params![product.number, &product.name, &product.description],
    )?;
    Ok(())
}

fn tell(tx: &Transaction, topic: &str, product: &Product) -> Result<(), Error> {
    let event = Event::json(topic, product)?.id(format!("product-{}-{}", product.id, product.version));
    tx.publish(vec![event.key(&product.id).subject(&product.id)])?;
    Ok(())
}

fn refuse_taken_sku(tx: &Transaction, sku: &str, except: &str) -> Result<(), Error> {
    let other: Option<(String,)> =
        tx.first("SELECT id FROM products WHERE sku = ?1 AND id <> ?2", params![sku, except])?;
    // The id helps who never got the answer to an earlier try.
    other.map_or(Ok(()), |(id,)| Err(Error::conflict(format!("the product {id} has the sku `{sku}`"))))
}

fn same(a: &Product, b: &Product) -> bool {
    let texts = |p: &Product| [p.sku.clone(), p.name.clone(), p.description.clone(), p.category.clone()];
    texts(a) == texts(b) && a.price == b.price && a.active == b.active
}

fn unknown() -> Error {
    Error::not_found("no product has this id")
}
