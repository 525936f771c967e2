//! What fuzz targets call; there is nothing of it in an ordinary build.

/// Any bytes as `gateway.yaml`.
pub fn config(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = crate::config::fuzz(text);
    }
}

/// A `gateway.yaml`, a line `---`, and a request as it looks on the wire (method and target, then headers).
pub fn route(bytes: &[u8]) {
    let Some((yaml, request)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once("\n---\n")) else {
        return;
    };
    if let Some(gateway) = crate::config::fuzz(yaml) {
        crate::gateway::fuzz::route(&gateway, request);
    }
}

/// Any bytes as a path.
pub fn path(bytes: &[u8]) {
    crate::gateway::fuzz::path(bytes);
}

/// Any bytes as a token.
pub fn jwt(bytes: &[u8]) {
    crate::gateway::fuzz::jwt(bytes);
}

/// An OpenAPI document, a line `---`, and a request as it looks on the wire.
pub fn contract(bytes: &[u8]) {
    if let Some((document, message)) = std::str::from_utf8(bytes).ok().and_then(|text| text.split_once("\n---\n")) {
        crate::contract::fuzz::message(document, message);
    }
}
