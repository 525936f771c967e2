//! Host names as routing compares them: without case, port and trailing dot; `*.x` stands for one or more labels
//! before `.x`. Which of the listeners of one address a request belongs to is decided by its host, too.

/// Longest host name there can be; a longer one matches no name.
pub(super) const MAX_HOST: usize = 253;

/// A listener as far as routing knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener<'a> {
    /// Its name in the configuration; routes ask for it.
    pub(crate) name: &'a str,
    /// The hosts it answers for, exact or `*.suffix`; `None` is all of them.
    pub(crate) hostname: Option<&'a str>,
}

/// Which of the listeners that share an address a request belongs to: the one whose host name is the most specific of
/// those that match, as in the Gateway API. `host` is as sent, with or without port. `None`: none of them answers.
pub(crate) fn listener_for<'a>(
    listeners: impl IntoIterator<Item = Listener<'a>>,
    host: Option<&str>,
) -> Option<Listener<'a>> {
    let mut buffer = [0; MAX_HOST];
    let host = host.and_then(|host| lowercase(bare_host(host), &mut buffer));
    let matching = listeners.into_iter().filter(|listener| listener.answers(host));
    // Of equal ones the first: `max_by_key` would take the last.
    matching.fold(None, |best: Option<Listener<'_>>, next| match best {
        Some(best) if best.specificity() >= next.specificity() => Some(best),
        _ => Some(next),
    })
}

impl Listener<'_> {
    /// Whether a host, bare and in lower case, is one of its own.
    pub(super) fn answers(&self, host: Option<&str>) -> bool {
        match (self.hostname, host) {
            (None, _) => true,
            (Some(pattern), Some(host)) => covers(pattern, host),
            (Some(_), None) => false,
        }
    }

    /// Exact names before wildcards, longer wildcards before shorter ones.
    fn specificity(&self) -> (bool, usize) {
        self.hostname.map_or((false, 0), |name| (!name.starts_with("*."), name.len()))
    }
}

/// Whether `host`, bare and in lower case, is `pattern` or, for `*.x`, ends in `.x`.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host
            .len()
            .checked_sub(suffix.len())
            .and_then(|start| host.get(start..).filter(|_| start > 0))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// A host without port and trailing dot; `[::1]:80` is `[::1]`.
pub(super) fn bare_host(host: &str) -> &str {
    let host = match host.rsplit_once(':') {
        Some((before, port)) if port.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => host,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// `host` in lower case, in `buffer`; `None` if it does not fit.
pub(super) fn lowercase<'b>(host: &str, buffer: &'b mut [u8; MAX_HOST]) -> Option<&'b str> {
    let lower = buffer.get_mut(..host.len())?;
    lower.copy_from_slice(host.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_or_more_labels_but_not_none() {
        for (pattern, host, expected) in [
            ("*.b.c", "a.b.c", true),
            ("*.b.c", "x.a.b.c", true),
            ("*.b.c", "b.c", false),
            ("*.b.c", ".b.c", false),
            ("*.b.c", "xb.c", false),
            ("b.c", "b.c", true),
            ("b.c", "a.b.c", false),
        ] {
            assert_eq!(covers(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn the_most_specific_listener_of_an_address_answers() {
        let named = |name, hostname| Listener { name, hostname: Some(hostname) };
        let listeners = [
            named("wild", "*.bar.com"),
            Listener { name: "all", hostname: None },
            named("exact", "foo.bar.com"),
            named("deep", "*.deep.bar.com"),
            named("again", "*.bar.com"),
        ];
        for (host, expected) in [
            (Some("FOO.bar.com:8080"), "exact"),
            (Some("baz.bar.com."), "wild"),
            (Some("x.deep.bar.com"), "deep"),
            (Some("bar.com"), "all"),
            (None, "all"),
        ] {
            assert_eq!(listener_for(listeners, host).map(|listener| listener.name), Some(expected), "{host:?}");
        }
        assert_eq!(listener_for([named("exact", "a.b")], Some("b")), None);
        assert_eq!(listener_for([named("exact", "a.b")], None), None);
    }
}
