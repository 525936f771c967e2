//! Who is asking, and what of that goes on to the services.
//!
//! Services take a call without these headers for one of another service, which may see everything. So nobody may get
//! past here without them: an anonymous client of the gateway is told apart from a service by `x-wharf-caller`, which
//! the host sets and nobody outside can send, and asks only for what everybody may see.

use wharf_sdk::Request;

use crate::failure::Failure;

/// The headers in which the gateway says who somebody is.
const IDENTITY: [&str; 2] = ["x-wharf-user-id", "x-wharf-user-roles"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A client without a token.
    Anonymous,
    /// Another service.
    Inside,
    /// Somebody with a token.
    User { id: String, admin: bool },
}

impl Caller {
    pub(crate) fn of(request: &Request) -> Self {
        // By name alone: a header that is no text still says that this is a user.
        let known = request.headers().iter().any(|(name, _)| IDENTITY.iter().any(|one| one.eq_ignore_ascii_case(name)));
        if !known {
            return if request.header("x-wharf-caller").is_some() { Self::Inside } else { Self::Anonymous };
        }
        let roles = request.header("x-wharf-user-roles").unwrap_or_default();
        let admin = roles.split(',').any(|role| role.trim() == "admin");
        Self::User { id: request.header("x-wharf-user-id").unwrap_or_default(), admin }
    }

    /// # Errors
    /// For who has no token: what is asked for belongs to somebody.
    pub(crate) fn check_known(&self) -> Result<(), Failure> {
        match self {
            Self::Anonymous => Err(Failure::new("UNAUTHENTICATED", 401, "this needs a token")),
            Self::Inside | Self::User { .. } => Ok(()),
        }
    }

    /// Whether it may look up users other than itself.
    pub(crate) fn sees_all_users(&self) -> bool {
        matches!(self, Self::Inside | Self::User { admin: true, .. })
    }
}

/// The headers that go on to the services: the very same, or the host drops them.
pub(crate) fn identity(request: &Request) -> Vec<(String, String)> {
    let value = |name: &str| Some((name.to_owned(), request.header(name)?));
    IDENTITY.into_iter().filter_map(value).collect()
}
