//! Live configuration: a change of the files is in force a moment later, a mistake in them never.
//!
//! The folder is watched by notification and read anyway every few seconds, because not every file system notifies
//! and some tools swap whole directories. Reading is cheap; only a configuration whose fingerprint differs is
//! applied. Files of secrets are read each time too, and what they say now is in force whatever became of the rest.
//! Problems are logged once per state of the files, not every time they are looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{Config, Problems};
use crate::events::Events;
use crate::gateway::{Gateway, SecretTexts, Services};
use crate::host::{Options, access_log};
use crate::server::{Listeners, ListenersError, Prepared};
use crate::telemetry::Reloads;

/// From a notification to reading, so that one reading sees the whole of an edit.
const DEBOUNCE: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_secs(3);

/// Follows the configuration's files until dropped.
#[derive(Debug)]
pub(crate) struct ConfigWatch {
    reloader: Arc<Reloader>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Reloader {
    options: Options,
    services: Arc<Services>,
    gateway: Arc<Gateway>,
    listeners: Arc<Listeners<Gateway>>,
    events: Arc<Events>,
    reloads: Arc<Reloads>,
    /// One reading at a time: two that prepare the same address would be in each other's way.
    turn: tokio::sync::Mutex<()>,
    /// What the files said last, good or bad.
    seen: Mutex<Result<String, String>>,
}

impl ConfigWatch {
    pub(crate) fn start(
        options: Options,
        config: Arc<Config>,
        services: Arc<Services>,
        gateway: Arc<Gateway>,
        listeners: Arc<Listeners<Gateway>>,
        events: Arc<Events>,
        reloads: Arc<Reloads>,
    ) -> Self {
        let seen = Mutex::new(Ok(config.fingerprint()));
        let turn = tokio::sync::Mutex::default();
        let reloader = Arc::new(Reloader { options, services, gateway, listeners, events, reloads, turn, seen });
        let task = tokio::spawn(follow(Arc::clone(&reloader)));
        Self { reloader, _task: AbortOnDropHandle::new(task) }
    }

    /// Reads and applies now.
    pub(crate) async fn reload(&self) -> Result<(), Problems> {
        self.reloader.reload().await
    }
}

async fn follow(reloader: Arc<Reloader>) {
    let (hint, mut hints) = mpsc::channel(1);
    // Kept alive here; watching the parent too would see the folder itself come and go, which polling sees as well.
    let _watcher = watch(&reloader, hint);
    loop {
        // A closed channel (no watcher) leaves the clock.
        tokio::select! {
            Some(()) = hints.recv() => tokio::time::sleep(DEBOUNCE).await,
            () = tokio::time::sleep(POLL) => {}
        }
        // Problems are logged where they are found.
        let _ = reloader.reload().await;
    }
}

fn watch(reloader: &Reloader, hint: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let dir = &reloader.options.source.dir;
    let watcher = notify::recommended_watcher(move |_event| {
        // Full means that a look is due anyway.
        let _ = hint.try_send(());
    })
    .and_then(|mut watcher| {
        watcher.watch(dir, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::debug!(dir = %dir.display(), %error, "no notifications for the configuration, polling");
            None
        }
    }
}

impl Reloader {
    async fn reload(self: &Arc<Self>) -> Result<(), Problems> {
        let _turn = self.turn.lock().await;
        let this = Arc::clone(self);
        let loaded = tokio::task::spawn_blocking(move || {
            // What is in force follows its secrets, whatever the files say now.
            if let Ok(secrets) = this.services.read_secrets(&this.services.config()) {
                this.services.set_secrets(secrets);
            }
            let config = this.options.load()?;
            let secrets = this.read_secrets(&config)?;
            let listeners = this.prepare(&config)?;
            Ok::<_, Problems>((config, secrets, listeners))
        });
        let Ok(loaded) = loaded.await else {
            tracing::error!("reading the configuration panicked");
            return Ok(());
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok((config, secrets, listeners)) => {
                let fingerprint = config.fingerprint();
                let timeout = config.gateway.drain.timeout.get();
                let warnings = config.warnings.clone();
                let news = *seen != Ok(fingerprint.clone());
                if news {
                    let applied = self.services.config();
                    if applied.fingerprint() != fingerprint
                        && let Err(message) = self.apply(&applied, Arc::new(config), secrets)
                    {
                        return Err(self.refused(&mut seen, Problems::of_file(&self.options.source.dir, message)));
                    }
                }
                // After the rest, so that no connection meets a listener that the gateway does not know.
                self.listeners.commit(listeners, timeout);
                if news {
                    *seen = Ok(fingerprint.clone());
                    self.reloads.succeeded();
                    tracing::info!(fingerprint, "configuration in force");
                    log_warnings(warnings.as_ref());
                }
                Ok(())
            }
            Err(problems) => Err(self.refused(&mut seen, problems)),
        }
    }

    /// Logs what is wrong, once.
    fn refused(&self, seen: &mut Result<String, String>, problems: Problems) -> Problems {
        let text = problems.to_string();
        if *seen != Err(text.clone()) {
            tracing::error!("the configuration is not valid, the one before stays in force\n{text}");
            *seen = Err(text);
            self.reloads.failed();
        }
        problems
    }

    fn read_secrets(&self, config: &Config) -> Result<SecretTexts, Problems> {
        let file = self.options.source.dir.join("gateway.yaml");
        self.services.read_secrets(config).map_err(|wrong| {
            let message = wrong.join("\n");
            let problems = wrong.into_iter().map(|message| (file.clone(), message));
            Problems::of_files(problems).unwrap_or_else(|| Problems::of_file(&file, message))
        })
    }

    /// Certificates are read every time: their files change while the configuration stays.
    fn prepare(&self, config: &Config) -> Result<Prepared, Problems> {
        self.listeners.prepare(&config.gateway.public_listeners(), &config.gateway.connections).map_err(|error| {
            match error {
                ListenersError::Files(problems) => problems,
                ListenersError::Bind(error) => {
                    Problems::of_file(&self.options.source.dir.join("gateway.yaml"), error.to_string())
                }
            }
        })
    }

    fn apply(&self, old: &Config, new: Arc<Config>, secrets: SecretTexts) -> Result<(), String> {
        self.services.apply(Arc::clone(&new), secrets)?;
        self.events.apply(&new);
        for field in needs_restart(old, &new) {
            tracing::warn!(field, "changed, but only a restart puts it in force");
        }
        if old.gateway.access_log != new.gateway.access_log {
            self.gateway.set_access_log(access_log(&new));
        }
        Ok(())
    }
}

/// Says what is allowed and hardly meant.
pub(crate) fn log_warnings(warnings: Option<&Problems>) {
    if let Some(warnings) = warnings {
        tracing::warn!("the configuration has warnings\n{warnings}");
    }
}

/// Fields that are read once, at the start.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (old, new) = (&old.gateway, &new.gateway);
    [
        ("admin.listen", old.admin != new.admin),
        ("plugins", old.plugins != new.plugins),
        ("state", old.state != new.state),
        ("engine", old.engine != new.engine),
    ]
    .into_iter()
    .filter_map(|(field, changed)| changed.then_some(field))
    .collect()
}
