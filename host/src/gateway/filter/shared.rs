//! Filters that are the same in many places, made once.
//!
//! A filter of `gateway.yaml` holds for every rule. What it keeps (a list of keys, passwords that were right) and what it
//! does in the background is needed once and not for each of them, and outlasts a change of the configuration as long as
//! the filter itself is not changed: a reload must not have every password verified anew.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Filters of one kind by their configuration, for as long as somebody uses them.
pub(super) struct Shared<C, T>(Mutex<Vec<(C, Weak<T>)>>);

impl<C, T> Default for Shared<C, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Clone + PartialEq, T> Shared<C, T> {
    /// The filter that there is for this configuration, else what `make` makes.
    pub(super) fn get(&self, config: &C, make: impl FnOnce(&C) -> Result<T, String>) -> Result<Arc<T>, String> {
        // Nothing under the lock leaves the list half-changed.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, filter)| filter.strong_count() > 0);
        let same = known.iter().find(|(other, _)| other == config).and_then(|(_, filter)| filter.upgrade());
        if let Some(filter) = same {
            return Ok(filter);
        }
        let filter = Arc::new(make(config)?);
        known.push((config.clone(), Arc::downgrade(&filter)));
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_configuration_makes_one_filter_for_as_long_as_it_is_used() {
        let shared = Shared::<u8, String>::default();
        let make = |text: &'static str| move |_: &u8| Ok(text.to_owned());
        let first = shared.get(&1, make("a")).unwrap();
        assert!(Arc::ptr_eq(&first, &shared.get(&1, make("b")).unwrap()));
        assert_eq!(*shared.get(&2, make("c")).unwrap(), "c");
        assert_eq!(shared.get(&3, |_| Err("no".to_owned())), Err("no".to_owned()));
        drop(first);
        assert_eq!(*shared.get(&1, make("d")).unwrap(), "d");
    }
}
