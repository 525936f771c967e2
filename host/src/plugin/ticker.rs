//! The clock of the epochs: ticks while guests run, and rests while none does.
//!
//! A thousand wake-ups a second cost two percent of a core, also of a host that has nothing to do. So every poll of a
//! guest leaves a note that there is one, and so does a guest that is still running whenever the epoch asks it; after
//! [`REST_AFTER`] ticks without a note the thread sleeps until somebody leaves one. A guest that begins meanwhile wakes
//! it, and has waited for its first tick a moment longer than a tick at most.
//!
//! One note for the process, not for each set of engines: there is one set but in tests, and a note of its own would
//! cost every request a reference count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::EngineWeak;

/// How often a running guest is asked to yield.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Ticks without a guest after which the clock rests.
const REST_AFTER: u64 = 100;
/// How long it rests before it looks whether its engines are still there.
const LOOK: Duration = Duration::from_secs(1);

/// Ticks of all clocks so far.
static TICKS: AtomicU64 = AtomicU64::new(0);
/// The tick in which a guest ran last.
static LAST_RUN: AtomicU64 = AtomicU64::new(0);
/// How many clocks rest.
static RESTING: AtomicU64 = AtomicU64::new(0);
static REST: Mutex<()> = Mutex::new(());
static WAKE: Condvar = Condvar::new();

/// A guest runs now.
pub(super) fn note() {
    let now = TICKS.load(Ordering::Relaxed);
    // As long as the tick is the same, reading is enough, and leaves the line of memory with all cores.
    if LAST_RUN.load(Ordering::Relaxed) != now {
        LAST_RUN.store(now, Ordering::SeqCst);
    }
    if RESTING.load(Ordering::SeqCst) > 0 {
        drop(REST.lock().unwrap_or_else(PoisonError::into_inner));
        WAKE.notify_all();
    }
}

fn is_quiet() -> bool {
    TICKS.load(Ordering::SeqCst).saturating_sub(LAST_RUN.load(Ordering::SeqCst)) > REST_AFTER
}

/// Starts the clock of these engines. Its thread ends when they are gone.
pub(super) fn start(engines: [EngineWeak; 2]) -> std::io::Result<()> {
    std::thread::Builder::new().name("wharf-epoch".into()).spawn(move || {
        loop {
            #[allow(clippy::disallowed_methods, reason = "a thread of its own, whose only work is to wait and tick")]
            std::thread::sleep(TICK);
            TICKS.fetch_add(1, Ordering::SeqCst);
            let mut alive = false;
            for engine in engines.iter().filter_map(EngineWeak::upgrade) {
                engine.increment_epoch();
                alive = true;
            }
            if !alive {
                return;
            }
            if is_quiet() {
                rest();
            }
        }
    })?;
    Ok(())
}

/// Waits for a note, or a moment.
fn rest() {
    let guard = REST.lock().unwrap_or_else(PoisonError::into_inner);
    RESTING.fetch_add(1, Ordering::SeqCst);
    let rested = WAKE.wait_timeout_while(guard, LOOK, |()| is_quiet());
    RESTING.fetch_sub(1, Ordering::SeqCst);
    drop(rested);
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use wasmtime::Engine;

    use super::*;

    /// Other tests of this process run guests too, so nothing is said about when it rests.
    #[test]
    fn it_ticks_again_as_soon_as_a_guest_begins() {
        let engines = [Engine::default(), Engine::default()];
        start([engines[0].weak(), engines[1].weak()]).unwrap();
        for _ in 0..3 {
            let began = Instant::now();
            while RESTING.load(Ordering::SeqCst) == 0 && began.elapsed() < Duration::from_millis(300) {
                std::thread::yield_now();
            }
            note();
            let (began, ticks) = (Instant::now(), TICKS.load(Ordering::SeqCst));
            while TICKS.load(Ordering::SeqCst) < ticks + 5 {
                assert!(began.elapsed() < LOOK / 2, "it sleeps although a guest has begun");
                note();
            }
        }
    }
}
