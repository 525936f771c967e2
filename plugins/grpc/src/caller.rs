//! Who is asking, and what of that goes on to the services.
//!
//! Services take a call without these headers for one of another service, which may see everything. So a client of the
//! gateway without a token may not get past here with anything that belongs to somebody; a service is told apart by
//! `x-wharf-caller`, which the host sets and nobody outside can send.

use wharf_sdk::Request;

/// The headers in which the gateway says who somebody is.
const IDENTITY: [&str; 2] = ["x-wharf-user-id", "x-wharf-user-roles"];

/// Whether it is a client without a token.
pub(crate) fn is_anonymous(request: &Request) -> bool {
    // By name alone: a header that is no text still says that this is a user.
    let known = |(name, _): &(String, Vec<u8>)| {
        IDENTITY.iter().chain(&["x-wharf-caller"]).any(|one| one.eq_ignore_ascii_case(name))
    };
    !request.headers().iter().any(known)
}

/// The headers that go on to the services: the very same, or the host drops them.
pub(crate) fn identity(request: &Request) -> Vec<(String, String)> {
    let value = |name: &str| Some((name.to_owned(), request.header(name)?));
    IDENTITY.into_iter().filter_map(value).collect()
}
