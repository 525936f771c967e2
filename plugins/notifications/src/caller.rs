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
        let roles = request.header("x-user-roles");
        match request.header("x-user-id") {
            None if roles.is_none() => Self::Inside,
            id => {
                let admin = roles.is_some_and(|roles| roles.split(',').any(|role| role.trim() == "admin"));
                Self::User { id: id.unwrap_or_default(), admin }
            }
        }
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
