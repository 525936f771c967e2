//! Sockets: listening, one task per connection, and ending without cutting anybody off.
//!
//! Knows HTTP as far as hyper does it for us (HTTP/1.1, and HTTP/2 with prior knowledge on the same port), and
//! nothing of routes or guests: a connection's requests go to a [`Handler`], which cannot fail.

mod admission;
mod body_gap;
mod connection;
mod drain;
mod io;
mod limits;
mod listen;
mod streams;
mod tracked;

pub(crate) use body_gap::BodyGap;
pub(crate) use connection::Handler;
pub(crate) use drain::Drain;
pub(crate) use io::HeadFlaw;
pub(crate) use limits::{BodyPace, Limits};
pub use listen::ListenError;
pub(crate) use listen::Listener;
