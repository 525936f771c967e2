//! Placeholder.

/// What is wrong with a request's head on the wire, where hyper would hide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadFlaw {
    /// It is well-formed, and asks for something that is not there.
    pub(crate) unsupported: bool,
    /// What it is, for the client.
    pub(crate) detail: &'static str,
}
