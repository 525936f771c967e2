//! What fuzz targets do with documents; there is nothing of it in an ordinary build.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::message::{BodyRule, Effort};
use super::{Contract, Direction, diff, outside};

/// A document, and a request as it looks on the wire, whose body is the response's body too.
///
/// Whatever they are: a document keeps its own promises, and as clients see it, it is a document that keeps them.
pub(crate) fn message(document: &str, message: &str) {
    let Ok(contract) = Contract::read("fuzz.yaml", document) else { return };
    assert_eq!(diff::breaks(&contract, &contract), [], "a document breaks itself");
    let seen = outside::alone(&contract, "/seen").to_string();
    let seen = Contract::read("seen.json", &seen).unwrap_or_else(|error| panic!("clients cannot read it: {error}"));
    assert_eq!(seen.operations(), contract.operations());

    let (head, body) = message.split_once("\n\n").unwrap_or((message, ""));
    let mut lines = head.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let Ok(method) = method.parse::<Method>() else { return };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.append(name, value);
        }
    }
    let request = contract.request(&method, path, query, &headers);
    for (rule, direction) in
        [(request.body, Direction::Request), (request.response(200, &headers).body, Direction::Response)]
    {
        let _ = rule.of_presence(!body.is_empty());
        let BodyRule::Fits { schema, .. } = rule else { continue };
        let little = contract.body(schema, body.as_bytes(), direction, Effort::Little);
        let full = contract.body(schema, body.as_bytes(), direction, Effort::Full);
        assert!(full.is_some(), "with all effort there is an answer");
        assert!(little.is_none() || little == full, "effort changes what is wrong: {little:?} {full:?}");
    }
}
