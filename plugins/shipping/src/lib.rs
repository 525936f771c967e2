//! Shipments and their tracking numbers.

use wharf_sdk::{Error, Request, Response, Router, get, serve};

static ROUTER: Router = Router::new(&[get("/health", health)]);
serve!(ROUTER);

fn health(_: Request) -> Result<Response, Error> {
    Ok(Response::text("ok\n"))
}
