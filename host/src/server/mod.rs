//! Sockets: listening, one task per connection, TLS, and ending without cutting anybody off.
//!
//! Knows HTTP as far as hyper does it for us (HTTP/1.1 and HTTP/2, by ALPN or, without TLS, with prior knowledge), and
//! nothing of routes or guests: a connection's requests go to a [`Handler`], which cannot fail.

mod admission;
mod body_gap;
mod connection;
mod drain;
mod io;
mod limits;
mod listen;
mod listeners;
mod streams;
mod tls;
mod tracked;

pub(crate) use admission::customer;
pub(crate) use body_gap::BodyGap;
pub(crate) use connection::Handler;
pub(crate) use io::{HeadFlaw, Switching};
pub(crate) use limits::BodyPace;
pub use listen::ListenError;
pub(crate) use listeners::{Listeners, ListenersError, Prepared};
