//! Users in a key-value store: one key for each user, and one for each e-mail address that says whose it is.
//!
//! ```text
//! user/<id>        the user, as JSON
//! email/<address>  a claim: who asked for the address and when; the address in lower case
//! ```
//!
//! A store has no transactions, and requests run side by side and may end at any point. So the users alone say what is
//! true: a claim is *settled* when its user exists and has the address. Any other claim belongs to a request that is
//! still under way, and only that request may touch it, until [`LEASE`] has passed; then the request is certainly over
//! and the claim counts for nothing.
//!
//! - create: claim, then write the user
//! - update: claim the new address, renew the old claim, swap the user, remove the old claim
//! - delete: renew the claim, remove the user, remove the claim
//!
//! Claims are taken and users changed by compare-and-swap, so of two requests at once one loses and is told so. One that
//! dies half way leaves at most an address that nobody can have for a minute. What remains is that the store cannot
//! remove a key on a condition: two deletions of one user with a creation between their last steps could leave the new
//! user without a claim; updating that user makes it again.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wharf_sdk::{KeyValue, KeyValueError};

use crate::input::Input;

/// After this time a request is over, whatever happened to it: well above the request timeout of the service.
const LEASE: Duration = Duration::from_secs(60);

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) email: String,
    /// RFC 3339, UTC.
    pub(crate) created_at: String,
}

/// Who asked for an address, and when.
#[derive(Serialize, Deserialize)]
struct Claim {
    id: String,
    at: SystemTime,
}

/// Why it was not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such user.
    Unknown,
    /// The address belongs to another user.
    EmailTaken,
    /// Another request changed the user in between.
    Changed,
    /// The store failed.
    Store(KeyValueError),
}

impl From<KeyValueError> for Refusal {
    fn from(error: KeyValueError) -> Self {
        Self::Store(error)
    }
}

/// The users, as one request sees them.
pub(crate) struct Directory {
    store: KeyValue,
    now: SystemTime,
}

impl Directory {
    pub(crate) fn new(store: KeyValue, now: SystemTime) -> Self {
        Self { store, now }
    }

    pub(crate) fn get(&self, id: &str) -> Result<User, Refusal> {
        self.read(id).map(|(user, _)| user)
    }

    /// A user, and the bytes that a swap has to find unchanged.
    fn read(&self, id: &str) -> Result<(User, Vec<u8>), Refusal> {
        // Only the canonical form is looked up: other text is no id, and never becomes a key.
        let id = Uuid::try_parse(id).map_err(|_| Refusal::Unknown)?;
        let key = user_key(&id.to_string());
        let bytes = self.store.get(&key)?.ok_or(Refusal::Unknown)?;
        let user = serde_json::from_slice(&bytes);
        Ok((user.map_err(|why| KeyValueError::Value { key, why: why.to_string() })?, bytes))
    }

    pub(crate) fn create(&self, input: Input) -> Result<User, Refusal> {
        // Ids that grow with time keep the list in the order of creation.
        let id = Uuid::now_v7().to_string();
        let created_at = humantime::format_rfc3339_millis(self.now).to_string();
        let user = User { id, name: input.name, email: input.email, created_at };
        self.claim(&user.email, &user.id)?;
        if let Err(error) = self.store.set_json(&user_key(&user.id), &user) {
            self.store.delete(&email_key(&user.email))?;
            return Err(error.into());
        }
        Ok(user)
    }

    pub(crate) fn update(&self, id: &str, input: Input) -> Result<User, Refusal> {
        let (old, seen) = self.read(id)?;
        self.replace(old, &seen, input)
    }

    /// Makes `old`, which was read as the bytes `seen`, what the input says.
    fn replace(&self, old: User, seen: &[u8], input: Input) -> Result<User, Refusal> {
        let user = User { id: old.id.clone(), name: input.name, email: input.email, created_at: old.created_at };
        let moves = email_key(&old.email) != email_key(&user.email);
        let claimed = self.claim(&user.email, &user.id)?;
        let renewed = moves && self.renew(&old.email, &old.id)?;
        if !self.swap(seen, &user)? {
            // A claim that was there before belongs to the update that won: it stays.
            if moves && claimed {
                self.store.delete(&email_key(&user.email))?;
            }
            return Err(Refusal::Changed);
        }
        if renewed {
            self.store.delete(&email_key(&old.email))?;
        }
        Ok(user)
    }

    pub(crate) fn delete(&self, id: &str) -> Result<(), Refusal> {
        let user = self.get(id)?;
        let renewed = self.renew(&user.email, &user.id)?;
        self.store.delete(&user_key(&user.id))?;
        if renewed {
            self.store.delete(&email_key(&user.email))?;
        }
        Ok(())
    }

    /// At most `limit` users after the one with the id `after`, and the id to go on from if there are more.
    ///
    /// Reads all keys: the store knows no order but its own.
    pub(crate) fn page(&self, after: Option<&str>, limit: usize) -> Result<(Vec<User>, Option<String>), Refusal> {
        let mut ids: Vec<_> = self
            .store
            .keys()?
            .iter()
            .filter_map(|key| key.strip_prefix("user/"))
            .filter(|id| after.is_none_or(|after| *id > after))
            .map(str::to_owned)
            .collect();
        ids.sort_unstable();
        let more = ids.len() > limit;
        ids.truncate(limit);
        let next = if more { ids.last().cloned() } else { None };
        let mut users = Vec::with_capacity(ids.len());
        for id in ids {
            // One that was deleted a moment ago is left out.
            users.extend(self.store.get_json(&user_key(&id))?);
        }
        Ok((users, next))
    }

    /// Takes the address for this user, unless somebody else has it. Says whether this request took it: only then may it
    /// give it back.
    fn claim(&self, email: &str, id: &str) -> Result<bool, Refusal> {
        let place = email_key(email);
        let there = self.store.get(&place)?;
        if let Some(claim) = there.as_deref().and_then(read_claim) {
            let owner: Option<User> = self.store.get_json(&user_key(&claim.id))?;
            if owner.is_some_and(|owner| email_key(&owner.email) == place) {
                return if claim.id == id { Ok(false) } else { Err(Refusal::EmailTaken) };
            }
            // A claim of the future comes from a clock that was set back: it counts as new.
            let is_over = self.now.duration_since(claim.at).is_ok_and(|age| age >= LEASE);
            if !is_over {
                return Err(Refusal::EmailTaken);
            }
        }
        let taken = self.store.compare_and_swap(&place, there.as_deref(), &self.written_claim(id)?)?;
        if taken { Ok(true) } else { Err(Refusal::EmailTaken) }
    }

    /// Makes the user's claim one that is under way, so that nobody takes the address before this request removes it.
    /// Says whether there was one.
    fn renew(&self, email: &str, id: &str) -> Result<bool, Refusal> {
        let place = email_key(email);
        let there = self.store.get(&place)?;
        if there.as_deref().and_then(read_claim).is_none_or(|claim| claim.id != id) {
            return Ok(false);
        }
        Ok(self.store.compare_and_swap(&place, there.as_deref(), &self.written_claim(id)?)?)
    }

    fn swap(&self, seen: &[u8], user: &User) -> Result<bool, Refusal> {
        let key = user_key(&user.id);
        Ok(self.store.compare_and_swap(&key, Some(seen), &json(&key, user)?)?)
    }

    fn written_claim(&self, id: &str) -> Result<Vec<u8>, Refusal> {
        json(id, &Claim { id: id.to_owned(), at: self.now })
    }
}

fn json(key: &str, value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    let failed = |why: serde_json::Error| KeyValueError::Value { key: key.to_owned(), why: why.to_string() };
    Ok(serde_json::to_vec(value).map_err(failed)?)
}

/// What cannot be read is nobody's claim.
fn read_claim(bytes: &[u8]) -> Option<Claim> {
    serde_json::from_slice(bytes).ok()
}

fn user_key(id: &str) -> String {
    format!("user/{id}")
}

fn email_key(email: &str) -> String {
    format!("email/{}", email.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Directory {
        Directory::new(KeyValue::open("default").unwrap(), SystemTime::UNIX_EPOCH + Duration::from_secs(second))
    }

    fn input(email: &str) -> Input {
        Input { name: "Ann".to_owned(), email: email.to_owned() }
    }

    #[test]
    fn a_claim_of_a_request_that_died_holds_for_the_lease_and_no_longer() {
        at(1000).claim("ann@example.com", "a-request-that-died").unwrap();
        assert!(matches!(at(1059).create(input("Ann@example.com")), Err(Refusal::EmailTaken)));
        at(1060).create(input("ann@example.com")).unwrap();
        assert!(
            matches!(at(9999).create(input("ann@example.com")), Err(Refusal::EmailTaken)),
            "settled: no lease ends it"
        );
    }

    #[test]
    fn a_deletion_that_died_half_way_keeps_the_address_until_the_lease_ends() {
        let user = at(1000).create(input("ann@example.com")).unwrap();
        at(5000).renew("ann@example.com", &user.id).unwrap();
        at(5000).store.delete(&user_key(&user.id)).unwrap();
        assert!(matches!(at(5001).create(input("ann@example.com")), Err(Refusal::EmailTaken)));
        at(5060).create(input("ann@example.com")).unwrap();
    }

    #[test]
    fn a_user_that_changed_in_between_is_not_overwritten() {
        let user = at(1000).create(input("ann@example.com")).unwrap();
        let (_, seen) = at(1001).read(&user.id).unwrap();
        let renamed = User { name: "Anna".to_owned(), ..user.clone() };
        assert!(at(1001).swap(&seen, &renamed).unwrap());
        assert!(!at(1002).swap(&seen, &user).unwrap());
        assert_eq!(at(1003).get(&user.id).unwrap(), renamed);
    }

    #[test]
    fn a_user_that_was_deleted_in_between_is_not_written_back() {
        let user = at(1000).create(input("ann@example.com")).unwrap();
        let (_, seen) = at(1001).read(&user.id).unwrap();
        at(1001).delete(&user.id).unwrap();
        assert!(!at(1002).swap(&seen, &user).unwrap());
        assert_eq!(at(1003).store.keys().unwrap(), [""; 0]);
    }

    #[test]
    fn an_update_that_loses_to_its_twin_leaves_the_claim_of_the_twin() {
        let user = at(1000).create(input("ann@example.com")).unwrap();
        let (old, seen) = at(1001).read(&user.id).unwrap();
        at(1001).update(&user.id, input("new@example.com")).unwrap();
        let lost = at(1002).replace(old, &seen, Input { name: "Anna".to_owned(), ..input("new@example.com") });
        assert!(matches!(lost, Err(Refusal::Changed)));
        assert!(matches!(at(9999).create(input("new@example.com")), Err(Refusal::EmailTaken)));
    }

    #[test]
    fn an_update_that_loses_gives_back_the_address_that_it_took() {
        let user = at(1000).create(input("ann@example.com")).unwrap();
        let (old, seen) = at(1001).read(&user.id).unwrap();
        at(1001).update(&user.id, input("new@example.com")).unwrap();
        let lost = at(1002).replace(old, &seen, input("other@example.com"));
        assert!(matches!(lost, Err(Refusal::Changed)));
        at(1003).create(input("other@example.com")).unwrap();
    }

    #[test]
    fn an_update_makes_a_lost_claim_again() {
        let user = at(1000).create(input("ann@example.com")).unwrap();
        at(1000).store.delete("email/ann@example.com").unwrap();
        at(1001).update(&user.id, input("ann@example.com")).unwrap();
        assert!(matches!(at(9999).create(input("ann@example.com")), Err(Refusal::EmailTaken)));
    }
}
