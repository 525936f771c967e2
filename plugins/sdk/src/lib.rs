//! A small library for Wharf services in Rust (WASI 0.2).
//!
//! ```
//! use wharf_sdk::{Error, Request, Response, Router, get, serve};
//!
//! static ROUTER: Router = Router::new(&[get("/", home), get("/hello/{name}", hello)]);
//! serve!(ROUTER);
//!
//! fn home(_: Request) -> Result<Response, Error> {
//!     Ok(Response::text("try /hello/you\n"))
//! }
//!
//! fn hello(request: Request) -> Result<Response, Error> {
//!     Ok(Response::text(format!("Hello, {}!\n", request.param("name"))))
//! }
//! # assert_eq!(ROUTER.handle(Request::get("/hello/you")).into_bytes(), b"Hello, you!\n");
//! ```
//!
//! What is decided here: routing, and how an error looks (`application/problem+json`, RFC 9457). What never is: limits,
//! retries, authentication, who may call: the host does all of that before and around the service.
//!
//! A component has only what it uses: a service that never opens a [`KeyValue`] doesn't import it.
//! [`Call`], [`Event`], [`Queue`], [`sql`], [`log`] and [`config`] likewise.
//!
//! Everything also compiles for the machine at hand, where the router answers requests made by [`Request::get`] and
//! its like, the store and queues are empty ones in memory, calls are answered by what [`answer_calls`] was given, and
//! [`published`] has the events that were published: handlers are tested by plain `cargo test`.

mod call;
pub mod config;
mod delivery;
mod error;
pub mod es;
mod event;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
mod keyvalue;
pub mod log;
#[cfg(not(target_family = "wasm"))]
mod native;
mod once;
mod openapi;
#[cfg(doctest)]
mod pages;
mod queue;
mod request;
mod response;
mod router;
pub mod sql;

pub use call::{Answer, Call, CallError};
pub use delivery::{Delivery, EventHandler, EventRoute, Events, Failure, on};
pub use error::{Error, FieldError};
pub use event::{Event, EventError, Receipt, publish_all};
pub use keyvalue::{KeyValue, KeyValueError, Lifetime};
#[cfg(all(not(target_family = "wasm"), feature = "sqlite"))]
pub use native::sql::migrate;
#[cfg(not(target_family = "wasm"))]
pub use native::{answer_calls, published, set_config};
pub use once::{once, once_in};
pub use queue::{Message, Queue, Received};
pub use request::{Method, Request};
pub use response::{Body, Response, Trailers};
pub use router::{Handler, Route, Router, delete, get, patch, post, put};

#[cfg(target_family = "wasm")]
use guest as platform;
#[cfg(not(target_family = "wasm"))]
use native as platform;

/// Makes a static [`Router`] the service: exports `wasi:http/incoming-handler` from the component.
#[macro_export]
macro_rules! serve {
    ($router:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Service;
            impl $crate::guest::Guest for Service {
                fn handle(request: $crate::guest::IncomingRequest, out: $crate::guest::ResponseOutparam) {
                    $crate::guest::answer(&$router, request, out);
                }
            }
            $crate::guest::export!(Service);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: &$crate::Router = &$router;
    };
}

/// Makes a static [`Events`] the service's handler: exports `wharf:service/event-handler` from the component, and the host
/// calls it with events instead of posting them.
#[macro_export]
macro_rules! serve_events {
    ($events:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::guest::subscribing::exports::wharf::service::event_handler;
            struct Subscriber;
            impl event_handler::Guest for Subscriber {
                fn handle(event: event_handler::Delivery) -> Result<(), event_handler::Failure> {
                    $crate::guest::handle(&$events, event)
                }
            }
            $crate::guest::subscribing::export!(Subscriber);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: &$crate::Events = &$events;
    };
}
