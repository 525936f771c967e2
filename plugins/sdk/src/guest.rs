//! The side towards the host. Hidden: [`serve!`](crate::serve) uses it from other crates.

mod bindings;
mod call;
mod events;
mod exchange;
mod http;
mod keyvalue;
pub(crate) mod sql;

pub use bindings::subscribing;
pub use events::handle;
pub use http::answer;
pub use wasip2::exports::http::incoming_handler::Guest;
pub use wasip2::http::proxy::export;
pub use wasip2::http::types::{IncomingRequest, ResponseOutparam};

pub(crate) use call::call;
pub(crate) use events::{delete, extend, publish, receive, send};

pub(crate) use bindings::wasi::logging::logging::Level;
pub(crate) use keyvalue::Bucket;

pub(crate) fn config(name: &str) -> Option<String> {
    bindings::wasi::config::store::get(name).unwrap_or_else(|error| {
        eprintln!("cannot read the configuration value `{name}`: {error:?}");
        None
    })
}

pub(crate) fn log(level: Level, message: &str) {
    bindings::wasi::logging::logging::log(level, "", message);
}
