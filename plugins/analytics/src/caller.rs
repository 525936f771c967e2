//! Who is asking. The gateway says it in two headers, which nobody outside can send; a call from another service has
//! neither.

use wharf_sdk::{Error, Request};

/// Refuses users who are no administrators: the numbers are those of the shop, not of its customers.
pub(crate) fn check_admin(request: &Request) -> Result<(), Error> {
    let roles = request.header("x-user-roles");
    let inside = request.header("x-user-id").is_none() && roles.is_none();
    let admin = || roles.is_some_and(|roles| roles.split(',').any(|role| role.trim() == "admin"));
    if inside || admin() { Ok(()) } else { Err(Error::new(403, "this is for administrators")) }
}
