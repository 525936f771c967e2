//! What filters count, by name, so that it outlasts a change of the configuration: a reload must neither forget who
//! waits nor let twice as many wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// States of one kind by the name of what has them, for as long as somebody uses them.
pub(in crate::gateway) struct Kept<T>(Mutex<HashMap<String, Weak<T>>>);

/// So many at once. Everybody who asks says how many that are, because the limit may change while they are inside.
#[derive(Debug, Default)]
pub(super) struct Places(AtomicUsize);

/// One of them; given back by `Drop`.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> Kept<T> {
    /// The state that there is under this name, else a new one.
    pub(super) fn get(&self, name: &str) -> Arc<T> {
        self.get_or(name, T::default)
    }
}

impl<T> Kept<T> {
    /// The state that there is under this name, else what `make` makes.
    pub(in crate::gateway) fn get_or(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        // Nothing under the lock leaves the map half-changed.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = known.get(name).and_then(Weak::upgrade) {
            return state;
        }
        known.retain(|_, state| state.strong_count() > 0);
        let state = Arc::new(make());
        known.insert(name.to_owned(), Arc::downgrade(&state));
        state
    }

    /// All that somebody uses, by name.
    pub(in crate::gateway) fn all(&self) -> Vec<(String, Arc<T>)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(|(name, state)| Some((name.clone(), state.upgrade()?))).collect()
    }
}

impl Places {
    /// A place, if fewer than `max` are taken.
    pub(super) fn enter(self: &Arc<Self>, max: usize) -> Option<Place> {
        let entered =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| (taken < max).then_some(taken + 1));
        entered.ok().map(|_| Place(Arc::clone(self)))
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_state_for_as_long_as_it_is_used() {
        let kept = Kept::<AtomicUsize>::default();
        let first = kept.get("a");
        first.store(7, Ordering::Relaxed);
        assert!(Arc::ptr_eq(&first, &kept.get("a")) && !Arc::ptr_eq(&first, &kept.get("b")));
        let names = |kept: &Kept<_>| kept.all().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(&kept), ["a"], "only those that are used");
        drop(first);
        assert!(names(&kept).is_empty());
        assert_eq!(kept.get("a").load(Ordering::Relaxed), 0);
        assert_eq!(kept.0.lock().unwrap().len(), 1, "what nobody uses is forgotten");
    }

    #[test]
    fn places_come_back_and_a_lower_limit_waits_for_them() {
        let places = Arc::new(Places::default());
        let [one, two] = [places.enter(2).unwrap(), places.enter(2).unwrap()];
        assert!(places.enter(2).is_none() && places.enter(1).is_none());
        drop(one);
        assert!(places.enter(1).is_none(), "the other is inside still");
        drop(two);
        assert!(places.enter(1).is_some());
    }
}
