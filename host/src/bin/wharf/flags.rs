//! The commands and their flags; those of events, queues and rollouts stand with what they do.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::events::EventsDo;
use super::queues::QueuesDo;
use super::rollout::{RolloutDo, RolloutOf};
use super::source::{ConfigSource, Format};

/// A WebAssembly plugin host: drop a component into a folder, get a service.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, arg_required_else_help = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
    /// Look into the database of a service, beside a running host or without one; nothing is written
    Sql {
        #[command(flatten)]
        source: ConfigSource,
        /// Folder of the state [default: from the configuration]
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// The service
        service: String,
        /// One statement that reads [default: how its tables are made]
        statement: Option<String>,
        /// Most rows shown
        #[arg(long, value_name = "N", default_value_t = 100,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(wharf::cli::sql::MOST_ROWS)))]
        limit: u32,
        /// As JSON, with whole values
        #[arg(long)]
        json: bool,
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
pub(super) enum ContractCommand {
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
pub(super) enum HashOf {
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
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) source: ConfigSource,
    /// Folder of the components [default: plugins]
    #[arg(long, value_name = "DIR")]
    pub(super) plugins: Option<PathBuf>,
    /// Folder of the services' data and compiled code [default: .wharf/state]
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// Address of the public listener [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// Address of the admin listener [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum SchemaOf {
    Gateway,
    Service,
    Overlay,
}
