//! What a call came to, as far as policies care.

/// The same four words for breaker, ejection, retry and balancing; what a status or a failure means is decided where
/// calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer that says nothing against the one who gave it.
    Success,
    /// A trap, a timeout, a 5xx, a connection that broke.
    Failure,
    /// It works but sheds load (429): counts where rates are looked at, never as "down".
    Overloaded,
    /// Says nothing about the callee: the client left, or was wrong (4xx).
    Ignored,
}
