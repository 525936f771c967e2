//! A guest that shows what the operator gave it: a value of `config`, and how much its key-value store takes.

use wharf_sdk::{Error, KeyValue, Request, Response, Router, config, get, put, serve};

static ROUTER: Router = Router::new(&[
    get("/config/{key}", |request| Ok(Response::text(config::get_or(request.param("key"), "not set")))),
    // A value of `bytes` under this key.
    put("/values/{key}", store),
]);
serve!(ROUTER);

fn store(request: Request) -> Result<Response, Error> {
    let bytes = request.query_or("bytes", 0)?;
    match KeyValue::open("default")?.set(request.param("key"), &vec![b'x'; bytes]) {
        Ok(()) => Ok(Response::empty(204)),
        Err(error) => Err(Error::new(507, error.to_string())),
    }
}
