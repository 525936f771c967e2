//! `wharf serve`: runs the host until a signal ends it.
//!
//! SIGTERM and SIGINT drain: readiness turns 503, requests in flight finish, the exit code is 0. A second one stops
//! at once, also with 0: it was asked for. SIGHUP reads the configuration again.

use std::fmt::Write;
use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::registry::VersionState;
use crate::{Host, HostError, Options, Running};

/// Why `serve` ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] HostError),
    /// Signals cannot be received.
    #[error("cannot listen to signals: {0}")]
    Signals(#[from] std::io::Error),
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

enum Asked {
    Stop,
    Reload,
}

/// Runs until a signal says stop.
///
/// # Errors
/// When the host does not start.
pub async fn run(options: Options) -> Result<(), ServeError> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
    };
    let mut running = Host::start(options).await?;
    let mut announced = false;
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => {
                    // Problems are logged where they are found; the configuration before stays.
                    let _ = running.reload().await;
                }
            },
            () = running.ready(), if !announced => {
                announced = true;
                tracing::info!("ready: {}", summary(&running));
            }
        }
    }
    tokio::select! {
        _cut = running.shutdown() => {}
        () = signals.stop() => tracing::warn!("stopping at once"),
    }
    Ok(())
}

impl Signals {
    async fn next(&mut self) -> Asked {
        poll_fn(|cx| {
            if self.terminate.poll_recv(cx).is_ready() || self.interrupt.poll_recv(cx).is_ready() {
                return Poll::Ready(Asked::Stop);
            }
            self.hangup.poll_recv(cx).map(|_| Asked::Reload)
        })
        .await
    }

    async fn stop(&mut self) {
        while !matches!(self.next().await, Asked::Stop) {}
    }
}

/// `2 services (echo, greeter), 1 rejected`
fn summary(running: &Running) -> String {
    let services = running.registry().services();
    let serving: Vec<_> = services
        .iter()
        .filter(|service| service.versions.iter().any(|version| version.state.has_traffic()))
        .map(|service| service.name.as_str())
        .collect();
    let rejected = services
        .iter()
        .flat_map(|service| &service.versions)
        .filter(|version| matches!(version.state, VersionState::Rejected(_)))
        .count();
    let mut text = match serving.len() {
        0 => "no services yet, drop a component into the plugins folder".to_owned(),
        1 => format!("1 service ({})", serving.join(", ")),
        n => format!("{n} services ({})", serving.join(", ")),
    };
    if rejected > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {rejected} rejected (see `wharf services`)");
    }
    text
}
