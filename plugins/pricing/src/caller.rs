//! Who is asking. The gateway says it in headers that nobody outside can send: `x-user-id` and `x-user-roles` of a token.
//! Whoever comes with neither is another service; strangers without a token are the gateway's business, which lets
//! them only ask for a price.

use wharf_sdk::{Error, Request};

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
    let roles = request.header("x-user-roles").unwrap_or_default();
    if !is_user || roles.split(',').any(|role| role.trim() == "admin") {
        return Ok(());
    }
    Err(Error::new(403, "only an admin may do this"))
}
