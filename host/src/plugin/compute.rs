//! Where guests go that hold the CPU: a small executor of low priority beside the one that serves connections.
//!
//! A guest starts on the thread that read its request, which is the fastest place while it is quick. One that uses
//! more than a couple of ticks of CPU would make every other connection of that thread wait, so it is moved here
//! (its future is `Send`): its threads are nicer by 5 than the process was started, so light requests are served first by
//! the operating system, and they poll their I/O driver after every task, because here a task may run for a whole tick.
//!
//! The executor outlives every guest: it is shut down, without waiting, when the last [`Compute`] is dropped.

use std::future::Future;
use std::sync::Arc;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// How much nicer the executor's threads are than those that serve.
const NICER: i32 = 5;
/// There is no lower priority.
const NICEST: i32 = 19;

/// A handle to the executor.
#[derive(Debug, Clone)]
pub(super) struct Compute {
    runtime: Arc<Owned>,
}

#[derive(Debug)]
struct Owned(Option<Runtime>, Handle);

impl Compute {
    pub(super) fn start() -> std::io::Result<Self> {
        let threads = std::thread::available_parallelism()?.get();
        // Not nice 5 as such: a host that was started nicer than that would have its guests before its own work.
        let nice = (getpriority_process(None)? + NICER).min(NICEST);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("wharf-compute")
            .event_interval(1)
            .global_queue_interval(1)
            .on_thread_start(move || lower_priority(nice))
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Arc::new(Owned(Some(runtime), handle)) })
    }

    /// Runs `guest` here; dropping the handle drops the guest at its next yield.
    pub(super) fn spawn<F>(&self, guest: F) -> AbortOnDropHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        AbortOnDropHandle::new(self.runtime.1.spawn(guest))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // A plain drop would wait for the threads, which is not allowed on an executor thread.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn lower_priority(nice: i32) {
    if let Err(error) = setpriority_process(Some(rustix::thread::gettid()), nice) {
        tracing::debug!(%error, "cannot lower the priority of a compute thread");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_threads_are_nicer_than_the_thread_that_starts_it() {
        let nice = || getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let (ours, (sender, theirs)) = (nice(), std::sync::mpsc::channel());
        let _running = Compute::start().unwrap().spawn(async move { sender.send(nice()).unwrap() });
        assert_eq!(theirs.recv().unwrap(), (ours + NICER).min(NICEST));
    }
}
