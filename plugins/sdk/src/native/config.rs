//! What the operator has set, for tests: nothing, until a test says so.

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static VALUES: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// For tests: from now on, [`config::get`](crate::config::get) of this thread answers this value for the name.
pub fn set_config(name: &str, value: &str) {
    VALUES.with_borrow_mut(|values| values.insert(name.to_owned(), value.to_owned()));
}

pub(crate) fn config(name: &str) -> Option<String> {
    VALUES.with_borrow(|values| values.get(name).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_says_what_is_set() {
        assert_eq!(crate::config::get_or("currency", "EUR"), "EUR");
        set_config("currency", "CHF");
        assert_eq!(crate::config::get_or("currency", "EUR"), "CHF");
    }
}
