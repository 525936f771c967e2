//! The host: everything built once, put together, and taken apart in order.
//!
//! ```text
//! configuration ─→ engines, loader ─→ services (snapshot) ←─ rollout ←─ folder
//!       ↑                                   ↓
//!   live reload                 gateway ←─ listener        admin ←─ registry
//! ```
//!
//! [`Host::start`] returns when all listeners are open; components come up behind them. A configuration that turns
//! out broken while running changes nothing: the one in force stays until a better one is there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::admin::{Admin, Backups};
use crate::config::{self, Config, Problems};
use crate::events::{Bus, Events, NOTES_QUOTA, NOTES_STORE, Parts};
use crate::gateway::{Contracts, Gateway, HealthChecks, Metrics, Services};
use crate::plugin::{
    Cache, CacheError, CompileIn, Compiler, EngineError, Engines, Folder, FolderError, Loader, Rollout,
};
use crate::registry::Registry;
use crate::reload::{ConfigWatch, log_warnings};
use crate::server::{ListenError, Listeners, ListenersError};
use crate::state::backup::{BackupError, StateLock};
use crate::state::sqlite::{SqliteEventLog, SqliteQueues, SqliteState};
use crate::state::{EventLog, KeyValueEngine, Outboxes};
use crate::telemetry::{AccessLog, Reloads};

/// Compiled code kept on disk; the least recently used goes first.
const CACHE_BYTES: u64 = 2 << 30;
/// What the operators' listener is called.
const ADMIN: &str = "admin";

/// How to start a host.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the configuration is.
    pub source: config::Source,
    /// What the command line says; wins over the files, also after a reload.
    pub overrides: Overrides,
    /// Where components are compiled.
    pub compile_in: CompileIn,
}

/// Settings that win over the files.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `listen`; then there are no `listeners`.
    pub listen: Option<SocketAddr>,
    /// `admin.listen`
    pub admin: Option<SocketAddr>,
    /// `plugins.dir`
    pub plugins: Option<PathBuf>,
    /// `state.path`
    pub state: Option<PathBuf>,
}

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The configuration is wrong.
    #[error("the configuration is not valid\n{0}")]
    Config(#[from] Problems),
    /// A listener could not be opened.
    #[error(transparent)]
    Listen(ListenError),
    /// A file of TLS is wrong.
    #[error("TLS cannot be set up\n{0}")]
    Tls(Problems),
    /// The engines could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The folder of components cannot be watched.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The cache of compiled code cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A folder could not be made.
    #[error("cannot make the folder {path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] BackupError),
    /// The admin listener may not be reachable from other machines.
    #[error("{0}")]
    Admin(String),
}

impl From<ListenersError> for HostError {
    fn from(error: ListenersError) -> Self {
        match error {
            ListenersError::Bind(error) => Self::Listen(error),
            ListenersError::Files(problems) => Self::Tls(problems),
        }
    }
}

/// A host that is not running yet.
#[derive(Debug)]
pub struct Host;

/// A running host. Dropping it stops at once; [`Running::shutdown`] stops in order.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    admin_address: SocketAddr,
    services: Arc<Services>,
    registry: Arc<Registry>,
    ready: watch::Receiver<bool>,
    draining: CancellationToken,
    listeners: Arc<Listeners<Gateway>>,
    admin: Listeners<Admin>,
    gateway: Arc<Gateway>,
    events: Arc<Events>,
    config: ConfigWatch,
    _leases: AbortOnDropHandle<()>,
    _health: HealthChecks,
    _rollout: AbortOnDropHandle<()>,
    _folder: Folder,
    /// Held to the end: no restore takes the state away.
    _state_lock: StateLock,
}

impl Overrides {
    fn apply(&self, mut config: Config) -> Config {
        let Self { listen, admin, plugins, state } = self.clone();
        let gateway = &mut config.gateway;
        if let Some(listen) = listen {
            gateway.listen = listen;
            gateway.listeners.clear();
        }
        gateway.admin.listen = admin.unwrap_or(gateway.admin.listen);
        gateway.plugins.dir = plugins.unwrap_or_else(|| gateway.plugins.dir.clone());
        gateway.state.path = state.unwrap_or_else(|| gateway.state.path.clone());
        config
    }
}

impl Options {
    /// The configuration in files and command line together.
    ///
    /// # Errors
    /// With everything that is wrong with the files.
    pub fn load(&self) -> Result<Config, Problems> {
        config::load(&self.source).map(|config| self.overrides.apply(config))
    }
}

impl Host {
    /// Starts everything. When this returns, all listeners are open and components are being loaded.
    ///
    /// # Errors
    /// See [`HostError`]. A component that cannot be loaded is no error: it is rejected, and listed.
    pub async fn start(options: Options) -> Result<Running, HostError> {
        let config = Arc::new(options.load()?);
        log_warnings(config.warnings.as_ref());
        let settings = &config.gateway;
        config::valid_admin_listen(settings.admin.listen).map_err(HostError::Admin)?;
        make_directory(&settings.plugins.dir)?;
        make_directory(&settings.state.path)?;
        let state_lock = StateLock::shared(&settings.state.path)?;

        let engine = &settings.engine;
        let engines = Engines::new(engine.max_slots)?;
        let cache = open_cache(&config)?;
        let compiler =
            Compiler::new(options.compile_in.clone(), cache, engine.compile_concurrency, engine.compile_timeout.get());
        let loader = Arc::new(Loader::new(engines, Arc::new(compiler))?);

        let registry = Arc::new(Registry::default());
        let state = Arc::new(SqliteState::new(&settings.state.path));
        let log: Arc<dyn EventLog> = Arc::new(SqliteEventLog::open(&settings.state.path));
        let queues = Arc::new(SqliteQueues::open(&settings.state.path));
        let bus = Bus::new(Arc::clone(&log), queues, Arc::clone(&config));
        let notes = Arc::new(state.store(NOTES_STORE, NOTES_QUOTA));
        let outboxes: Arc<dyn Outboxes> = Arc::clone(&state) as _;
        let services = Services::new(Arc::clone(&config), Arc::clone(&registry), state, Arc::clone(&bus) as _);
        let services = services.map_err(|message| Problems::of_file(&options.source.dir, message))?;
        let services = Arc::new(services);

        let gateway = Gateway::new(Arc::clone(&services), access_log(&config));
        let parts = Parts { log, bus, deliver: Arc::clone(&gateway) as _, outboxes: Some(outboxes), notes };
        let events = Events::start(parts, Arc::clone(&config));
        let (folder, changes) = Folder::watch(&settings.plugins.dir, settings.plugins.poll_interval.get())?;
        let (rollout, ready) = Rollout::start(loader, Arc::clone(&services) as _, changes);
        services.starts(ready.clone());
        let draining = CancellationToken::new();
        let health = HealthChecks::start(Arc::clone(&services), Arc::clone(&registry));
        let reloads = Arc::<Reloads>::default();
        let metrics = Metrics::new(Arc::clone(&services), Arc::clone(&registry), Arc::clone(&reloads));
        let metrics = metrics.with_events(Arc::clone(&events));
        let rollouts = Arc::clone(&services) as _;
        let backups = settings.state.backups.clone().map(|dir| Backups::new(settings.state.path.clone(), dir));
        let admin = Admin::new(Arc::clone(&registry), rollouts, metrics, ready.clone(), draining.clone());
        let admin = admin.with_events(Arc::clone(&events)).with_backups(backups);
        let admin = admin.with_contracts(Contracts::new(Arc::clone(&services)));
        let leases = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&registry).run()));
        let timeout = settings.drain.timeout.get();
        let listeners = Arc::new(Listeners::new(Arc::clone(&gateway)));
        let public = settings.public_listeners();
        listeners.commit(listeners.prepare(&public, &settings.connections)?, timeout);
        let admin_listeners = Listeners::new(Arc::new(admin));
        admin_listeners.commit(
            admin_listeners.prepare(&[admin_listener(settings.admin.listen)], &config::Connections::default())?,
            timeout,
        );
        let named = |addresses: HashMap<String, SocketAddr>, name: &str| addresses.get(name).copied();
        let first = public.first().map_or("", |listener| &listener.name);
        let address = named(listeners.addresses(), first).unwrap_or(settings.listen);
        let admin_address = named(admin_listeners.addresses(), ADMIN).unwrap_or(settings.admin.listen);
        drop(public);
        let config = ConfigWatch::start(
            options,
            config,
            Arc::clone(&services),
            Arc::clone(&gateway),
            Arc::clone(&listeners),
            Arc::clone(&events),
            reloads,
        );
        tracing::info!(%address, admin = %admin_address, "listening");
        Ok(Running {
            address,
            admin_address,
            services,
            registry,
            ready,
            draining,
            listeners,
            admin: admin_listeners,
            gateway,
            events,
            config,
            _leases: leases,
            _health: health,
            _rollout: rollout,
            _folder: folder,
            _state_lock: state_lock,
        })
    }
}

impl Running {
    /// The first public listener, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The operators' listener, with its real port.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// What is registered, and where it stands.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns when every file that was in the folder at the start serves or is rejected.
    pub async fn ready(&mut self) {
        // The sender lives in the rollout, which lives as long as this.
        let _ = self.ready.wait_for(|ready| *ready).await;
    }

    /// Reads the configuration again; says whether it is in force.
    ///
    /// # Errors
    /// With everything that is wrong; the configuration before stays in force.
    pub async fn reload(&self) -> Result<(), Problems> {
        self.config.reload().await
    }

    /// Stops in order: not ready any more, then no new connections, then the requests in flight finish. Says how many
    /// connections had to be cut.
    pub async fn shutdown(self) -> usize {
        let drain = self.services.config().gateway.drain.clone();
        self.draining.cancel();
        self.services.announce_drain();
        // Nothing is opened any more.
        drop(self.config);
        self.listeners.announce();
        tracing::info!("draining");
        tokio::time::sleep(drain.pre_stop_delay.get()).await;
        let timeout = drain.timeout.get();
        let (cut, ()) = tokio::join!(self.listeners.drain(timeout), self.events.stop(timeout));
        self.admin.drain(Duration::from_millis(100)).await;
        self.gateway.set_access_log(None);
        tracing::info!(cut, "stopped");
        cut
    }
}

fn admin_listener(address: SocketAddr) -> config::Listener {
    config::Listener {
        name: ADMIN.to_owned(),
        address,
        hostname: None,
        tls: None,
        redirect_to_https: config::RedirectToHttps::No,
    }
}

/// The access log as configured, if there is to be one.
pub(crate) fn access_log(config: &Config) -> Option<AccessLog> {
    let settings = &config.gateway.access_log;
    settings.enabled.then(|| AccessLog::start(settings.format, Box::new(std::io::stdout())))
}

fn open_cache(config: &Config) -> Result<Option<Cache>, HostError> {
    if !config.gateway.engine.compile_cache {
        return Ok(None);
    }
    let cache = Cache::open(&config.gateway.state.path.join("compiled"))?;
    if let Err(error) = cache.prune(CACHE_BYTES) {
        tracing::warn!(%error, "the cache of compiled code could not be pruned");
    }
    Ok(Some(cache))
}

fn make_directory(path: &std::path::Path) -> Result<(), HostError> {
    use std::os::unix::fs::DirBuilderExt;

    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| HostError::Directory { path: path.to_owned(), source })
}
