//! How long this thread waited for a core: time that goes by while the operating system runs somebody else.
//!
//! A statement that takes long because its thread lost the core is as quick as any other. Linux counts what a thread
//! waits for a core (`/proc/thread-self/schedstat`); elsewhere nothing is known of it, and all time counts. To read the
//! count before each statement would cost a quarter of the statement, so each thread keeps what it read last, for at
//! most [`FRESH`]: what it waited just before the statement can be taken for a part of it, and hide that much of what
//! the statement really took.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// How old what was read may be.
const FRESH: Duration = Duration::from_millis(1);

struct Read {
    /// None where there is no such file.
    file: Option<File>,
    at: Option<Instant>,
    waited: u64,
}

thread_local! {
    static LAST: RefCell<Read> = RefCell::new(Read { file: File::open("/proc/thread-self/schedstat").ok(), at: None, waited: 0 });
}

impl Read {
    fn now(&self) -> Option<u64> {
        let mut text = [0; 64];
        let length = self.file.as_ref()?.read_at(&mut text, 0).ok()?;
        // Nanoseconds that it ran, that it waited for a core, and how often it ran.
        std::str::from_utf8(text.get(..length)?).ok()?.split(' ').nth(1)?.parse().ok()
    }
}

/// Something begins now.
pub(super) fn begins(now: Instant) {
    LAST.with_borrow_mut(|last| {
        if last.at.is_none_or(|at| now.saturating_duration_since(at) >= FRESH) {
            last.waited = last.now().unwrap_or(0);
            last.at = Some(now);
        }
    });
}

/// What took so long took this much of it itself.
pub(super) fn without_waiting(took: Duration) -> Duration {
    LAST.with_borrow(|last| {
        let waited = last.now().map_or(0, |waited| waited.saturating_sub(last.waited));
        took.saturating_sub(Duration::from_nanos(waited))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waits_for_something_else_is_slow() {
        begins(Instant::now());
        let began = Instant::now();
        #[allow(clippy::disallowed_methods, reason = "a thread of the test's own")]
        std::thread::sleep(Duration::from_millis(50));
        let took = without_waiting(began.elapsed());
        assert!(took >= Duration::from_millis(40), "{took:?}");
    }

    #[test]
    fn a_thread_that_lost_its_core_is_not() {
        let cores = std::thread::available_parallelism().unwrap().get();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..cores * 3 {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            begins(Instant::now());
            let began = Instant::now();
            let mut steps = 0_u64;
            // Until it has lost the core for longer than it ran.
            while without_waiting(began.elapsed()) * 2 > began.elapsed() && began.elapsed() < Duration::from_secs(20) {
                steps = std::hint::black_box(steps + 1);
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(without_waiting(began.elapsed()) < Duration::from_secs(15), "nothing is known of waiting here");
        });
    }
}
