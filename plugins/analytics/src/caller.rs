//! Who is asking. The gateway says it in two headers, which nobody outside can send; a call from another service has
//! neither.

use wharf_sdk::{Error, Request};

/// Refuses users who are no administrators: the numbers are those of the shop, not of its customers.
pub(crate) fn check_admin(request: &Request) -> Result<(), Error> {
    // By name alone: a header that is no text still says that this is a user.
    let says = |(name, _): &(String, _)| ["x-user-id", "x-user-roles"].iter().any(|one| name.eq_ignore_ascii_case(one));
    let inside = !request.headers().iter().any(says);
    let roles = request.header("x-user-roles").unwrap_or_default();
    let admin = roles.split(',').any(|role| role.trim() == "admin");
    if inside || admin { Ok(()) } else { Err(Error::new(403, "this is for administrators")) }
}
