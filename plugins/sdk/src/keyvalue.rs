//! The service's own key-value store (`wasi:keyvalue@0.2.0-draft2`, and `wharf:service/expiry` for keys that end).
//!
//! There are no transactions. What must not happen twice is decided by one [`compare_and_swap`], as in: this e-mail
//! address belongs to that user.
//!
//! [`compare_and_swap`]: KeyValue::compare_and_swap

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::platform::Bucket;

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// There is no store of this name; a service has one, `default`.
    #[error("there is no such store: open `default`")]
    NoSuchStore,
    /// The operator has not granted it.
    #[error("access to the store is not granted")]
    AccessDenied,
    /// Anything else, such as a quota.
    #[error("the store failed: {0}")]
    Other(String),
    /// A value is not the JSON that was expected.
    #[error("the value of `{key}` is not as expected: {why}")]
    Value {
        /// Where it lies.
        key: String,
        /// What the JSON reader says.
        why: String,
    },
}

/// How long a key stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// There is no such key.
    Missing,
    /// Until it is deleted.
    Unlimited,
    /// This much longer.
    Left(Duration),
}

/// A store of keys and values. What one request has written, the next one reads.
#[derive(Debug)]
pub struct KeyValue(Bucket);

impl KeyValue {
    /// Opens a store; the host gives every service one that is named `default`.
    ///
    /// # Errors
    /// When there is none of this name, or it is not granted.
    pub fn open(name: &str) -> Result<Self, KeyValueError> {
        Bucket::open(name).map(Self)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the store fails.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        self.0.get(key)
    }

    /// Writes a value that is gone after this time, from a millisecond to ten years. [`set`](Self::set) and
    /// [`compare_and_swap`](Self::compare_and_swap) make a key stay again, [`increment`](Self::increment) does not.
    ///
    /// # Errors
    /// When the store fails, its quota is used up or the time is out of bounds.
    pub fn set_expiring(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), KeyValueError> {
        self.0.set_expiring(key, value, ttl)
    }

    /// Lets a key be gone after this time, or stay until it is deleted if there is none; says whether it is there.
    ///
    /// # Errors
    /// When the store fails or the time is out of bounds.
    pub fn expire(&self, key: &str, ttl: Option<Duration>) -> Result<bool, KeyValueError> {
        self.0.expire(key, ttl)
    }

    /// How long a key stays.
    ///
    /// # Errors
    /// When the store fails.
    pub fn lifetime(&self, key: &str) -> Result<Lifetime, KeyValueError> {
        self.0.lifetime(key)
    }

    /// Writes a value over what is there.
    ///
    /// # Errors
    /// When the store fails or its quota is used up.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        self.0.set(key, value)
    }

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        self.0.delete(key)
    }

    /// Whether the key is there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        self.0.exists(key)
    }

    /// All keys, in no order.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keys(&self) -> Result<Vec<String>, KeyValueError> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let (keys, next) = self.0.list_keys(cursor.as_deref())?;
            all.extend(keys);
            match next {
                Some(_) => cursor = next,
                None => return Ok(all),
            }
        }
    }

    /// Writes the value only if what is there is still `expected` (`None`: nothing); says whether it did.
    ///
    /// # Errors
    /// When the store fails or its quota is used up.
    pub fn compare_and_swap(&self, key: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<bool, KeyValueError> {
        self.0.compare_and_swap(key, expected, new)
    }

    /// Adds to a counter, which begins at 0, and gives the new count.
    ///
    /// # Errors
    /// When the store fails or the value is no counter.
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64, KeyValueError> {
        self.0.increment(key, delta)
    }

    /// The value of a key, read as JSON.
    ///
    /// # Errors
    /// When the store fails or the value isn't what `T` asks for.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, KeyValueError> {
        let Some(bytes) = self.get(key)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|why| value_error(key, &why))
    }

    /// Writes a value as JSON over what is there.
    ///
    /// # Errors
    /// When the store fails, its quota is used up or the value has no JSON form.
    pub fn set_json<T: Serialize>(&self, key: &str, value: &T) -> Result<(), KeyValueError> {
        self.set(key, &serde_json::to_vec(value).map_err(|why| value_error(key, &why))?)
    }
}

fn value_error(key: &str, why: &serde_json::Error) -> KeyValueError {
    KeyValueError::Value { key: key.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_for_tests_keeps_what_is_written() {
        let store = KeyValue::open("default").unwrap();
        assert_eq!(store.get("a").unwrap(), None);
        store.set("a", b"1").unwrap();
        store.set_json("b", &[1, 2]).unwrap();
        assert_eq!(KeyValue::open("default").unwrap().get("a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(store.get_json::<Vec<u8>>("b").unwrap(), Some(vec![1, 2]));
        assert!(matches!(store.get_json::<String>("b"), Err(KeyValueError::Value { .. })));
        assert!(store.exists("a").unwrap());
        store.delete("a").unwrap();
        assert!(!store.exists("a").unwrap());
        assert_eq!(store.keys().unwrap(), ["b"]);
        assert_eq!(KeyValue::open("other").unwrap_err(), KeyValueError::NoSuchStore);
    }

    #[test]
    fn a_key_can_end_and_a_write_makes_it_stay() {
        let store = KeyValue::open("default").unwrap();
        assert_eq!(store.lifetime("k").unwrap(), Lifetime::Missing);
        store.set_expiring("k", b"1", Duration::from_secs(60)).unwrap();
        assert!(matches!(store.lifetime("k").unwrap(), Lifetime::Left(left) if left > Duration::from_secs(50)));
        store.increment("k", 1).unwrap();
        assert!(matches!(store.lifetime("k").unwrap(), Lifetime::Left(_)));
        store.set("k", b"1").unwrap();
        assert_eq!(store.lifetime("k").unwrap(), Lifetime::Unlimited);
        assert!(store.expire("k", Some(Duration::from_millis(1))).unwrap());
        #[expect(clippy::disallowed_methods, reason = "there is no executor")]
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!((store.get("k").unwrap(), store.lifetime("k").unwrap()), (None, Lifetime::Missing));
        assert!(!store.expire("k", None).unwrap() && store.keys().unwrap().is_empty());
        let refused = store.set_expiring("k", b"1", Duration::ZERO).unwrap_err();
        assert!(matches!(refused, KeyValueError::Other(_)), "{refused}");
    }

    #[test]
    fn compare_and_swap_writes_only_over_what_is_expected() {
        let store = KeyValue::open("default").unwrap();
        assert!(store.compare_and_swap("k", None, b"1").unwrap());
        assert!(!store.compare_and_swap("k", None, b"2").unwrap());
        assert!(!store.compare_and_swap("k", Some(b"0"), b"2").unwrap());
        assert!(store.compare_and_swap("k", Some(b"1"), b"2").unwrap());
        assert_eq!(store.get("k").unwrap().as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn counters_begin_at_nothing() {
        let store = KeyValue::open("default").unwrap();
        assert_eq!(store.increment("n", 5).unwrap(), 5);
        assert_eq!(store.increment("n", -7).unwrap(), -2);
    }
}
