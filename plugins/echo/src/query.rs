//! The parameters behind the `?`.

/// A number among the parameters, or `default` if it is not there; `None` if it is there and no number.
pub(crate) fn number(query: &str, name: &str, default: u64) -> Option<u64> {
    let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name);
    found.map_or(Some(default), |(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_is_not_there_has_its_default() {
        assert_eq!(number("", "ms", 7), Some(7));
        assert_eq!(number("count=3&ms=250", "ms", 7), Some(250));
    }

    #[test]
    fn what_is_no_number_is_told_apart_from_nothing() {
        assert_eq!(number("ms=soon", "ms", 7), None);
        assert_eq!(number("ms=-1", "ms", 7), None);
    }
}
