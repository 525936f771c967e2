//! Who asks: the gateway has checked the token and says in headers whose it is, and nobody outside can send them. A
//! request without them comes from another service (anybody else is stopped by the gateway, see `users.yaml`).

use wharf_sdk::{Error, Request};

/// The role that may do everything.
pub(crate) const ADMIN: &str = "admin";

/// Who asks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Another service.
    Inside,
    /// A user.
    User {
        /// Whose token it is.
        id: String,
        /// Whether it has the role.
        is_admin: bool,
    },
}

impl Caller {
    pub(crate) fn of(request: &Request) -> Self {
        // By name alone: a header that is no text still says that this is a user.
        let is_user = request.headers().iter().any(|(name, _)| {
            let name = name.to_ascii_lowercase();
            name == "x-user-id" || name == "x-user-roles"
        });
        if !is_user {
            return Self::Inside;
        }
        let roles = request.header("x-user-roles").unwrap_or_default();
        let is_admin = roles.split(',').any(|role| role.trim() == ADMIN);
        Self::User { id: request.header("x-user-id").unwrap_or_default(), is_admin }
    }

    /// # Errors
    /// 403 for everybody who is neither this user, an administrator nor a service.
    pub(crate) fn may_see(&self, user: &str) -> Result<(), Error> {
        match self {
            Self::Inside | Self::User { is_admin: true, .. } => Ok(()),
            Self::User { id, .. } if id == user => Ok(()),
            Self::User { .. } => Err(Error::new(403, "this is for the user and for administrators")),
        }
    }

    /// # Errors
    /// 403 for users without the role.
    pub(crate) fn may_see_all(&self) -> Result<(), Error> {
        match self {
            Self::Inside | Self::User { is_admin: true, .. } => Ok(()),
            Self::User { .. } => Err(Error::new(403, "this is for administrators")),
        }
    }

    /// # Errors
    /// 403 for everybody without the role, services too.
    pub(crate) fn is_admin(&self) -> Result<(), Error> {
        match self {
            Self::User { is_admin: true, .. } => Ok(()),
            Self::Inside | Self::User { .. } => Err(Error::new(403, "this is for administrators")),
        }
    }
}
