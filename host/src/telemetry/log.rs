//! The log: stderr, readable on a terminal and JSON lines elsewhere; `WHARF_LOG` sets levels (`info`, `wharf=debug`).
//!
//! Guests' lines come through here too, with the target `guest`; they were bounded and escaped before.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging. Does nothing when the program has set up a log of its own.
pub fn start() {
    let filter = EnvFilter::try_from_env("WHARF_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let terminal = std::io::stderr().is_terminal();
    // Somebody else's subscriber stays.
    let _ =
        if terminal { builder.with_target(false).try_init() } else { builder.json().flatten_event(true).try_init() };
}
