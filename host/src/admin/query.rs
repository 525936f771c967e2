//! The query of a request to the admin API: known names only, each at most once.

use percent_encoding::percent_decode_str;

use super::problem::{Problem, Wrong};

/// The value of each of `names`, in their order.
///
/// # Errors
/// With everything that is wrong.
pub(super) fn read<const N: usize>(query: Option<&str>, names: [&str; N]) -> Result<[Option<String>; N], Problem> {
    let mut values = [const { None }; N];
    let mut wrong = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = names.iter().position(|known| *known == name).and_then(|at| values.get_mut(at));
        match place {
            Some(place) if place.is_none() => *place = Some(decode(value)),
            Some(_) => wrong.push(Wrong::new(name, "it is given twice")),
            None => {
                let name: String = decode(name).chars().take(64).collect();
                let message = format!("there is no such parameter: use {}", names.join(", "));
                wrong.push(Wrong::new(name.escape_debug().to_string(), message));
            }
        }
    }
    if wrong.is_empty() { Ok(values) } else { Err(Problem::Invalid(wrong)) }
}

/// Text without percent signs; what is no UTF-8 is replaced and so equal to nothing.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_parameters_are_read_and_others_refused() {
        let [service, tag] = read(Some("tag=a%2Fb&service=orders"), ["service", "tag"]).unwrap();
        assert_eq!((service.as_deref(), tag.as_deref()), (Some("orders"), Some("a/b")));
        assert_eq!(read(None, ["service"]).unwrap(), [None]);
        for bad in ["servce=a", "service=a&service=b"] {
            assert!(read(Some(bad), ["service"]).is_err(), "{bad}");
        }
    }
}
