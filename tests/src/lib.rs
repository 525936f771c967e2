//! The harness of the end-to-end tests: a real `wharf` process, its folders, and a client that says what went wrong.
//!
//! ```text
//! let wharf = Wharf::builder().plugin("greeter").gateway("accessLog: { enabled: false }").start().await;
//! wharf.get("/greeter/").await.assert_status(200);
//! ```
//!
//! Every instance has folders of its own under a temporary directory and listens on free ports; its log is kept and
//! printed when a test fails. Guests come from `plugins/` (the example services) and `target/guests/` (fixtures and
//! hostile ones); `just build-plugins build-test-guests` makes them, `just test` does so itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a harness reports by panicking"
)]

mod client;
mod compiled;
mod load;
mod process;
mod program;
mod shop;
mod upstream;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use client::{Answer, Client, Connection};
pub use compiled::Compiled;
pub use load::Load;
pub use process::{Builder, Wharf, binary};
pub use program::{Outcome, Program, Running, have};
pub use shop::OpenShop;
pub use upstream::{Reply, Seen, Upstream};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// The bytes of a built guest: an example service or a fixture.
pub fn guest(name: &str) -> Vec<u8> {
    let file = format!("{name}.wasm");
    for dir in ["target/guests", "plugins"] {
        if let Ok(bytes) = std::fs::read(root().join(dir).join(&file)) {
            return bytes;
        }
    }
    panic!("{file} is not built: run `just build-plugins build-test-guests`");
}

/// A section with this text, put behind a component.
pub fn with_section(mut wasm: Vec<u8>, name: &str, text: &str) -> Vec<u8> {
    fn length(mut number: usize, out: &mut Vec<u8>) {
        while number >= 0x80 {
            out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        out.push(u8::try_from(number).unwrap());
    }
    let mut body = Vec::new();
    length(name.len(), &mut body);
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(text.as_bytes());
    wasm.push(0);
    length(body.len(), &mut wasm);
    wasm.extend(body);
    wasm
}

/// The `versioned` fixture, answering with this marker (24 bytes).
pub fn versioned(marker: &str) -> Vec<u8> {
    const MARKER: &[u8; 24] = b"version-marker-000000001";
    assert_eq!(marker.len(), MARKER.len(), "a marker has 24 bytes");
    let mut wasm = guest("versioned");
    let at: Vec<_> = wasm.windows(MARKER.len()).enumerate().filter(|(_, w)| w == MARKER).map(|(at, _)| at).collect();
    assert_eq!(at.len(), 1, "the marker stands once in the guest");
    wasm[at[0]..at[0] + MARKER.len()].copy_from_slice(marker.as_bytes());
    wasm
}

/// Waits until `check` gives something, for at most ten seconds.
pub async fn eventually<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    within(Duration::from_secs(10), what, check).await
}

/// Waits until `check` gives something, for at most `limit`.
pub async fn within<T>(limit: Duration, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
