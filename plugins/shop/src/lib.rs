//! What all services of the shop do in the same way: who is asking ([`Caller`]), lists ([`Listing`]), what is wrong
//! with an input ([`Wrong`]), times, `GET /health` and `GET /info`.
//!
//! ```
//! use shop::{Caller, Info};
//! use wharf_sdk::{Error, Request, Response, Router, get, serve};
//!
//! static ROUTER: Router = Router::new(&[
//!     get("/health", |_| shop::health("parcels")),
//!     get("/info", |_| INFO.show()),
//!     get("/{user}", parcels),
//! ]);
//! serve!(ROUTER);
//!
//! static INFO: Info = shop::info! { publishes: ["parcel.sent"], handles: [] };
//!
//! fn parcels(request: Request) -> Result<Response, Error> {
//!     Caller::of(&request).check_may_act_for(request.param("user"))?;
//!     Ok(Response::text("none\n"))
//! }
//! # assert_eq!(ROUTER.handle(Request::get("/ann")).status(), 401);
//! # assert_eq!(ROUTER.handle(Request::get("/ann").with_header("x-wharf-user-id", "bob")).status(), 403);
//! # assert_eq!(ROUTER.handle(Request::get("/ann").with_header("x-wharf-user-id", "ann")).status(), 200);
//! ```
//!
//! Here is only what belongs to this shop and means the same everywhere in it. What any service could use is in the
//! SDK, and what one service decides stays there.

mod caller;
mod info;
mod input;
mod list;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;

pub use caller::{ADMIN, Caller};
pub use info::{Info, health};
pub use input::{CURRENCIES, Wrong, currencies, is_currency, is_id, unprocessable, wrong};
pub use list::{LARGEST_PAGE, Listing, Page};
pub use time::{now, rfc3339};
