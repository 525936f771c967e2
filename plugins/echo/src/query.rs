//! Numbers in a query.

/// The part of the target after `?`.
#[derive(Debug)]
pub(crate) struct Query(String);

impl Query {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A number up to `max`; `default` if it is not there.
    ///
    /// # Errors
    /// When it is something else; the text is for the client.
    pub(crate) fn up_to(&self, name: &str, default: u64, max: u64) -> Result<u64, String> {
        let Some((_, value)) = form_urlencoded::parse(self.0.as_bytes()).find(|(key, _)| key == name) else {
            return Ok(default);
        };
        let number = value.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| format!("{name} is a whole number from 0 to {max}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_there_has_its_default() {
        assert_eq!(Query::new("").up_to("count", 5, 10), Ok(5));
        assert_eq!(Query::new("counts=7&ms=8").up_to("count", 5, 10), Ok(5));
    }

    #[test]
    fn a_number_is_taken_up_to_the_cap() {
        assert_eq!(Query::new("ms=1&count=10").up_to("count", 5, 10), Ok(10));
        assert_eq!(Query::new("count=%31").up_to("count", 5, 10), Ok(1));
    }

    #[test]
    fn anything_else_is_refused_with_the_cap() {
        for wrong in ["count=11", "count=", "count=-1", "count=1.5", "count=99999999999999999999", "count=many"] {
            let refused = Query::new(wrong).up_to("count", 5, 10);
            assert_eq!(refused, Err("count is a whole number from 0 to 10".to_owned()), "{wrong}");
        }
    }
}
