//! `wharf queues`: flags, and what is asked of the host.

use clap::Subcommand;

use super::source::RunningHost;

#[derive(Debug, Subcommand)]
pub(super) enum QueuesDo {
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

pub(super) fn run(what: QueuesDo) -> anyhow::Result<bool> {
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
