//! The `wharf` command: flags, log, exit code. Everything else is in the library.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use wharf::cli;
use wharf::cli::events::{Asker, Letters, Past};
use wharf::cli::rollout::Order;
use wharf::cli::validate::Verdict;
use wharf::config::{SchemaKind, Source};
use wharf::plugin::{CompileIn, HttpVersion, compile_stdin};
use wharf::{Options, Overrides};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A WebAssembly plugin host: drop a component into a folder, get a service.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the components in a folder
    Serve(Serve),
    /// Check the configuration and show everything that is wrong with it
    Validate {
        #[command(flatten)]
        source: ConfigSource,
        /// How problems are shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Exit with code 2 if there are warnings
        #[arg(long)]
        strict: bool,
        /// Also the OpenAPI documents of the components in this folder, and what new versions break
        #[arg(long, value_name = "DIR")]
        plugins: Option<PathBuf>,
    },
    /// What a service promises its clients: OpenAPI documents
    #[command(subcommand)]
    Contract(ContractCommand),
    /// Print the configuration in force, with every default filled in
    Config {
        #[command(flatten)]
        source: ConfigSource,
        /// Only this service
        service: Option<String>,
    },
    /// Show where a request would go, and why
    Explain {
        #[command(flatten)]
        source: ConfigSource,
        /// The request, such as 'GET https://shop.example/orders?page=2'
        request: String,
        /// A header of it, such as 'x-group: testers'; may be given several times
        #[arg(short = 'H', long = "header", value_name = "HEADER")]
        headers: Vec<String>,
        /// Who sends it
        #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
        client_ip: IpAddr,
        /// The listener it comes by [default: the one that answers for its host]
        #[arg(long, value_name = "NAME")]
        listener: Option<String>,
        /// How the answer is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Turn routes of the Kubernetes Gateway API into routes for gateway.yaml
    Import {
        /// YAML with HTTPRoute documents; exit code 2 if something in it could not be carried over
        file: PathBuf,
    },
    /// Print the JSON Schema of a configuration file
    Schema {
        /// Which file
        #[arg(value_enum, default_value_t = SchemaOf::Gateway)]
        of: SchemaOf,
    },
    /// Show what a component exports, imports and wants, and whether this host can run it
    Inspect {
        /// The component
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a running host serves
    Services {
        #[command(flatten)]
        source: ConfigSource,
        /// Address of the admin listener [default: from the configuration]
        #[arg(long, value_name = "ADDR")]
        admin: Option<SocketAddr>,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Go on with a line for every change
        #[arg(long)]
        watch: bool,
    },
    /// Show and steer how new versions take over on a running host
    Rollout {
        #[command(subcommand)]
        what: RolloutDo,
    },
    /// Have the version before serve again, at once
    Rollback {
        #[command(flatten)]
        of: RolloutOf,
    },
    /// Show and steer events, subscriptions and dead letters of a running host
    Events {
        #[command(subcommand)]
        what: Box<EventsDo>,
    },
    /// Show queues of a running host, and what was received too often
    Queues {
        #[command(subcommand)]
        what: QueuesDo,
    },
    /// Make a line for a list of API keys or of users
    Hash {
        #[command(subcommand)]
        of: HashOf,
    },
    /// Copy all state, beside a running host or without one, as it is at one moment
    Backup {
        #[command(flatten)]
        source: ConfigSource,
        /// Folder of the state [default: from the configuration]
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// The folder that is made for the backup
        to: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a backup in the place of the state, while no host runs
    Restore {
        #[command(flatten)]
        source: ConfigSource,
        /// Folder of the state [default: from the configuration]
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// The folder of the backup
        from: PathBuf,
        /// Only this service; may be given several times
        #[arg(long = "service", value_name = "NAME")]
        services: Vec<String>,
        /// Only say whether the backup is whole, and what is in it
        #[arg(long, conflicts_with = "services")]
        check: bool,
    },
    /// Start a new service in Rust
    New {
        /// Its name: lowercase letters, digits and `-`
        name: String,
        /// Where its folder is made [default: ./<NAME>]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Compile a component from stdin to stdout; what `serve` starts for each new file
    #[command(hide = true)]
    Compile {
        /// The version of wasi:http
        http: String,
    },
}

#[derive(Debug, Subcommand)]
enum ContractCommand {
    /// Show what a new document breaks for clients of an old one; exit code 1 if something
    Diff {
        /// The old one: a component, or its OpenAPI document
        old: PathBuf,
        /// The new one
        new: PathBuf,
        /// How it is shown
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
enum RolloutDo {
    /// Show what serves, what is on trial and what was decided
    Status {
        #[command(flatten)]
        host: RunningHost,
        /// The service, or service@label for one of its files [default: all]
        service: Option<String>,
        /// Follow the trial to its end; exit code 1 if the new version does not serve then
        #[arg(long, requires = "service", conflicts_with = "json")]
        watch: bool,
    },
    /// Give the new version all requests now
    Promote {
        #[command(flatten)]
        of: RolloutOf,
    },
    /// End the trial of the new version; the old one serves
    Abort {
        #[command(flatten)]
        of: RolloutOf,
    },
}

#[derive(Debug, Args)]
struct RolloutOf {
    #[command(flatten)]
    host: RunningHost,
    /// The service, or service@label for one of its files
    service: String,
}

#[derive(Debug, Args)]
struct RunningHost {
    #[command(flatten)]
    source: ConfigSource,
    /// Address of the admin listener [default: from the configuration]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum EventsDo {
    /// Show events of the past, the newest first
    History {
        #[command(flatten)]
        host: RunningHost,
        /// Only of this topic, or of those that fit a pattern such as 'order.*'
        #[arg(long)]
        topic: Option<String>,
        /// Only of this type
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only from this source, such as /services/orders
        #[arg(long)]
        source: Option<String>,
        /// Only about this subject
        #[arg(long)]
        subject: Option<String>,
        /// Only what belongs together by this correlation id
        #[arg(long, value_name = "ID")]
        correlation_id: Option<String>,
        /// Only published at this time or later, like 2026-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only published before this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Most events shown
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show one event with its data
    Show {
        #[command(flatten)]
        host: RunningHost,
        /// Its place in the log
        offset: u64,
    },
    /// Show how each subscription stands
    Subscriptions {
        #[command(flatten)]
        host: RunningHost,
    },
    /// Show events that were given up
    DeadLetters {
        #[command(flatten)]
        host: RunningHost,
        /// One of them, with its data
        #[arg(conflicts_with_all = ["service", "subscription"])]
        id: Option<u64>,
        /// Only those of a subscription of this service
        #[arg(long, requires = "subscription")]
        service: Option<String>,
        /// The subscription's name
        #[arg(long, requires = "service", value_name = "NAME")]
        subscription: Option<String>,
    },
    /// Deliver dead letters once more; exit code 1 if one of them is not handled
    Replay {
        #[command(flatten)]
        host: RunningHost,
        #[command(flatten)]
        letters: WhichLetters,
    },
    /// Delete dead letters
    Purge {
        #[command(flatten)]
        host: RunningHost,
        #[command(flatten)]
        letters: WhichLetters,
    },
    /// Have a subscription begin again somewhere else
    Seek {
        #[command(flatten)]
        host: RunningHost,
        /// The service
        service: String,
        /// The subscription's name
        subscription: String,
        /// latest, earliest, a time like 2026-01-31T00:00:00Z or the place of an event
        from: String,
    },
    /// Publish an event in the name of the operator
    Publish {
        #[command(flatten)]
        host: RunningHost,
        /// Where
        topic: String,
        /// The payload [default: none]
        #[arg(long, value_name = "TEXT", default_value = "")]
        data: String,
        /// The media type of the payload
        #[arg(long, value_name = "TYPE", default_value = "application/json")]
        content_type: String,
        /// What happened [default: the topic]
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Events of one topic and key are delivered in order
        #[arg(long)]
        key: Option<String>,
        /// What it is about
        #[arg(long)]
        subject: Option<String>,
        /// Its id [default: a new one]; one that is known is not published again
        #[arg(long)]
        id: Option<String>,
        /// A further attribute, such as 'correlationid=42'; may be given several times
        #[arg(long = "extension", value_name = "NAME=VALUE")]
        extensions: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum QueuesDo {
    /// Show how each queue stands
    List {
        #[command(flatten)]
        host: RunningHost,
    },
    /// Show messages that were received too often
    DeadLetters {
        #[command(flatten)]
        host: RunningHost,
        /// The queue
        queue: String,
    },
    /// Put dead letters back, as if they had not been received
    Revive {
        #[command(flatten)]
        host: RunningHost,
        /// The queue
        queue: String,
        /// Their numbers [default: all]
        ids: Vec<u64>,
    },
    /// Delete all messages of a queue, or its dead letters
    Purge {
        #[command(flatten)]
        host: RunningHost,
        /// The queue
        queue: String,
        /// Dead letters, not messages
        #[arg(long)]
        dead: bool,
        /// Numbers of dead letters [default: all]
        #[arg(requires = "dead")]
        ids: Vec<u64>,
    },
}

/// Dead letters: by number, or all of a subscription.
#[derive(Debug, Args)]
struct WhichLetters {
    /// Their numbers
    #[arg(required_unless_present = "service", conflicts_with_all = ["service", "subscription"])]
    ids: Vec<u64>,
    /// All of a subscription of this service
    #[arg(long, requires = "subscription")]
    service: Option<String>,
    /// The subscription's name
    #[arg(long, requires = "service", value_name = "NAME")]
    subscription: Option<String>,
}

#[derive(Debug, Subcommand)]
enum HashOf {
    /// Make a key; shows it once, and its line for the list of `apiKey`
    ApiKey {
        /// Who it is for
        name: String,
        /// What it may do; separate several with commas
        #[arg(long, value_delimiter = ',')]
        scopes: Vec<String>,
        /// When it ends, like 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Read a password from stdin; shows the user's line for the list of `basicAuth`
    Password {
        /// The user's name
        user: String,
    },
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    source: ConfigSource,
    /// Folder of the components [default: plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Folder of the services' data and compiled code [default: .wharf/state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Address of the public listener [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address of the admin listener [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
}

#[derive(Debug, Args)]
struct ConfigSource {
    /// Folder of the configuration; need not exist
    #[arg(long, value_name = "DIR", default_value = "gateway-config")]
    config: PathBuf,
    /// Overlay to lay over it: env/<NAME>.yaml
    #[arg(long, value_name = "NAME", env = "WHARF_ENV")]
    env: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemaOf {
    Gateway,
    Service,
    Overlay,
}

impl From<ConfigSource> for Source {
    fn from(source: ConfigSource) -> Self {
        Self { dir: source.config, env: source.env.filter(|env| !env.is_empty()) }
    }
}

impl From<Format> for cli::OutputFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Text => Self::Text,
            Format::Json => Self::Json,
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The last word, when there is no log yet.
            let _ = writeln!(std::io::stderr(), "wharf: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    kinds.into_iter().any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// An error and its causes, without those that it tells itself.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match (told.is_empty(), told.contains(&cause)) {
            (true, _) => cause,
            (false, true) => told,
            (false, false) => format!("{told}: {cause}"),
        }
    })
}

/// Whether what was asked for is so.
fn run(command: Command) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    match command {
        Command::Serve(serve) => {
            drop(out);
            self::serve(serve)
        }
        Command::Validate { source, format, strict, plugins } => {
            let colour = out.is_terminal();
            let verdict = cli::validate::run(&source.into(), format.into(), colour, &mut out)?;
            let kept = match plugins {
                Some(dir) => cli::contract::folder(&dir, format.into(), &mut out)?,
                None => true,
            };
            if !kept {
                return Ok(false);
            }
            match verdict {
                Verdict::Warned if strict => {
                    out.flush()?;
                    std::process::exit(2);
                }
                Verdict::Right | Verdict::Warned => Ok(true),
                Verdict::Wrong => Ok(false),
            }
        }
        Command::Config { source, service } => {
            cli::config::run(&source.into(), service.as_deref(), &mut out)?;
            Ok(true)
        }
        Command::Explain { source, request, headers, client_ip, listener, format } => {
            let asked = cli::explain::Asked { request, headers, client: client_ip, listener };
            Ok(cli::explain::run(&source.into(), &asked, format.into(), &mut out)?)
        }
        Command::Import { file } => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            if !cli::import::run(&file, &text, &mut out, &mut std::io::stderr())? {
                out.flush()?;
                std::process::exit(2);
            }
            Ok(true)
        }
        Command::Schema { of } => {
            let kind = match of {
                SchemaOf::Gateway => SchemaKind::Gateway,
                SchemaOf::Service => SchemaKind::Service,
                SchemaOf::Overlay => SchemaKind::Overlay,
            };
            cli::schema::run(kind, &mut out)?;
            Ok(true)
        }
        Command::Contract(ContractCommand::Diff { old, new, format }) => {
            Ok(cli::contract::diff(&old, &new, format.into(), &mut out)?)
        }
        Command::Inspect { file, json } => {
            let wasm = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            Ok(cli::inspect::run(&wasm, &file, json, &mut out)?)
        }
        Command::Services { source, admin, json, watch } => {
            let admin = match admin {
                Some(admin) => admin,
                None => wharf::config::load(&source.into())?.gateway.admin.listen,
            };
            drop(out);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let out = &mut std::io::stdout();
            if watch {
                runtime.block_on(cli::services::watch(admin, json, out))?;
            } else {
                runtime.block_on(cli::services::run(admin, json, out))?;
            }
            Ok(true)
        }
        Command::Rollout { what } => {
            drop(out);
            rollout(what)
        }
        Command::Rollback { of } => {
            drop(out);
            order(of, Order::Rollback)
        }
        Command::Events { what } => {
            drop(out);
            events(*what)
        }
        Command::Queues { what } => {
            drop(out);
            queues(what)
        }
        Command::Hash { of: HashOf::ApiKey { name, scopes, expires } } => {
            cli::hash::api_key(&name, &scopes, expires.as_deref(), &mut out)?;
            Ok(true)
        }
        Command::Hash { of: HashOf::Password { user } } => {
            let mut input = std::io::stdin();
            let terminal = input.is_terminal();
            cli::hash::password(&user, &mut input, terminal, &mut out)?;
            Ok(true)
        }
        Command::Backup { source, state, to, json } => {
            cli::backup::take(&source.into(), state, &to, json, &mut out)?;
            Ok(true)
        }
        Command::Restore { from, check: true, .. } => {
            cli::backup::check(&from, &mut out)?;
            Ok(true)
        }
        Command::Restore { source, state, from, services, check: false } => {
            cli::backup::restore(&source.into(), state, &from, &services, &mut out)?;
            Ok(true)
        }
        Command::New { name, dir } => {
            cli::new::run(&name, dir.as_deref(), &mut out)?;
            Ok(true)
        }
        Command::Compile { http } => {
            let http = match http.as_str() {
                "0.2" => HttpVersion::V02,
                "0.3" => HttpVersion::V03,
                other => anyhow::bail!("there is no wasi:http {other}"),
            };
            drop(out);
            let code = compile_stdin(http)?;
            std::process::exit(code);
        }
    }
}

fn rollout(what: RolloutDo) -> anyhow::Result<bool> {
    match what {
        RolloutDo::Status { host, service: Some(service), watch: true } => {
            host.ask(async |admin| Ok(cli::rollout::watch(admin, &service, &mut std::io::stdout()).await?))
        }
        RolloutDo::Status { host, service, watch: _ } => {
            let json = host.json;
            host.ask(async |admin| {
                cli::rollout::status(admin, service.as_deref(), json, &mut std::io::stdout()).await?;
                Ok(true)
            })
        }
        RolloutDo::Promote { of } => order(of, Order::Promote),
        RolloutDo::Abort { of } => order(of, Order::Abort),
    }
}

impl From<WhichLetters> for Letters {
    fn from(letters: WhichLetters) -> Self {
        match letters {
            WhichLetters { service: Some(service), subscription: Some(subscription), .. } => {
                Self::Of { service, subscription }
            }
            WhichLetters { ids, .. } => Self::Ids(ids),
        }
    }
}

fn events(what: EventsDo) -> anyhow::Result<bool> {
    match what {
        EventsDo::History { host, topic, kind, source, subject, correlation_id, since, until, limit } => {
            let parameters = [
                ("topic", topic),
                ("type", kind),
                ("source", source),
                ("subject", subject),
                ("correlationId", correlation_id),
                ("since", since),
                ("until", until),
            ];
            let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let past = Past { parameters, limit };
            host.events(async |mut asker| Ok(asker.history(&past).await.map(|()| true)?))
        }
        EventsDo::Show { host, offset } => {
            host.events(async |mut asker| Ok(asker.show(offset).await.map(|()| true)?))
        }
        EventsDo::Subscriptions { host } => {
            host.events(async |mut asker| Ok(asker.subscriptions().await.map(|()| true)?))
        }
        EventsDo::DeadLetters { host, id: Some(id), .. } => {
            host.events(async |mut asker| Ok(asker.dead_letter(id).await.map(|()| true)?))
        }
        EventsDo::DeadLetters { host, id: None, service, subscription } => {
            let of = service.as_deref().zip(subscription.as_deref());
            host.events(async |mut asker| Ok(asker.dead_letters(of).await.map(|()| true)?))
        }
        EventsDo::Replay { host, letters } => {
            let letters = letters.into();
            host.events(async |mut asker| Ok(asker.replay(&letters).await?))
        }
        EventsDo::Purge { host, letters } => {
            let letters = letters.into();
            host.events(async |mut asker| Ok(asker.purge(&letters).await.map(|()| true)?))
        }
        EventsDo::Seek { host, service, subscription, from } => {
            host.events(async |mut asker| Ok(asker.seek(&service, &subscription, &from).await.map(|()| true)?))
        }
        EventsDo::Publish { host, topic, data, content_type, kind, key, subject, id, extensions } => {
            let mut named = serde_json::Map::new();
            for extension in extensions {
                let (name, value) = extension.split_once('=').context("an extension is written NAME=VALUE")?;
                named.insert(name.to_owned(), value.into());
            }
            let mut event = serde_json::json!({
                "topic": topic, "data": data, "contentType": content_type, "extensions": named,
            });
            for (name, value) in [("type", kind), ("key", key), ("subject", subject), ("id", id)] {
                if let (Some(value), Some(event)) = (value, event.as_object_mut()) {
                    event.insert(name.to_owned(), value.into());
                }
            }
            host.events(async |mut asker| Ok(asker.publish(&event).await.map(|()| true)?))
        }
    }
}

fn queues(what: QueuesDo) -> anyhow::Result<bool> {
    match what {
        QueuesDo::List { host } => host.events(async |mut asker| Ok(asker.queues().await.map(|()| true)?)),
        QueuesDo::DeadLetters { host, queue } => {
            host.events(async |mut asker| Ok(asker.queue_dead_letters(&queue).await.map(|()| true)?))
        }
        QueuesDo::Revive { host, queue, ids } => {
            host.events(async |mut asker| Ok(asker.queue_revive(&queue, &ids).await.map(|()| true)?))
        }
        QueuesDo::Purge { host, queue, dead, ids } => {
            host.events(async |mut asker| Ok(asker.queue_purge(&queue, dead, &ids).await.map(|()| true)?))
        }
    }
}

fn order(of: RolloutOf, order: Order) -> anyhow::Result<bool> {
    let RolloutOf { host, service } = of;
    let json = host.json;
    host.ask(async |admin| {
        cli::rollout::order(admin, &service, order, json, &mut std::io::stdout()).await?;
        Ok(true)
    })
}

impl RunningHost {
    /// Asks about events.
    fn events(self, question: impl AsyncFnOnce(Asker<'_>) -> anyhow::Result<bool>) -> anyhow::Result<bool> {
        let json = self.json;
        self.ask(async |address| question(Asker { address, json, out: &mut std::io::stdout() }).await)
    }

    /// Runs this with the address of the admin listener.
    fn ask(self, question: impl AsyncFnOnce(SocketAddr) -> anyhow::Result<bool>) -> anyhow::Result<bool> {
        let admin = match self.admin {
            Some(admin) => admin,
            None => wharf::config::load(&self.source.into())?.gateway.admin.listen,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(question(admin))
    }
}

fn serve(serve: Serve) -> anyhow::Result<bool> {
    wharf::telemetry::log::start();
    let program = std::env::current_exe().context("cannot find the wharf program to compile with")?;
    let options = Options {
        source: serve.source.into(),
        overrides: Overrides { listen: serve.listen, admin: serve.admin, plugins: serve.plugins, state: serve.state },
        compile_in: CompileIn::Child { program, arguments: vec!["compile".into()] },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(cli::serve::run(options));
    // A second signal means now: not when the last blocking read is done.
    runtime.shutdown_background();
    served?;
    Ok(true)
}
