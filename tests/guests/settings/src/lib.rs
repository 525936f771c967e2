//! A guest that shows what the operator gave it: values of `config` and secrets among them, what its key-value store
//! takes and for how long, and that other services' things are out of reach.

use std::time::Duration;

use wharf_sdk::{
    Error, KeyValue, KeyValueError, Lifetime, Request, Response, Router, config, delete, get, log, post, put, serve,
};

static ROUTER: Router = Router::new(&[
    get("/config/{key}", |request| Ok(Response::text(config::get_or(request.param("key"), "not set")))),
    // The value of a key of `config`, on every way to the log.
    post("/print/{key}", print),
    get("/values/{key}", value),
    // A value of `bytes` under this key, for `ttl` milliseconds if that is given.
    put("/values/{key}", store),
    delete("/values/{key}", |request| {
        open()?.delete(request.param("key")).map_err(|error| full(&error))?;
        Ok(Response::empty(204))
    }),
    get("/lifetimes/{key}", lifetime),
    put("/lifetimes/{key}", expire),
    // Whether a store of another name opens.
    get("/stores/{name}", |request| {
        Ok(Response::text(match KeyValue::open(request.param("name")) {
            Ok(_) => "GOT it".to_owned(),
            Err(refused) => format!("refused: {refused}"),
        }))
    }),
]);
serve!(ROUTER);

fn open() -> Result<KeyValue, Error> {
    Ok(KeyValue::open("default")?)
}

fn full(error: &KeyValueError) -> Error {
    Error::new(507, error.to_string())
}

fn store(request: Request) -> Result<Response, Error> {
    let bytes = request.query_or("bytes", 0)?;
    let ttl: u64 = request.query_or("ttl", 0)?;
    let (key, value) = (request.param("key"), vec![b'x'; bytes]);
    let store = open()?;
    let written = match ttl {
        0 => store.set(key, &value),
        ttl => store.set_expiring(key, &value, Duration::from_millis(ttl)),
    };
    written.map_err(|error| full(&error))?;
    Ok(Response::empty(204))
}

fn value(request: Request) -> Result<Response, Error> {
    let value = open()?.get(request.param("key")).map_err(|error| full(&error))?;
    Ok(Response::text(value.map_or("missing".to_owned(), |value| format!("{} bytes", value.len()))))
}

fn lifetime(request: Request) -> Result<Response, Error> {
    Ok(Response::text(match open()?.lifetime(request.param("key")).map_err(|error| full(&error))? {
        Lifetime::Missing => "missing".to_owned(),
        Lifetime::Unlimited => "unlimited".to_owned(),
        Lifetime::Left(left) => left.as_millis().to_string(),
    }))
}

fn expire(request: Request) -> Result<Response, Error> {
    let ttl: u64 = request.query_or("ttl", 0)?;
    let there = open()?
        .expire(request.param("key"), (ttl > 0).then(|| Duration::from_millis(ttl)))
        .map_err(|error| full(&error))?;
    Ok(Response::empty(if there { 204 } else { 404 }))
}

fn print(request: Request) -> Result<Response, Error> {
    use std::io::Write;

    let value = config::get_or(request.param("key"), "not set");
    let (start, end) = value.split_at(value.len() / 2);
    let mut stdout = std::io::stdout();
    let _ = write!(stdout, "stdout has {start}");
    let _ = stdout.flush();
    let _ = writeln!(stdout, "{end}");
    eprintln!("stderr has {value}");
    log::info(format!("log has {value}"));
    if request.query_or("panic", false)? {
        panic!("panic has {value}");
    }
    Ok(Response::empty(204))
}
