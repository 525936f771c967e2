//! What a file name in the folder says: nothing, a service, a version of a service, or a mistake.

use std::ffi::OsStr;

use crate::config::not_reserved;

/// Longest service name, in bytes: that of a DNS label, because a service is also a host name for its neighbours.
const MAX_SERVICE: usize = 63;
/// Longest version label, in bytes.
const MAX_LABEL: usize = 64;

/// A file name that stands for a version of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) service: String,
    pub(super) label: Option<String>,
}

/// Whether a file of this name is our business at all. Names with a leading dot are how editors, `rsync` and
/// Kubernetes hide files that are not finished or not meant.
pub(super) fn counts(file_name: &OsStr) -> bool {
    let bytes = file_name.as_encoded_bytes();
    bytes.ends_with(b".wasm") && !bytes.starts_with(b".")
}

/// Reads `<service>.wasm` or `<service>@<label>.wasm`; the error says what is wrong with it.
pub(super) fn parse(file_name: &OsStr) -> Result<Name, String> {
    let text = file_name.to_str().ok_or("the file name is not UTF-8; rename it to `<service>.wasm`")?;
    let stem = text.strip_suffix(".wasm").unwrap_or(text);
    let (service, label) = match stem.split_once('@') {
        Some((service, label)) => (service, Some(label)),
        None => (stem, None),
    };
    let first_is_letter = service.starts_with(|c: char| c.is_ascii_lowercase());
    let all_allowed = service.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !first_is_letter || !all_allowed || service.len() > MAX_SERVICE {
        return Err(format!(
            "`{}` is no service name; rename the file so that the part before `.wasm` or `@` begins with a lowercase \
             letter and has only lowercase letters, digits and `-`, at most {MAX_SERVICE}",
            service.escape_debug()
        ));
    }
    not_reserved(service)?;
    if let Some(label) = label {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
        if label.is_empty() || label.len() > MAX_LABEL || !label.bytes().all(allowed) {
            return Err(format!(
                "`{}` is no version label; rename the file so that the part after `@` has only letters, digits, `.`, \
                 `-`, `_` and `+`, at most {MAX_LABEL}",
                label.escape_debug()
            ));
        }
    }
    Ok(Name { service: service.to_owned(), label: label.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(service: &str, label: Option<&str>) -> Name {
        Name { service: service.into(), label: label.map(Into::into) }
    }

    #[test]
    fn names_of_the_host_are_no_services() {
        for file in ["events.wasm", "events@1.wasm"] {
            let why = parse(file.as_ref()).unwrap_err();
            assert!(why.contains("http://events.internal/"), "{why}");
        }
        assert!(parse("event.wasm".as_ref()).is_ok());
    }

    #[test]
    fn a_file_name_gives_service_and_label() {
        assert_eq!(parse("orders.wasm".as_ref()), Ok(name("orders", None)));
        assert_eq!(parse("o2-x.wasm".as_ref()), Ok(name("o2-x", None)));
        assert_eq!(parse("orders@1.2.0-rc.1+b_7.wasm".as_ref()), Ok(name("orders", Some("1.2.0-rc.1+b_7"))));
        assert_eq!(parse(format!("{}.wasm", "a".repeat(63)).as_ref()), Ok(name(&"a".repeat(63), None)));
    }

    #[test]
    fn a_bad_name_is_refused_with_what_to_do() {
        let long = format!("{}.wasm", "a".repeat(64));
        let long_label = format!("a@{}.wasm", "1".repeat(65));
        for bad in
            ["Orders.wasm", "1orders.wasm", "or_ders.wasm", "é.wasm", "@1.wasm", "a@.wasm", "a@x y.wasm", "a@b@c.wasm"]
        {
            assert!(parse(bad.as_ref()).is_err_and(|reason| reason.contains("rename the file")), "{bad}");
        }
        assert!(parse(long.as_ref()).is_err());
        assert!(parse(long_label.as_ref()).is_err());
    }

    #[test]
    fn hidden_and_foreign_names_do_not_count() {
        for (file, expected) in [
            ("a.wasm", true),
            ("A.wasm", true),
            (".a.wasm", false),
            (".wasm", false),
            ("a.wasm.tmp", false),
            ("a.wat", false),
            ("..data", false),
        ] {
            assert_eq!(counts(file.as_ref()), expected, "{file}");
        }
    }
}
