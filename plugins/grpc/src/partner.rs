//! The services behind this one, asked as the client who asks here, and no longer than its call may take.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wharf_sdk::{Call, CallError, Request};

use crate::caller;
use crate::deadline::Deadline;
use crate::status::{Code, Status};

/// No answer is worth more of the time that a call has.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Partners {
    pub(crate) deadline: Deadline,
    identity: Vec<(String, String)>,
    anonymous: bool,
}

/// One page of anything.
#[derive(Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

impl Partners {
    pub(crate) fn new(request: &Request, deadline: Deadline) -> Self {
        Self { deadline, identity: caller::identity(request), anonymous: caller::is_anonymous(request) }
    }

    /// # Errors
    /// For who has no token: what is asked for belongs to somebody.
    pub(crate) fn check_known(&self) -> Result<(), Status> {
        if self.anonymous { Err(Status::new(Code::Unauthenticated, "this needs a token")) } else { Ok(()) }
    }

    /// GET of a path of a service.
    pub(crate) fn get<T: DeserializeOwned>(&self, service: &str, path: &str) -> Result<T, Status> {
        let left = self.deadline.left()?;
        let call = Call::get(format!("http://{service}.internal{path}")).timeout(left.min(PATIENCE));
        let call = self.identity.iter().fold(call, |call, (name, value)| call.header(name, value));
        let answer = call.send().map_err(|error| self.failed(service, &error))?;
        if answer.status() != 200 {
            return Err(Status::answered(service, answer));
        }
        answer.json().map_err(|error| self.failed(service, &error))
    }

    /// Whether a service says that it is well.
    pub(crate) fn is_well(&self, service: &str) -> Result<bool, Status> {
        let left = self.deadline.left()?;
        let call = Call::get(format!("http://{service}.internal/health")).timeout(left.min(PATIENCE));
        let status = call.send().map(|answer| answer.status());
        self.deadline.left()?;
        Ok(matches!(status, Ok(200)))
    }

    /// No answer, or none that can be read. Who operates this reads the cause in the log.
    fn failed(&self, service: &str, error: &CallError) -> Status {
        if let Err(status) = self.deadline.left() {
            return status;
        }
        wharf_sdk::log::warn(format_args!("{service}: {error}"));
        let code = match error {
            CallError::Denied | CallError::Invalid(_) => Code::Internal,
            CallError::NotFound | CallError::Timeout | CallError::TooManyOpen | CallError::Failed(_) => {
                Code::Unavailable
            }
        };
        Status::new(code, format!("{service} does not answer now"))
    }
}

/// An id becomes part of an address.
pub(crate) fn check_id(id: &str) -> Result<(), Status> {
    let valid = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid {
        Ok(())
    } else {
        Err(Status::new(Code::InvalidArgument, "`id` is to have 1 to 64 letters, digits and hyphens"))
    }
}
