//! Where an address that a guest wrote leads: to a service, to the event log, or out to the network.
//!
//! Everything below `internal` is ours and never leaves the process, in any spelling that a resolver could take for it
//! (letters of either case, a dot at the end). What is not exactly the name of a service there is refused and not
//! guessed. The name is reserved for private use (ICANN, 2024), so no host of the network is hidden by it.

use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;

use super::events::EVENTS;
use crate::capability::http::DispatchError;
use crate::config::valid_service_name;

/// What services are called under.
const INTERNAL: &str = ".internal";
const PORT: u16 = 80;

/// Who is to get a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// A service of this name, whether or not there is one.
    Service(Arc<str>),
    /// Events and queues.
    Events,
    /// A host outside.
    Network,
}

impl Destination {
    /// Reads an absolute address.
    ///
    /// # Errors
    /// When no service and no host can be meant.
    pub(super) fn of(uri: &Uri) -> Result<Self, DispatchError> {
        let authority = uri.authority().ok_or(DispatchError::BadAddress)?;
        let host = authority.host();
        // Nothing before the host (who needs a password puts it into a header), and behind it a port or nothing.
        let behind = authority.as_str().strip_prefix(host).ok_or(DispatchError::BadAddress)?;
        let port = match behind.strip_prefix(':') {
            None if behind.is_empty() => None,
            None => return Err(DispatchError::BadAddress),
            Some("") => None,
            Some(digits) => Some(digits.parse::<u16>().map_err(|_| DispatchError::BadAddress)?),
        };
        let host = host.to_ascii_lowercase();
        if host.is_empty() {
            return Err(DispatchError::BadAddress);
        }
        let name = host.trim_end_matches('.');
        if name != "internal" && !name.ends_with(INTERNAL) {
            return Ok(Self::Network);
        }
        let rooted = host.strip_suffix('.').unwrap_or(&host);
        let label = rooted.strip_suffix(INTERNAL).ok_or(DispatchError::NoSuchName)?;
        let events = label == EVENTS;
        if !events {
            valid_service_name(label).map_err(|_| DispatchError::NoSuchName)?;
        }
        // Between two services in one process there is nothing to encrypt, and nothing that could vouch for a name.
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(DispatchError::NotGranted);
        }
        match port {
            None | Some(PORT) if events => Ok(Self::Events),
            None | Some(PORT) => Ok(Self::Service(label.into())),
            Some(_) => Err(DispatchError::PortClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Result<Destination, DispatchError> {
        Destination::of(&address.parse().unwrap_or_else(|error| panic!("{address}: {error}")))
    }

    #[test]
    fn a_service_has_one_name_in_any_spelling() {
        for address in [
            "http://users.internal/",
            "http://users.internal/a?b=http://evil.test/",
            "http://users.internal:80/",
            "http://USERS.Internal/",
            "http://USERS.internal./",
            "HTTP://users.internal/",
        ] {
            assert_eq!(of(address), Ok(Destination::Service("users".into())), "{address}");
        }
    }

    #[test]
    fn events_have_a_name_that_no_service_can_have() {
        for address in ["http://events.internal/topics/a", "http://EVENTS.internal.:80/"] {
            assert_eq!(of(address), Ok(Destination::Events), "{address}");
        }
        assert_eq!(of("https://events.internal/"), Err(DispatchError::NotGranted));
        assert_eq!(of("http://events.internal:81/"), Err(DispatchError::PortClosed));
        assert_eq!(of("http://a.events.internal/"), Err(DispatchError::NoSuchName));
        assert!(valid_service_name(EVENTS).is_err());
    }

    #[test]
    fn what_is_not_exactly_a_service_never_leaves_the_process() {
        for address in [
            "http://internal/",
            "http://internal./",
            "http://.internal/",
            "http://a.users.internal/",
            "http://users.internal../",
            "http://us_ers.internal/",
            "http://1users.internal/",
            "http://-.internal/",
        ] {
            assert_eq!(of(address), Err(DispatchError::NoSuchName), "{address}");
        }
        assert_eq!(of("https://users.internal/"), Err(DispatchError::NotGranted));
        assert_eq!(of("ws://users.internal/"), Err(DispatchError::NotGranted));
        for port in ["0", "8080", "443", "65535"] {
            assert_eq!(of(&format!("http://users.internal:{port}/")), Err(DispatchError::PortClosed), "{port}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_no_address() {
        for address in [
            "http://users.internal:99999/",
            "http://users.internal@evil.test/",
            "http://evil.test@users.internal/",
            "http://user:word@users.internal/",
            "http://@users.internal/",
        ] {
            assert_eq!(of(address), Err(DispatchError::BadAddress), "{address}");
        }
    }

    #[test]
    fn everything_else_is_the_network() {
        for address in [
            "http://users.internal.evil.com/",
            "http://usersinternal/",
            "http://notinternal/",
            "http://users.internal%2e/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]:80/",
            "http://127.0.0.1/",
            "http://localhost/",
            "https://api.example.com:8443/",
        ] {
            let Ok(uri) = address.parse::<Uri>() else { continue };
            assert_eq!(Destination::of(&uri), Ok(Destination::Network), "{address}");
        }
    }
}
