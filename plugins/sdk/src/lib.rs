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
//! [`Call`], [`log`] and [`config`] likewise.
//!
//! Everything also compiles for the machine at hand, where the router answers requests made by [`Request::get`] and
//! its like, the store is an empty one in memory, and calls are answered by what [`answer_calls`] was given: handlers
//! are tested by plain `cargo test`.

mod call;
pub mod config;
mod error;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;
mod keyvalue;
pub mod log;
#[cfg(not(target_family = "wasm"))]
mod native;
mod request;
mod response;
mod router;

pub use call::{Answer, Call, CallError};
pub use error::{Error, FieldError};
pub use keyvalue::{KeyValue, KeyValueError, Lifetime};
#[cfg(not(target_family = "wasm"))]
pub use native::answer_calls;
pub use request::{Method, Request};
pub use response::{Body, Response};
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
