//! Who is asking. The gateway says it in headers that nobody outside can send: `x-user-id` and `x-user-roles` of a token.
//! Whoever comes with neither is another service; strangers without a token are the gateway's business, which lets
//! them only read.

use wharf_sdk::{Error, Request};

/// Whether the token has the role `admin`.
fn is_admin(request: &Request) -> bool {
    request.header("x-user-roles").is_some_and(|roles| roles.split(',').any(|role| role.trim() == "admin"))
}

/// Lets only admins and other services pass.
///
/// # Errors
/// 403.
pub(crate) fn must_be_admin_or_service(request: &Request) -> Result<(), Error> {
    // Looked for by name alone: a header that is no text still says that this is somebody from outside.
    let is_user = request.headers().iter().any(|(name, _)| {
        let name = name.to_ascii_lowercase();
        name == "x-user-id" || name == "x-user-roles"
    });
    if !is_user || is_admin(request) { Ok(()) } else { Err(Error::new(403, "only an admin may do this")) }
}

/// Lets pass whoever is surely no stranger: an admin, or a service of which the host has said the name. For what may be
/// asked for at a path that is open to all.
///
/// # Errors
/// 403.
pub(crate) fn must_be_known(request: &Request) -> Result<(), Error> {
    if is_admin(request) || request.header("x-wharf-caller").is_some() {
        return Ok(());
    }
    Err(Error::new(403, "only an admin may see this"))
}
