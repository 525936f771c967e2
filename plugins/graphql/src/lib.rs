//! One question to several services, in GraphQL.
//!
//! ```text
//! POST /         {"query", "operationName"?, "variables"?}
//! GET  /?query=  the same for queries, with variables as JSON; no mutations
//! GET  /schema   the schema in its own language, if introspection is on
//! GET  /health, /info
//! ```
//!
//! [`schema`] is what can be asked, [`session`] asks the services, and asks once for many; [`guard`] and the limits of
//! the schema bound what one request may cost. Here is only HTTP (GraphQL over HTTP, the draft of its working group).
//! What comes from whom is decided by the services: they are told who asks, as the gateway told it here.

mod caller;
mod failure;
mod guard;
mod input;
mod model;
mod schema;
mod session;

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Value;
use async_graphql::parser::types::OperationType;
use serde_json::json;
use shop::Info;
use wharf_sdk::{Error, Request, Response, Router, config, get, post, serve};

use failure::Failure;
use input::Input;
use schema::Shop;
use session::Session;

/// The media type of answers whose status says how it went.
const GRAPHQL: &str = "application/graphql-response+json";
/// What a query may cost, unless the operator says otherwise.
const MOST_COST: usize = 5000;

static ROUTER: Router = Router::new(&[
    post("/", by_post),
    get("/", by_get),
    get("/schema", show),
    get("/health", health),
    get("/info", |_| INFO.show()),
]);
serve!(ROUTER);
wharf_sdk::openapi!("../openapi.yaml");

static INFO: Info = shop::info! {
    publishes: [],
    handles: [],
};

/// Made once for all requests that this instance serves, unless the operator changes what a query may cost.
fn shop() -> Result<Shop, Error> {
    static MADE: Mutex<Option<(usize, Shop)>> = Mutex::new(None);
    let most = config::get_or("max-cost", &MOST_COST.to_string());
    let most: usize = most.parse().map_err(|_| Error::internal(format_args!("`max-cost: {most}` is no number")))?;
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((cost, shop)) = made.as_ref()
        && *cost == most
    {
        return Ok(shop.clone());
    }
    let shop = schema::build(most);
    *made = Some((most, shop.clone()));
    Ok(shop)
}

fn introspection() -> Result<bool, Error> {
    match config::get_or("introspection", "true").as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Error::internal(format_args!("`introspection: {other}` is neither true nor false"))),
    }
}

fn by_post(mut request: Request) -> Result<Response, Error> {
    let input = Input::of_body(&mut request);
    answer(&request, input, true)
}

fn by_get(request: Request) -> Result<Response, Error> {
    let input = Input::of_query(&request);
    answer(&request, input, false)
}

fn answer(request: &Request, input: Result<Input, Failure>, may_change: bool) -> Result<Response, Error> {
    let shop = shop()?;
    let introspection = introspection()?;
    let input = match input {
        Ok(input) => input,
        Err(failure) => return Ok(refusal(request, failure, true)),
    };
    let document = match async_graphql::parser::parse_query(&input.query) {
        Ok(document) => document,
        Err(error) => {
            let failure = Failure::new("GRAPHQL_PARSE_FAILED", 400, error.to_string());
            return Ok(refusal(request, failure, false));
        }
    };
    if let Err(failure) = guard::check(&document, introspection) {
        return Ok(refusal(request, failure, false));
    }
    if !may_change && guard::kind(&document, input.operation_name.as_deref()) == Some(OperationType::Mutation) {
        let failure = Failure::new("METHOD_NOT_ALLOWED", 405, "a mutation is sent by POST");
        return Ok(refusal(request, failure, true).header("allow", "POST"));
    }
    let session = Arc::new(Session::new(request));
    let mut question = async_graphql::Request::new(input.query);
    question.set_parsed_query(document);
    question.operation_name = input.operation_name;
    question.variables = input.variables;
    let done = session::run(&session, shop.execute(question.data(Arc::clone(&session))));
    let done = done.ok_or_else(|| Error::internal("a query stands still"))?;
    // What failed at a field has its place in the answer; what failed before there was one has none.
    let executed = done.data != Value::Null || done.errors.iter().any(|error| !error.path.is_empty());
    if executed || done.errors.is_empty() {
        return Ok(respond(request, serde_json::to_vec(&done)?, 200));
    }
    Ok(respond(
        request,
        serde_json::to_vec(&json!({ "errors": done.errors }))?,
        if speaks_graphql(request) { 400 } else { 200 },
    ))
}

/// A request that is not run. Its status is always shown if it is about HTTP; what is wrong with the query itself is
/// 200 for clients that only know `application/json`, as they expect it.
fn refusal(request: &Request, failure: Failure, about_http: bool) -> Response {
    let status = if about_http || speaks_graphql(request) { failure.status() } else { 200 };
    let error = async_graphql::Error::from(failure).into_server_error(async_graphql::Pos::default());
    let error = json!({ "message": error.message, "extensions": error.extensions });
    respond(request, json!({ "errors": [error] }).to_string(), status)
}

fn respond(request: &Request, body: impl Into<Vec<u8>>, status: u16) -> Response {
    let kind = if speaks_graphql(request) { GRAPHQL } else { "application/json" };
    Response::bytes(&format!("{kind}; charset=utf-8"), body)
        .with_status(status)
        .header("cache-control", "no-store")
        .header("vary", "accept")
}

/// Whether the client knows the newer media type.
fn speaks_graphql(request: &Request) -> bool {
    let accept = request.header("accept").unwrap_or_default();
    accept.split(',').any(|one| one.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(GRAPHQL)))
}

fn show(_: Request) -> Result<Response, Error> {
    if !introspection()? {
        return Err(Error::not_found("this service does not tell its schema"));
    }
    Ok(Response::text(shop()?.sdl()))
}

/// It has nothing of its own: healthy is what can read its configuration.
fn health(_: Request) -> Result<Response, Error> {
    shop()?;
    introspection()?;
    Ok(Response::text("ok\n"))
}

#[cfg(test)]
mod tests;
