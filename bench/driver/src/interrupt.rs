//! Waiting that ends at once when somebody wants the run to end.
//!
//! ^C, SIGTERM and SIGHUP become an error that travels up like any other, so that everything that was started is
//! ended by its owner's `Drop` and nothing is left behind.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::bail;

/// Tells when the run is asked to end.
pub(crate) struct Interrupt {
    asked: Receiver<()>,
}

impl Interrupt {
    /// Takes over the signals of this process. Once.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let (ask, asked) = sync_channel(1);
        ctrlc::set_handler(move || {
            // Full: it was asked before.
            let _ = ask.try_send(());
        })?;
        Ok(Self { asked })
    }

    /// Waits for `time`.
    ///
    /// # Errors
    /// When the run is asked to end.
    pub(crate) fn wait(&self, time: Duration) -> anyhow::Result<()> {
        match self.asked.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => bail!("interrupted"),
        }
    }
}
