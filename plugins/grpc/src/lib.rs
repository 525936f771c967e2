//! Catalog and orders of the shop, for clients of gRPC.
//!
//! ```text
//! POST /wharf.shop.v1.Catalog/GetProduct, ListProducts (stream)
//! POST /wharf.shop.v1.Orders/GetOrder, WatchOrder (stream)
//! POST /grpc.health.v1.Health/Check
//! POST /grpc.reflection.v1.ServerReflection/ServerReflectionInfo (both ways), and v1alpha
//! GET  /health, /info
//! ```
//!
//! gRPC is HTTP/2 with messages in frames and the result in trailers; the gateway speaks HTTP/2, so here is only what
//! gRPC adds: [`frame`], [`status`], [`deadline`]. Messages are made of the files in `proto/`. What comes from whom is
//! decided by the services, which are told who asks as the gateway told it here.

mod caller;
mod catalog;
mod deadline;
mod frame;
mod health;
mod orders;
mod partner;
mod pb;
mod reflection;
mod rpc;
mod status;

use serde_json::json;
use wharf_sdk::{Error, Request, Response, Router, get, post, serve};

use rpc::Rpc;
use status::{Code, Status};

static ROUTER: Router = Router::new(&[
    get("/health", |_| deadline::longest().map(|_| Response::text("ok\n"))),
    get("/info", |_| Ok(Response::json(&info()))),
    post("/{service}/{method}", call),
]);
serve!(ROUTER);

fn info() -> serde_json::Value {
    json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "description": env!("CARGO_PKG_DESCRIPTION"),
        "publishes": [],
        "handles": [],
    })
}

fn call(mut request: Request) -> Result<Response, Error> {
    if !rpc::is_grpc(&request) {
        return Err(Error::new(415, "this is for clients of gRPC: the body is to be application/grpc"));
    }
    let longest = deadline::longest()?;
    let (service, method) = (request.param("service").to_owned(), request.param("method").to_owned());
    let rpc = match Rpc::new(&mut request, longest) {
        Ok(rpc) => rpc,
        Err(status) => return Ok(rpc::refused(status)),
    };
    Ok(match (service.as_str(), method.as_str()) {
        ("wharf.shop.v1.Catalog", "GetProduct") => rpc.unary(catalog::get),
        ("wharf.shop.v1.Catalog", "ListProducts") => rpc.stream(catalog::list),
        ("wharf.shop.v1.Orders", "GetOrder") => rpc.unary(orders::get),
        ("wharf.shop.v1.Orders", "WatchOrder") => rpc.stream(orders::watch),
        ("grpc.health.v1.Health", "Check") => rpc.unary(health::check),
        (
            "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection",
            "ServerReflectionInfo",
        ) => rpc.both_ways(reflection::answer),
        _ => rpc::refused(Status::new(Code::Unimplemented, "there is no such method")),
    })
}

#[cfg(test)]
mod tests;
