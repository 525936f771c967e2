//! Who asks. The gateway says it in headers that nobody outside can send: `x-user-id` and `x-user-roles` of a token.
//! Who comes with neither is another service; strangers without a token are stopped by the gateway (`payments.yaml`).

use wharf_sdk::{Error, Request};

/// # Errors
/// 403 for everybody but administrators and services.
pub(crate) fn must_be_admin_or_service(request: &Request) -> Result<(), Error> {
    must_be(request, None)
}

/// # Errors
/// 403 for everybody but this user, administrators and services.
pub(crate) fn must_be(request: &Request, user: Option<&str>) -> Result<(), Error> {
    // By name alone: a header that is no text still says that this is a user.
    let is_user = request.headers().iter().any(|(name, _)| {
        let name = name.to_ascii_lowercase();
        name == "x-user-id" || name == "x-user-roles"
    });
    let roles = request.header("x-user-roles").unwrap_or_default();
    let is_admin = roles.split(',').any(|role| role.trim() == "admin");
    let is_self = user.is_some() && request.header("x-user-id").as_deref() == user;
    if !is_user || is_admin || is_self { Ok(()) } else { Err(Error::new(403, "this is not for you")) }
}
