//! What a try without a response came to, in the words of the policies.

use super::ticket::Ended;
use crate::gateway::GatewayError;
use crate::gateway::upstream::{NotDelivered, UpstreamError};
use crate::plugin::CallError;
use crate::policy::retry::Tried;

/// No response, from wherever it should have come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TryError {
    /// Of a guest.
    #[error(transparent)]
    Guest(#[from] CallError),
    /// Of another server.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// `backendRequest` was over before the head was there.
    #[error("no head of a response within backendRequest")]
    Timeout,
}

impl TryError {
    /// Whether there was no answer in the time that there was: then it matters who was waited for.
    pub(super) fn is_out_of_time(&self) -> bool {
        matches!(self, Self::Timeout | Self::Guest(CallError::Deadline) | Self::Upstream(UpstreamError::Timeout))
    }

    /// Who is to blame, if nobody waited for the client.
    pub(super) fn ended(&self) -> Ended {
        match self {
            Self::Timeout => Ended::Failed,
            Self::Guest(error) | Self::Upstream(UpstreamError::Request(error)) => match error {
                CallError::Trap(_)
                | CallError::Panic(_)
                | CallError::CpuTime
                | CallError::Deadline
                | CallError::OutOfMemory(_)
                | CallError::NoResponse
                | CallError::InvalidResponse(_)
                | CallError::Start(_) => Ended::Failed,
                // The host has no slot left, or the version is going: no fault of the guest's.
                CallError::NoSlot | CallError::CutOff | CallError::NoHttp => Ended::Ignored,
                CallError::RequestTooLarge | CallError::RequestStalled | CallError::RequestBroken(_) => Ended::Ignored,
            },
            Self::Upstream(error) => match error {
                UpstreamError::NotDelivered(NotDelivered::PoolFull | NotDelivered::Protocol) => Ended::Ignored,
                UpstreamError::NotDelivered(_)
                | UpstreamError::Broken(_)
                | UpstreamError::Timeout
                | UpstreamError::InvalidResponse(_)
                | UpstreamError::Request(_) => Ended::Failed,
            },
        }
    }

    /// How far it had come.
    pub(super) fn tried(&self) -> Tried {
        match self {
            Self::Timeout => Tried::Broken,
            Self::Guest(error) => match error {
                // The guest has seen nothing of the request.
                CallError::Start(_) | CallError::NoSlot => Tried::NotDelivered,
                CallError::Trap(_)
                | CallError::Panic(_)
                | CallError::CpuTime
                | CallError::OutOfMemory(_)
                | CallError::NoResponse
                | CallError::InvalidResponse(_)
                | CallError::CutOff => Tried::Broken,
                // There is no time left, or nothing to send.
                CallError::Deadline
                | CallError::NoHttp
                | CallError::RequestTooLarge
                | CallError::RequestStalled
                | CallError::RequestBroken(_) => Tried::Refused,
            },
            Self::Upstream(error) => match error {
                UpstreamError::NotDelivered(_) => Tried::NotDelivered,
                UpstreamError::Broken(_) | UpstreamError::Timeout | UpstreamError::InvalidResponse(_) => Tried::Broken,
                UpstreamError::Request(_) => Tried::Refused,
            },
        }
    }
}

impl From<TryError> for GatewayError {
    fn from(error: TryError) -> Self {
        match error {
            TryError::Guest(error) | TryError::Upstream(UpstreamError::Request(error)) => error.into(),
            TryError::Upstream(error) => Self::Upstream(error),
            TryError::Timeout => Self::RequestTimeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_delivered_may_be_tried_again_and_what_the_client_spoilt_never() {
        let tried = |error: CallError| TryError::Guest(error).tried();
        assert_eq!(tried(CallError::Start(String::new())), Tried::NotDelivered);
        assert_eq!(tried(CallError::Trap(String::new())), Tried::Broken);
        assert_eq!(tried(CallError::RequestStalled), Tried::Refused);
        let refused = UpstreamError::NotDelivered(NotDelivered::Connect(String::new()));
        assert_eq!(TryError::Upstream(refused).tried(), Tried::NotDelivered);
    }

    #[test]
    fn nobody_is_blamed_for_what_the_client_or_the_host_did() {
        for error in [CallError::NoSlot, CallError::CutOff, CallError::RequestTooLarge, CallError::RequestStalled] {
            assert_eq!(TryError::Guest(error.clone()).ended(), Ended::Ignored, "{error}");
            assert_eq!(TryError::Upstream(UpstreamError::Request(error)).ended(), Ended::Ignored);
        }
        assert_eq!(TryError::Guest(CallError::Deadline).ended(), Ended::Failed);
        assert_eq!(TryError::Timeout.ended(), Ended::Failed);
    }
}
