//! What a service promises its clients: an OpenAPI document in the component.

/// Puts an OpenAPI document (3.0 or 3.1, YAML or JSON) into the component.
///
/// ```ignore
/// wharf_sdk::openapi!("../openapi.yaml");
/// ```
///
/// The file is relative to the source file, and at most 2 MiB. The host reads it before a version with it serves, and
/// rejects the version if it is broken. Say it once in a component.
#[macro_export]
macro_rules! openapi {
    ($file:literal) => {
        const _: () = {
            const TEXT: &str = include_str!($file);
            const _: () = assert!(TEXT.len() <= 2 << 20, "an OpenAPI document has at most 2 MiB");
            #[cfg(target_family = "wasm")]
            #[expect(unsafe_code, reason = "the bytes of a custom section can be anything")]
            #[unsafe(link_section = "wharf:openapi")]
            #[used]
            static SECTION: [u8; TEXT.len()] = $crate::sql::bytes(TEXT);
        };
    };
}
