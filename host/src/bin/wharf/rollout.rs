//! `wharf rollout` and `wharf rollback`.

use clap::{Args, Subcommand};
use wharf::cli;
use wharf::cli::rollout::Order;

use super::source::RunningHost;

#[derive(Debug, Subcommand)]
pub(super) enum RolloutDo {
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
pub(super) struct RolloutOf {
    #[command(flatten)]
    host: RunningHost,
    /// The service, or service@label for one of its files
    service: String,
}

pub(super) fn run(what: RolloutDo) -> anyhow::Result<bool> {
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

pub(super) fn order(of: RolloutOf, order: Order) -> anyhow::Result<bool> {
    let RolloutOf { host, service } = of;
    let json = host.json;
    host.ask(async |admin| {
        cli::rollout::order(admin, &service, order, json, &mut std::io::stdout()).await?;
        Ok(true)
    })
}
