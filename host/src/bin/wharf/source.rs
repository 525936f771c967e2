//! What many commands take: where the configuration is, and which running host is asked.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use wharf::cli;
use wharf::cli::asker::Asker;
use wharf::config::Source;

#[derive(Debug, Args)]
pub(super) struct ConfigSource {
    /// Folder of the configuration; need not exist
    #[arg(long, value_name = "DIR", default_value = "gateway-config")]
    config: PathBuf,
    /// Overlay to lay over it: env/<NAME>.yaml
    #[arg(long, value_name = "NAME", env = "WHARF_ENV")]
    env: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
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

#[derive(Debug, Args)]
pub(super) struct RunningHost {
    #[command(flatten)]
    source: ConfigSource,
    /// Address of the admin listener [default: from the configuration]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl RunningHost {
    /// Asks about events.
    pub(super) fn events(self, question: impl AsyncFnOnce(Asker<'_>) -> anyhow::Result<bool>) -> anyhow::Result<bool> {
        let json = self.json;
        self.ask(async |address| question(Asker { address, json, out: &mut std::io::stdout() }).await)
    }

    /// Runs this with the address of the admin listener.
    pub(super) fn ask(self, question: impl AsyncFnOnce(SocketAddr) -> anyhow::Result<bool>) -> anyhow::Result<bool> {
        let admin = match self.admin {
            Some(admin) => admin,
            None => wharf::config::load(&self.source.into())?.gateway.admin.listen,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(question(admin))
    }
}
