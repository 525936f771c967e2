//! Who is asking, and what that allows.
//!
//! The host says it, in headers: `x-wharf-caller` is the name of the service that calls, `x-wharf-user-id` and
//! `x-wharf-user-roles` are of a token that the gateway has checked (`claimsToHeaders` of its `jwt` filter). Nobody
//! outside can send headers of these names, whatever the configuration is.
//!
//! Who comes with none of them is nobody: a service whose configuration forgets to ask for a token is closed, not open.
//!
//! Events that are posted to a service carry none of them either; services of the shop take theirs typed, by
//! `serve_events!`.
//!
//! A call that passes a user's headers on is asked by that user: who acts for somebody may do no more than he could.

use wharf_sdk::{Error, Request};

const CALLER: &str = "x-wharf-caller";
const USER: &str = "x-wharf-user-id";
const ROLES: &str = "x-wharf-user-roles";

/// The role that may do everything.
pub const ADMIN: &str = "admin";

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Another service, by its name.
    Service(String),
    /// Somebody with a token.
    User {
        /// Whose token it is; empty if the gateway said it in no words that could be read.
        id: String,
        /// What the token says that he is.
        roles: Vec<String>,
    },
    /// Nobody who is known.
    Nobody,
}

impl Caller {
    /// Who asks this.
    pub fn of(request: &Request) -> Self {
        // By name alone: a header that is no text still says that this is a user, and not the service that calls.
        let is_user = |name: &str| [USER, ROLES].iter().any(|one| name.eq_ignore_ascii_case(one));
        if request.headers().iter().any(|(name, _)| is_user(name)) {
            let roles = request.header(ROLES).unwrap_or_default();
            let roles = roles.split(',').map(str::trim).filter(|role| !role.is_empty()).map(str::to_owned).collect();
            return Self::User { id: request.header(USER).unwrap_or_default(), roles };
        }
        match request.header(CALLER) {
            Some(name) if !name.is_empty() => Self::Service(name),
            _ => Self::Nobody,
        }
    }

    /// Who asks this, if that is known.
    ///
    /// # Errors
    /// 401.
    pub fn known(request: &Request) -> Result<Self, Error> {
        match Self::of(request) {
            Self::Nobody => Err(unknown()),
            caller => Ok(caller),
        }
    }

    /// Whether this is an administrator.
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::User { roles, .. } if roles.iter().any(|role| role == ADMIN))
    }

    /// Whether this is another service, or an administrator, who may do all that services do.
    pub fn is_inside(&self) -> bool {
        matches!(self, Self::Service(_)) || self.is_admin()
    }

    /// Whether he may see and do what belongs to this user: that user and whoever is inside. What belongs to no user
    /// that is known (`None`) is for those inside only.
    pub fn may_act_for<'u>(&self, user: impl Into<Option<&'u str>>) -> bool {
        let is_self = match (self, user.into()) {
            (Self::User { id, .. }, Some(user)) => !id.is_empty() && id == user,
            _ => false,
        };
        is_self || self.is_inside()
    }

    /// # Errors
    /// 401 for nobody, 403 for a user who [may not](Self::may_act_for).
    pub fn check_may_act_for<'u>(&self, user: impl Into<Option<&'u str>>) -> Result<(), Error> {
        self.refuse_unless(self.may_act_for(user), "this belongs to somebody else")
    }

    /// Whose things are to be listed: those of the user who was asked for; without one, a user's own, and for who is
    /// inside those of all (`None`).
    ///
    /// # Errors
    /// Those of [`check_may_act_for`](Self::check_may_act_for).
    pub fn whose(&self, asked: Option<String>) -> Result<Option<String>, Error> {
        let user = match (asked, self) {
            (None, Self::User { id, .. }) if !self.is_admin() => Some(id.clone()),
            (asked, _) => asked,
        };
        self.check_may_act_for(user.as_deref())?;
        Ok(user)
    }

    /// # Errors
    /// 401 for nobody, 403 for everybody but administrators, services too.
    pub fn check_admin(&self) -> Result<(), Error> {
        self.refuse_unless(self.is_admin(), "this is for administrators")
    }

    /// # Errors
    /// 401 for nobody, 403 for users who are no administrators.
    pub fn check_inside(&self) -> Result<(), Error> {
        self.refuse_unless(self.is_inside(), "this is for administrators")
    }

    fn refuse_unless(&self, may: bool, detail: &str) -> Result<(), Error> {
        match self {
            _ if may => Ok(()),
            Self::Nobody => Err(unknown()),
            Self::Service(_) | Self::User { .. } => Err(Error::new(403, detail)),
        }
    }
}

fn unknown() -> Error {
    Error::new(401, "this is not for strangers: send a token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(headers: &[(&str, &str)]) -> Caller {
        Caller::of(&headers.iter().fold(Request::get("/"), |request, (name, value)| request.with_header(name, value)))
    }

    fn user(id: &str, roles: &[&str]) -> Caller {
        Caller::User { id: id.to_owned(), roles: roles.iter().map(|&role| role.to_owned()).collect() }
    }

    #[test]
    fn the_host_says_who_is_asking() {
        let service = Caller::Service("orders".to_owned());
        for (headers, expected) in [
            (&[][..], Caller::Nobody),
            (&[("x-user", "ann"), ("x-forwarded-for", "127.0.0.1")], Caller::Nobody),
            (&[("x-wharf-caller", "")], Caller::Nobody),
            (&[("x-wharf-caller", "orders")], service.clone()),
            (&[("X-Wharf-Caller", "orders")], service),
            (&[("x-wharf-user-id", "ann")], user("ann", &[])),
            (
                &[("x-wharf-user-id", "ann"), ("x-wharf-user-roles", "customer, admin,")],
                user("ann", &["customer", "admin"]),
            ),
            (&[("X-Wharf-User-Roles", "customer")], user("", &["customer"])),
            (&[("x-wharf-caller", "orders"), ("x-wharf-user-id", "ann")], user("ann", &[])),
        ] {
            assert_eq!(caller(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_header_that_is_no_text_makes_nobody_a_service() {
        let with = |name: &str, value: &[u8]| Request::get("/").with_header(name, value);
        assert_eq!(Caller::of(&with("x-wharf-caller", b"\xff")), Caller::Nobody);
        for name in ["x-wharf-user-id", "x-wharf-user-roles"] {
            let request = with(name, b"\xff").with_header("x-wharf-caller", "orders");
            let caller = Caller::of(&request);
            assert_eq!(caller, user("", &[]));
            assert!(!caller.may_act_for("") && !caller.is_inside(), "and of no account");
        }
    }

    #[test]
    fn everybody_may_what_is_his() {
        let statuses = |caller: &Caller| {
            let checks = [
                caller.check_may_act_for("ann"),
                caller.check_may_act_for(None),
                caller.check_inside(),
                caller.check_admin(),
            ];
            checks.map(|check| check.map_or_else(|error| error.status(), |()| 200))
        };
        assert_eq!(statuses(&Caller::Nobody), [401; 4]);
        assert_eq!(statuses(&Caller::Service("orders".to_owned())), [200, 200, 200, 403]);
        assert_eq!(statuses(&user("ann", &["customer"])), [200, 403, 403, 403]);
        assert_eq!(statuses(&user("bob", &["administrator", "Admin"])), [403; 4]);
        assert_eq!(statuses(&user("bob", &["customer", "admin"])), [200; 4]);
    }

    #[test]
    fn users_list_their_own_and_others_inside_everything() {
        let asks =
            |caller: &Caller, user: Option<&str>| caller.whose(user.map(str::to_owned)).map_err(|error| error.status());
        let ann = Some("ann".to_owned());
        assert_eq!(
            (asks(&user("ann", &[]), None), asks(&user("ann", &[]), Some("ann"))),
            (Ok(ann.clone()), Ok(ann.clone()))
        );
        assert_eq!((asks(&user("bob", &[]), Some("ann")), asks(&user("", &[]), None)), (Err(403), Err(403)));
        for inside in [Caller::Service("orders".to_owned()), user("root", &["admin"])] {
            assert_eq!((asks(&inside, None), asks(&inside, Some("ann"))), (Ok(None), Ok(ann.clone())));
        }
        assert_eq!((asks(&Caller::Nobody, None), asks(&Caller::Nobody, Some("ann"))), (Err(401), Err(401)));
    }

    #[test]
    fn who_is_not_known_is_sent_away() {
        assert_eq!(Caller::known(&Request::get("/")).unwrap_err().status(), 401);
        let known = Caller::known(&Request::get("/").with_header("x-wharf-user-id", "ann")).unwrap();
        assert_eq!(known, user("ann", &[]));
    }
}
