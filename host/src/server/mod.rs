//! Sockets: listening, one task per connection, and ending without cutting anybody off.
//!
//! Knows HTTP as far as hyper does it for us (HTTP/1.1, and HTTP/2 with prior knowledge on the same port), and
//! nothing of routes or guests: a connection's requests go to a [`Handler`], which cannot fail.

mod connection;
mod drain;
mod listen;

pub(crate) use connection::Handler;
pub(crate) use drain::Drain;
pub use listen::ListenError;
pub(crate) use listen::Listener;
