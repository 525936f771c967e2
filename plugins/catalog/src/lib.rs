//! The products of the shop.
//!
//! ```text
//! GET    /?q&category&after&limit   those for sale, oldest first; ?inactive=true: all, for admins
//! GET    /?ids=a,b                  these, at most 100; unknown ones are left out
//! GET    /{id}                      with an ETag
//! POST   /                          admin: a new one, 201; 409 if the sku is taken
//! PUT    /{id}                      admin: with If-Match, else 428; 412 if it was changed since
//! DELETE /{id}                      admin: not for sale any more, 204
//! GET    /health, /info
//! ```
//!
//! [`store`] keeps them, [`input`] says what a product may look like; here is only HTTP.

mod input;
mod store;

use std::time::SystemTime;

use shop::{Caller, Info, Page};
use wharf_sdk::{Error, Request, Response, Router, delete, get, log, post, put, serve};

use input::{Input, Wanted};
use store::{Precondition, Product};

wharf_sdk::migrations!("../migrations": "0001_create_products.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    get("/", list),
    post("/", create),
    get("/health", |_| shop::health("products")),
    get("/info", |_| INFO.show()),
    get("/{id}", read),
    put("/{id}", update),
    delete("/{id}", remove),
]);
serve!(ROUTER);

static INFO: Info = shop::info! {
    publishes: ["product.created", "product.updated", "product.deleted"],
    handles: [],
};

fn list(request: Request) -> Result<Response, Error> {
    let page = match Wanted::read(&request)? {
        Wanted::Ids(ids) => Page::whole(store::batch(ids)?),
        Wanted::Page(filter) => {
            if filter.inactive {
                Caller::of(&request).check_inside()?;
            }
            store::page(filter)?
        }
    };
    Ok(Response::json(&page))
}

fn create(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let product = store::create(Input::read(&mut request)?, SystemTime::now())?;
    log::info(format_args!("made product {}", product.id));
    let location = request.url_for(&format!("/{}", product.id));
    Ok(with_tag(&product).with_status(201).header("location", &location))
}

fn read(request: Request) -> Result<Response, Error> {
    let product = store::get(request.param("id"))?;
    let known = request.header("if-none-match").unwrap_or_default();
    let known = known.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
    if known.into_iter().any(|known| known == "*" || known == tag(&product)) {
        return Ok(Response::empty(304).header("etag", &tag(&product)));
    }
    Ok(with_tag(&product))
}

fn update(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    let on = precondition(&request);
    if matches!(on, Precondition::None) {
        return Err(Error::new(428, "say in If-Match which version you have seen, by its ETag"));
    }
    let input = Input::read(&mut request)?;
    Ok(with_tag(&store::update(request.param("id"), input, &on, SystemTime::now())?))
}

fn remove(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    store::deactivate(request.param("id"), &precondition(&request), SystemTime::now())?;
    Ok(Response::empty(204))
}

fn tag(product: &Product) -> String {
    format!("\"{}\"", product.version)
}

fn with_tag(product: &Product) -> Response {
    Response::json(product).header("etag", &tag(product))
}

/// What `If-Match` says. A weak tag, or one that was never given out, is the tag of no version.
fn precondition(request: &Request) -> Precondition {
    let Some(text) = request.header("if-match") else { return Precondition::None };
    if text.trim() == "*" {
        return Precondition::Any;
    }
    let version = |tag: &str| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    Precondition::Versions(text.split(',').filter_map(version).collect())
}

#[cfg(test)]
mod tests;
