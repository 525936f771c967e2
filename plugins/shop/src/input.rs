//! What is said of an input that will not do: all that is wrong with it at once, field by field.

use wharf_sdk::{Error, FieldError};

/// What the shop takes (ISO 4217). All have hundredths.
pub const CURRENCIES: [&str; 3] = ["EUR", "GBP", "USD"];
/// Bytes of an id.
const LONGEST_ID: usize = 64;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub struct Wrong(Vec<FieldError>);

impl Wrong {
    /// What is said of the field, unless it is fine.
    pub fn unless(&mut self, fine: bool, field: impl Into<String>, detail: impl Into<String>) {
        if !fine {
            self.add(wrong(field, detail));
        }
    }

    /// One more.
    pub fn add(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// Whether everything was fine.
    ///
    /// # Errors
    /// 422 that names all fields that were not.
    pub fn end(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::unprocessable(self.0)) }
    }

    /// The fields that were not.
    pub fn into_fields(self) -> Vec<FieldError> {
        self.0
    }
}

/// What is wrong with a field.
pub fn wrong(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), detail: detail.into() }
}

/// 422 for one field.
pub fn unprocessable(field: impl Into<String>, detail: impl Into<String>) -> Error {
    Error::unprocessable(vec![wrong(field, detail)])
}

/// Whether something can be called this: 1 to 64 letters, digits, `-` and `_`. It is safe as a part of an address, of a
/// key, of the id of an event.
pub fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(fits)
}

/// Whether it is one of [`CURRENCIES`].
pub fn is_currency(text: &str) -> bool {
    CURRENCIES.contains(&text)
}

/// What a currency is to be, for [`Wrong`].
pub fn currencies() -> String {
    format!("is to be one of {}", CURRENCIES.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut all = Wrong::default();
        all.unless(true, "a", "is fine");
        assert!(Wrong::default().end().is_ok());
        all.unless(false, "b", "is missing");
        all.add(wrong("c", "is too long"));
        let error = all.end().unwrap_err();
        assert_eq!((error.status(), error.fields()), (422, &[wrong("b", "is missing"), wrong("c", "is too long")][..]));
        let one = unprocessable("b", "is missing");
        assert_eq!((one.status(), one.fields()), (422, &[wrong("b", "is missing")][..]));
    }

    #[test]
    fn an_id_is_safe_wherever_it_is_put() {
        let longest = "x".repeat(64);
        for id in ["0190a000-0000-7000-8000-000000000001", "o_1", &longest] {
            assert!(is_id(id), "{id}");
        }
        let longer = "x".repeat(65);
        for text in ["", &longer, "a/b", "a b", "..", "a%2Fb", "a\n", "ä", "a?b", "a,b"] {
            assert!(!is_id(text), "{text:?}");
        }
    }

    #[test]
    fn currencies_are_written_in_one_way() {
        assert!(CURRENCIES.into_iter().all(is_currency));
        assert!(!is_currency("eur") && !is_currency("CHF") && !is_currency(""));
        assert_eq!(currencies(), "is to be one of EUR, GBP, USD");
    }
}
