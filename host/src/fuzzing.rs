//! What fuzz targets call; there is nothing of it in an ordinary build.

/// Any bytes as `gateway.yaml`.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    crate::config::fuzz(text);
}
