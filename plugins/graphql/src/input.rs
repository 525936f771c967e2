//! What a client asks: a document, which of its operations, and values.

use async_graphql::Variables;
use serde::Deserialize;
use serde_json::{Map, Value};
use wharf_sdk::Request;

use crate::failure::Failure;

/// The most that is read of a body, in bytes. The gateway's limit for this service is the same.
const BODY: usize = 64 << 10;
/// The longest document, wherever it comes from.
const DOCUMENT: usize = 32 << 10;

pub(crate) struct Input {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Variables,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
    extensions: Option<Map<String, Value>>,
}

impl Input {
    pub(crate) fn of_body(request: &mut Request) -> Result<Self, Failure> {
        let kind = request.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        // A page of another origin cannot send this type without asking first (CORS).
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Failure::new("BAD_REQUEST", 415, "the body is to be application/json"));
        }
        let bytes = request.body(BODY).map_err(|error| {
            Failure::new("BAD_REQUEST", error.status(), error.detail().unwrap_or("the body cannot be read"))
        })?;
        let body = serde_json::from_slice(&bytes);
        Self::of(
            body.map_err(|error| Failure::new("BAD_REQUEST", 400, format!("the body is not as expected: {error}")))?,
        )
    }

    pub(crate) fn of_query(request: &Request) -> Result<Self, Failure> {
        let json = |name: &str| {
            let text = request.query(name).filter(|text| !text.is_empty());
            let map = text.map(|text| serde_json::from_str(&text)).transpose();
            map.map_err(|error| Failure::new("BAD_REQUEST", 400, format!("`{name}` is no JSON object: {error}")))
        };
        Self::of(Body {
            query: request.query("query"),
            operation_name: request.query("operationName").filter(|name| !name.is_empty()),
            variables: json("variables")?,
            extensions: json("extensions")?,
        })
    }

    fn of(body: Body) -> Result<Self, Failure> {
        let Body { query, operation_name, variables, extensions } = body;
        let Some(query) = query.filter(|query| !query.trim().is_empty()) else {
            // Clients that send only the hash of a query then send the query.
            let persisted = extensions.is_some_and(|known| known.contains_key("persistedQuery"));
            return Err(if persisted {
                Failure::new("PERSISTED_QUERY_NOT_SUPPORTED", 400, "PersistedQueryNotSupported")
            } else {
                Failure::new("BAD_REQUEST", 400, "there is no `query`")
            });
        };
        if query.len() > DOCUMENT {
            let message = format!("the query has more than {DOCUMENT} bytes");
            return Err(Failure::new("QUERY_TOO_LARGE", 413, message));
        }
        let variables = Variables::from_json(Value::Object(variables.unwrap_or_default()));
        Ok(Self { query, operation_name, variables })
    }
}
