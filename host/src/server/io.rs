//! What is watched between the socket and hyper: time, and what hyper does not tell.
//!
//! hyper has no timer for a client that never sends a byte (its `auto` server waits for ever to learn which protocol
//! it is), none for one that does not read, and its header timeout is its idle timeout too. It also hides what a
//! request's head looked like, and lets a client send PING and SETTINGS frames without end. So a connection's bytes
//! pass a wrapper of ours first, which times out by itself and looks at them without copying them.
//!
//! - `preface` decides between HTTP/1 and HTTP/2 by the first bytes;
//! - `http1` wraps a stream for HTTP/1, with `head` to follow its requests and `chunked` their bodies;
//! - `http2` wraps one for HTTP/2, with `frames` to follow its frames and `flood` to count the idle ones;
//! - `tunnel` is what `http1` becomes when a connection changes to another protocol;
//! - `timer` and `stall` are clocks that both use.
//!
//! Nothing here answers a request. A wrapper ends a connection by an error or an end of file that hyper sees.

mod chunked;
mod flood;
mod frames;
mod head;
mod http1;
mod http2;
mod preface;
mod stall;
mod timer;
mod tunnel;

pub(crate) use head::HeadFlaw;
pub(super) use http1::{Http1Io, Requests};
pub(super) use http2::{Http2Io, OpenStreams};
pub(super) use preface::{Early, early};
pub(super) use timer::Timer;
pub(crate) use tunnel::Switching;
