//! The documents that clients and operators read: that of one service below its automatic route, and all of them as
//! one.
//!
//! A service's own is answered behind the filters of its route, so whoever may not use the service does not read what
//! it can do. A service that describes `/openapi.json` itself is asked for it; one without a document, or that is not
//! to publish it, gets such a request like any other.
//!
//! The one of all services is an answer of the gateway where no route and no service has its path, and no filter holds
//! there: it has those services that a stranger might ask just as well. Operators read it with all services that have
//! an automatic route.
//!
//! A document is made once and kept until something it is made of changes: anybody may ask for it, and a large one
//! takes milliseconds.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio::sync::Mutex;

use crate::contract::Contract;
use crate::contract::outside::{self, Part};
use crate::gateway::services::{Backend, Services, Snapshot};

/// The last segment of a document's path.
pub(in crate::gateway) const NAME: &str = "/openapi.json";

/// Documents as they are sent.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    alone: Mutex<HashMap<Arc<str>, Made>>,
    for_strangers: Mutex<Made>,
    for_operators: Mutex<Made>,
}

/// A document, and what it was made of.
#[derive(Debug, Default)]
struct Made {
    of: Vec<Source>,
    bytes: Bytes,
}

#[derive(Debug, Clone)]
struct Source {
    service: Arc<str>,
    prefix: String,
    contract: Arc<Contract>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.service == other.service && self.prefix == other.prefix && Arc::ptr_eq(&self.contract, &other.contract)
    }
}

impl Source {
    fn part(&self) -> Part<'_> {
        Part { service: &self.service, prefix: &self.prefix, contract: &self.contract }
    }
}

/// What operators read.
#[derive(Debug, Clone)]
pub(crate) struct Contracts(Arc<Services>);

impl Contracts {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        Self(services)
    }

    /// The documents of all services with an automatic route, as one.
    pub(crate) async fn document(&self) -> Bytes {
        let snapshot = self.0.snapshot();
        let sources = sources(&snapshot, |_, _| true);
        all(&self.0.documents().for_operators, sources).await
    }
}

/// The document of one service below its automatic route, if a request asks for it.
pub(in crate::gateway) async fn alone(
    services: &Services,
    (method, label, headers): (&Method, Option<&str>, &HeaderMap),
    (service, prefix, backend): (&Arc<str>, &str, &Backend),
) -> Option<Response<Bytes>> {
    if !backend.settings.contract.publish || !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let contract = backend.choose(label, headers, None, true)?.pool.contract()?;
    if contract.describes(NAME) {
        return None;
    }
    let source = Source { service: Arc::clone(service), prefix: prefix.to_owned(), contract };
    let mut kept = services.documents().alone.lock().await;
    kept.retain(|name, _| services.snapshot().service(name).is_some());
    let made = kept.entry(Arc::clone(service)).or_default();
    if made.of.as_slice() != [source.clone()] {
        let (of, prefix) = (Arc::clone(&source.contract), source.prefix.clone());
        let bytes = made_by(move || outside::alone(&of, &prefix)).await?;
        *made = Made { of: vec![source], bytes };
    }
    Some(answer(made.bytes.clone()))
}

/// The documents of all services as one, if a request that nobody else has the path of asks for it.
pub(in crate::gateway) async fn together(
    services: &Services,
    snapshot: &Snapshot,
    (method, path): (&Method, &str),
) -> Option<Response<Bytes>> {
    if !snapshot.openapi.enabled || path != snapshot.openapi.path {
        return None;
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, const { HeaderValue::from_static("GET, HEAD") });
        return Some(response);
    }
    let open = |service: &str, backend: &Backend| backend.settings.contract.publish && services.is_open(service);
    Some(answer(all(&services.documents().for_strangers, sources(snapshot, open)).await))
}

async fn all(kept: &Mutex<Made>, sources: Vec<Source>) -> Bytes {
    let mut made = kept.lock().await;
    if made.bytes.is_empty() || made.of != sources {
        let of = sources.clone();
        let make = move || outside::together(of.iter().map(Source::part));
        let bytes = made_by(make).await.unwrap_or_default();
        *made = Made { of: sources, bytes };
    }
    made.bytes.clone()
}

/// By name.
fn sources(snapshot: &Snapshot, wanted: impl Fn(&str, &Backend) -> bool) -> Vec<Source> {
    let one = |(service, backend): (&Arc<str>, &Backend)| {
        let prefix = backend.settings.expose.prefix(service)?;
        let contract = backend.choose(None, &HeaderMap::new(), None, true)?.pool.contract()?;
        let prefix = prefix.trim_end_matches('/').to_owned();
        wanted(service, backend).then(|| Source { service: Arc::clone(service), prefix, contract })
    };
    let mut sources: Vec<Source> = snapshot.services().filter_map(one).collect();
    sources.sort_by(|one, other| one.service.cmp(&other.service));
    sources
}

async fn made_by(make: impl FnOnce() -> serde_json::Value + Send + 'static) -> Option<Bytes> {
    let made = tokio::task::spawn_blocking(move || serde_json::to_vec(&make())).await;
    made.ok()?.ok().map(Bytes::from)
}

fn answer(bytes: Bytes) -> Response<Bytes> {
    let mut response = Response::new(bytes);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, const { HeaderValue::from_static("application/json") });
    headers.insert(CACHE_CONTROL, const { HeaderValue::from_static("no-cache") });
    response
}
