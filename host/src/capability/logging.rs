//! `wasi:logging/logging`: log records with a level and a context.
//!
//! One call is one line, whatever it contains. `critical` has no level of its own in the host's log and becomes an
//! error.

use tracing::Level;

use super::CapabilityView;
use super::bindings::logging::wasi::logging::logging;

impl logging::Host for CapabilityView<'_> {
    fn log(&mut self, level: logging::Level, context: String, message: String) {
        let level = match level {
            logging::Level::Trace => Level::TRACE,
            logging::Level::Debug => Level::DEBUG,
            logging::Level::Info => Level::INFO,
            logging::Level::Warn => Level::WARN,
            logging::Level::Error | logging::Level::Critical => Level::ERROR,
        };
        self.ctx.output.log(level, &context, &message);
    }
}
