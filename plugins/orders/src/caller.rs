//! Who is asking. The gateway says it in two headers, which nobody outside can send; a call from another service has
//! neither.

use wharf_sdk::{Error, Request};

#[derive(Debug)]
pub(crate) enum Caller {
    /// Another service.
    Inside,
    /// Somebody with a token.
    User { id: String, admin: bool },
}

impl Caller {
    pub(crate) fn of(request: &Request) -> Self {
        // By name alone: a header that is no text still says that this is a user.
        let says =
            |(name, _): &(String, _)| ["x-user-id", "x-user-roles"].iter().any(|one| name.eq_ignore_ascii_case(one));
        if !request.headers().iter().any(says) {
            return Self::Inside;
        }
        let roles = request.header("x-user-roles").unwrap_or_default();
        let admin = roles.split(',').any(|role| role.trim() == "admin");
        Self::User { id: request.header("x-user-id").unwrap_or_default(), admin }
    }

    /// Whether it may see and do what belongs to this user.
    pub(crate) fn may_act_for(&self, user: &str) -> bool {
        match self {
            Self::Inside => true,
            Self::User { id, admin } => *admin || id == user,
        }
    }

    /// Refuses users who are no administrators.
    pub(crate) fn check_admin(&self) -> Result<(), Error> {
        match self {
            Self::User { admin: false, .. } => Err(Error::new(403, "this is for administrators")),
            Self::Inside | Self::User { admin: true, .. } => Ok(()),
        }
    }
}
