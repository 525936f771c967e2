//! What the admin API answers when it does not do what it is asked for: problem documents (RFC 9457).
//!
//! The `reason` is a word for programs, `detail` and `errors` say to people what to do. Everything that is wrong with a
//! request is said at once.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::capability::bus::PublishError;
use crate::events::OperateError;
use crate::registry::RegistryError;
use crate::state::QueueError;

/// See the module header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("the admin API is for this machine only: use 127.0.0.1 or localhost")]
    NotLoopback,
    #[error("web pages of other places may not use the admin API")]
    ForeignOrigin,
    #[error("there is nothing here: see docs/registry.md and docs/events.md for what there is")]
    NoSuchPath,
    #[error("only {0}")]
    Method(&'static str),
    #[error("there is no service `{0}`")]
    NoService(String),
    #[error("send JSON, with `content-type: application/json`")]
    NotJson,
    #[error("the body is larger than {0} KiB")]
    TooLarge(usize),
    #[error("the body did not come in time")]
    TooSlow,
    #[error("the body broke off")]
    BrokenOff,
    #[error("the request is not valid")]
    Invalid(Vec<Wrong>),
    #[error("as many watch already as may: try again later")]
    TooManyWatchers,
    #[error("backups are made below `state.backups`, which the configuration does not name")]
    NoBackups,
    #[error("a backup of this name exists already")]
    BackupExists,
    #[error("a backup is being made: try again when it is done")]
    BackupAtWork,
    #[error("the backup could not be made: the log says why")]
    BackupFailed,
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Events(#[from] OperateError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Queues(#[from] QueueError),
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Wrong {
    /// Where: a field of the body, `body`, or a parameter of the query.
    pub(super) field: String,
    /// What, and what to do.
    pub(super) message: String,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    reason: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "<[Wrong]>::is_empty")]
    errors: &'a [Wrong],
}

impl Wrong {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotLoopback | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NoSuchPath | Self::NoService(_) | Self::Registry(RegistryError::Unknown(_)) => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff | Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::TooManyWatchers => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoBackups | Self::BackupExists | Self::BackupAtWork => StatusCode::CONFLICT,
            Self::BackupFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Registry(RegistryError::Taken { .. } | RegistryError::NotLeased(_)) => StatusCode::CONFLICT,
            Self::Registry(RegistryError::Full(_)) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Events(OperateError::Unknown(_)) => StatusCode::NOT_FOUND,
            Self::Events(OperateError::Gone) => StatusCode::CONFLICT,
            Self::Events(OperateError::Log(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Queues(error) => match error {
                QueueError::Invalid { .. } => StatusCode::BAD_REQUEST,
                QueueError::Expired => StatusCode::GONE,
                QueueError::Full { .. } | QueueError::TooMany => StatusCode::INSUFFICIENT_STORAGE,
                QueueError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            },
            Self::Publish(error) => match error {
                PublishError::Denied(_) => StatusCode::FORBIDDEN,
                PublishError::Invalid(_) => StatusCode::BAD_REQUEST,
                PublishError::ChainTooLong(_) => StatusCode::LOOP_DETECTED,
                PublishError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
                PublishError::TooFast(_) => StatusCode::TOO_MANY_REQUESTS,
                PublishError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }

    /// The word for programs, and its sentence.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::NotLoopback | Self::ForeignOrigin => ("forbidden", "The request is not allowed"),
            Self::NoSuchPath => ("unknown_path", "There is nothing here"),
            Self::NoService(_) => ("unknown_service", "There is no such service"),
            Self::Method(_) => ("method_not_allowed", "The method has no meaning here"),
            Self::NotJson => ("unsupported_media_type", "The body is not JSON"),
            Self::TooLarge(_) => ("payload_too_large", "The body is too large"),
            Self::TooSlow => ("client_timeout", "The body did not come in time"),
            Self::BrokenOff | Self::Invalid(_) => ("bad_request", "The request is not valid"),
            Self::TooManyWatchers => ("too_many_watchers", "Too many are watching"),
            Self::NoBackups => ("no_backups", "Backups are not configured"),
            Self::BackupExists => ("backup_exists", "There is such a backup already"),
            Self::BackupAtWork => ("backup_at_work", "Another backup is being made"),
            Self::BackupFailed => ("backup_failed", "The backup could not be made"),
            Self::Registry(RegistryError::Unknown(_)) => ("unknown_instance", "There is no such instance"),
            Self::Registry(RegistryError::Taken { .. }) => ("id_taken", "The id belongs to another service"),
            Self::Registry(RegistryError::NotLeased(_)) => ("not_leased", "The instance comes from files"),
            Self::Registry(RegistryError::Full(_)) => ("registry_full", "There is no room for another instance"),
            Self::Events(OperateError::Unknown(_)) => ("unknown", "There is no such thing"),
            Self::Events(OperateError::Gone) => ("subscription_gone", "The subscription is in no file"),
            Self::Events(OperateError::Log(_)) => ("events_unavailable", "The event log does not answer"),
            Self::Queues(error) => match error {
                QueueError::Invalid { .. } => ("bad_request", "The request is not valid"),
                QueueError::Expired => ("receipt_expired", "The receipt is no longer valid"),
                QueueError::Full { .. } | QueueError::TooMany => ("queue_full", "There is no room for more"),
                QueueError::Unavailable { .. } => ("events_unavailable", "The queues do not answer"),
            },
            Self::Publish(error) => match error {
                PublishError::Denied(_) => ("forbidden", "The request is not allowed"),
                PublishError::Invalid(_) => ("bad_request", "The event is not valid"),
                PublishError::ChainTooLong(_) => ("event_chain_too_long", "Too many events followed from one another"),
                PublishError::Full(_) => ("events_full", "The event log is full"),
                PublishError::TooFast(_) => ("rate_limited", "Too many events"),
                PublishError::Unavailable(_) => ("events_unavailable", "The event log does not answer"),
            },
        }
    }

    /// The document.
    pub(super) fn response(&self) -> Response<Bytes> {
        let (status, (reason, title)) = (self.status(), self.words());
        let errors = if let Self::Invalid(errors) = self { errors.as_slice() } else { &[] };
        let detail = self.to_string();
        let document = Document { kind: "about:blank", title, status: status.as_u16(), reason, detail, errors };
        // Strings and numbers: cannot fail to serialize.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = super::respond(status, "application/problem+json", body.into());
        let headers = response.headers_mut();
        match self {
            Self::Method(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::TooManyWatchers => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            // What is left of the body is not waited for.
            Self::TooLarge(_) | Self::TooSlow => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::NotLoopback
            | Self::ForeignOrigin
            | Self::NoSuchPath
            | Self::NoService(_)
            | Self::NotJson
            | Self::BrokenOff
            | Self::Invalid(_)
            | Self::NoBackups
            | Self::BackupExists
            | Self::BackupAtWork
            | Self::BackupFailed
            | Self::Registry(_)
            | Self::Events(_)
            | Self::Queues(_)
            | Self::Publish(_) => {}
        }
        response
    }
}
