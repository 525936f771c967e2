//! The shop of `plugins/` on a real `wharf`, as its customers, its bookkeeper and whoever pulls the plug.
//!
//! ```text
//! folder   the folders of a host: configuration of the repository with an overlay, components, ports
//! host     its process: start, kill, stop
//! http     requests
//! shop     what people do: register, log in, fill the shelves, order, cancel
//! wish     an order that somebody wants, and what came of asking for it
//! plan     which orders a seed amounts to
//! books    everything read back
//! checks   what has to be true of the books, whatever happened
//! contract whether all messages are as the services describe them
//! day      the demonstration: opening, orders, failures, closing
//! story    what is printed of it
//! ```
//!
//! `just demo` runs a day. The end-to-end tests of the shop use the same parts for days of their own, so what is shown
//! is what is tested. Everything goes through the two listeners of the host: nothing here looks into its files but
//! the log.

pub mod books;
pub mod checks;
pub mod contract;
pub mod day;
pub mod folder;
pub mod host;
pub mod http;
pub mod plan;
pub mod shop;
pub mod story;
pub mod wish;

/// Why something could not be done. What a shop must not do is no trouble but a failed check.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody answered.
    #[error("{what}: {why}")]
    NoAnswer {
        /// The request.
        what: String,
        /// What became of it.
        why: String,
    },
    /// Another answer than what was needed.
    #[error("{what}: {status} {text}")]
    Unexpected {
        /// The request.
        what: String,
        /// The status of the answer.
        status: u16,
        /// Its body.
        text: String,
    },
    /// The host does not do what it is there for.
    #[error("{0}")]
    Host(String),
    /// A file or a process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Trouble {
    /// For `map_err`: what was tried when the system said no.
    pub(crate) fn io(what: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { what, source }
    }
}
