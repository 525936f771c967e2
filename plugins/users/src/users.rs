//! The users in the database. A change and the event that tells of it are one transaction.

use serde::Serialize;
use shop::{Listing, Page};
use uuid::Uuid;
use wharf_sdk::sql::{self, FromRow, Row, SqlError, Transaction};
use wharf_sdk::{Error, Event, params};

use crate::input::{Address, Profile, Registration};

/// A user, as others see it: without the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address>,
    /// RFC 3339, UTC.
    pub(crate) created_at: String,
}

/// What a login needs.
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) password: String,
    pub(crate) is_admin: bool,
}

const COLUMNS: &str = "id, username, email, name, address, created_at";

impl FromRow for User {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        let address: Option<String> = row.get("address")?;
        let address = address.map(|text| serde_json::from_str(&text)).transpose();
        Ok(Self {
            id: row.get("id")?,
            username: row.get("username")?,
            email: row.get("email")?,
            name: row.get("name")?,
            address: address.map_err(|error| SqlError::Column(format!("column `address`: {error}")))?,
            created_at: row.get("created_at")?,
        })
    }
}

/// Adds a user whose password has this hash. One of the `admins`, by username, is an administrator if that name has not
/// made anybody one before.
pub(crate) fn register(new: Registration, hash: &str, admins: &str) -> Result<User, Error> {
    let Registration { username, email, name, password: _ } = new;
    let user = User {
        // Ids that grow with time keep the list in the order of registration.
        id: Uuid::now_v7().to_string(),
        username,
        email,
        name,
        address: None,
        created_at: shop::now(),
    };
    let (username_key, email_key) = (user.username.to_ascii_lowercase(), user.email.to_lowercase());
    sql::transaction(|tx| {
        check_free(tx, &user.id, Some(&username_key), &email_key)?;
        let is_admin = admins.split(',').any(|name| name.trim().eq_ignore_ascii_case(&username_key))
            && tx.execute("INSERT INTO admin_names VALUES (?1) ON CONFLICT DO NOTHING", params![&username_key])?.rows
                == 1;
        tx.execute(
            "INSERT INTO users (id, username, email, username_key, email_key, name, password, admin, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                &user.id,
                &user.username,
                &user.email,
                username_key,
                email_key,
                user.name.as_deref(),
                hash,
                is_admin,
                &user.created_at
            ],
        )?;
        tx.publish(vec![told("user.registered", &user.id, &user)?])?;
        Ok::<_, Error>(())
    })?;
    Ok(user)
}

/// Replaces a profile.
pub(crate) fn update(id: &str, profile: Profile) -> Result<User, Error> {
    let Profile { name, email, address } = profile;
    let address = address.map(|address| serde_json::to_string(&address)).transpose()?;
    sql::transaction(|tx| {
        let email_key = email.to_lowercase();
        check_free(tx, id, None, &email_key)?;
        let update = format!(
            "UPDATE users SET name = ?2, email = ?3, email_key = ?4, address = ?5 WHERE id = ?1 RETURNING {COLUMNS}"
        );
        let changed = tx.first(&update, params![id, name.as_deref(), &email, email_key, address.as_deref()])?;
        changed.ok_or_else(unknown)
    })
}

/// Removes a user. The address and the username are free again.
pub(crate) fn delete(id: &str) -> Result<(), Error> {
    sql::transaction(|tx| {
        if tx.execute("DELETE FROM users WHERE id = ?1", params![id])?.rows == 0 {
            return Err(unknown());
        }
        let data = serde_json::json!({ "id": id, "deletedAt": shop::now() });
        tx.publish(vec![told("user.deleted", id, &data)?])?;
        Ok(())
    })
}

pub(crate) fn get(id: &str) -> Result<User, Error> {
    sql::first(&format!("SELECT {COLUMNS} FROM users WHERE id = ?1"), params![id])?.ok_or_else(unknown)
}

/// Those of these ids that are there, in the order of registration.
pub(crate) fn batch(ids: &[&str]) -> Result<Vec<User>, Error> {
    let places: Vec<_> = (1..=ids.len()).map(|place| format!("?{place}")).collect();
    let query = format!("SELECT {COLUMNS} FROM users WHERE id IN ({}) ORDER BY id", places.join(", "));
    let ids: Vec<_> = ids.iter().map(|id| sql::Value::from(*id)).collect();
    Ok(sql::all(&query, &ids)?)
}

/// Users in the order in which they registered.
pub(crate) fn page(listing: &Listing) -> Result<Page<User>, Error> {
    let query = format!("SELECT {COLUMNS} FROM users WHERE id > ?1 ORDER BY id LIMIT ?2");
    let users = sql::all(&query, params![listing.after(), listing.with_one_more()])?;
    Ok(listing.page(users, |user: &User| user.id.clone()))
}

/// Whose username this is.
pub(crate) fn account(username: &str) -> Result<Option<Account>, Error> {
    let query = "SELECT id, password, admin FROM users WHERE username_key = ?1";
    let found: Option<(String, String, bool)> = sql::first(query, params![username.to_ascii_lowercase()])?;
    Ok(found.map(|(id, password, is_admin)| Account { id, password, is_admin }))
}

/// # Errors
/// 409 that names what another user has.
fn check_free(tx: &Transaction, id: &str, username_key: Option<&str>, email_key: &str) -> Result<(), Error> {
    let query =
        "SELECT username_key = ?2, email_key = ?3 FROM users WHERE id <> ?1 AND (username_key = ?2 OR email_key = ?3)";
    // Without a username to compare, the comparison is NULL.
    let found: Vec<(Option<bool>, bool)> = tx.all(query, params![id, username_key, email_key])?;
    let username = found.iter().any(|(username, _)| *username == Some(true));
    let email = found.iter().any(|(_, email)| *email);
    match (username, email) {
        (false, false) => Ok(()),
        (true, false) => Err(Error::conflict("the username is taken")),
        (false, true) => Err(Error::conflict("the e-mail address is taken")),
        (true, true) => Err(Error::conflict("the username and the e-mail address are taken")),
    }
}

fn told(topic: &str, id: &str, data: &impl Serialize) -> Result<Event, Error> {
    Ok(Event::json(topic, data)?.id(format!("{}-{id}", topic.replace('.', "-"))).key(id).subject(id))
}

fn unknown() -> Error {
    Error::not_found("no user has this id")
}
