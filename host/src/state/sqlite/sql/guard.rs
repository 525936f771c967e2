//! What a statement may do, and when it has to stop: the two callbacks of SQLite on every connection.
//!
//! The authorizer is asked when a statement is compiled, and again when SQLite compiles it anew after a change of the
//! schema; what it denies stands in `permission`. The host's own statements run inside [`Guard::as_host`], where all is
//! allowed.
//!
//! The progress handler is asked every [`OPS`] steps of a statement's program. It stops a statement that was told to
//! (by its deadline, or since nobody wants its result), or that writes more temporary bytes than it may: large sorts and
//! recursive queries spill into files that no quota of SQLite covers, so the bytes that the thread writes are counted,
//! where the system says them (`/proc`; elsewhere only the time bounds them).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::{AuthContext, Authorization};

use super::permission::refusal;

/// Steps of a program between two looks.
pub(super) const OPS: i32 = 500;
/// How often the bytes are counted that a statement writes.
const COUNT_EVERY: Duration = Duration::from_millis(5);
/// Why a statement has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stop {
    No = 0,
    /// It took longer than `sql.statementTimeout`.
    Statement = 1,
    /// Its transaction, or its result, was held longer than `sql.transactionTimeout`.
    Transaction = 2,
    /// Nobody wants its result.
    Unwanted = 3,
    /// It wrote too many temporary bytes.
    Temporary = 4,
}

/// Told by others that the work in progress has to stop.
#[derive(Debug, Default)]
pub(super) struct StopSign(AtomicU8);

impl StopSign {
    pub(super) fn get(&self) -> Stop {
        match self.0.load(Ordering::Acquire) {
            0 => Stop::No,
            1 => Stop::Statement,
            2 => Stop::Transaction,
            3 => Stop::Unwanted,
            _ => Stop::Temporary,
        }
    }

    /// The first reason counts, but that of a single statement, which a later one may replace.
    pub(super) fn set(&self, why: Stop) {
        let replace = |old| (old == Stop::No as u8 || old == Stop::Statement as u8).then_some(why as u8);
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, replace);
    }

    /// Before the next statement: what stopped a single one does not concern it.
    pub(super) fn next_statement(&self) {
        for single in [Stop::Statement as u8, Stop::Temporary as u8] {
            let _ = self.0.compare_exchange(single, Stop::No as u8, Ordering::AcqRel, Ordering::Acquire);
        }
    }
}

/// What the callbacks of one connection look at.
#[derive(Debug)]
pub(super) struct Guard {
    host: AtomicBool,
    denied: Mutex<Option<String>>,
    watch: Mutex<Watch>,
}

#[derive(Debug)]
struct Watch {
    sign: Arc<StopSign>,
    /// When the command in progress has taken too long.
    until: Option<Instant>,
    /// Bytes that a statement may write from its beginning on.
    allowance: u64,
    /// `/proc/thread-self/io` of the connection's thread.
    io: Option<File>,
    /// What it said when the statement was first looked at.
    written: Option<u64>,
    counted: Instant,
    /// How often a statement was looked at that may only take a moment.
    hurried: Option<u32>,
}

impl Guard {
    /// Sets the callbacks. Call it on the thread that the connection stays on.
    pub(super) fn install(connection: &mut Connection) -> rusqlite::Result<Arc<Self>> {
        let watch = Watch {
            sign: Arc::default(),
            until: None,
            allowance: u64::MAX,
            io: File::open("/proc/thread-self/io").ok(),
            written: None,
            counted: Instant::now(),
            hurried: None,
        };
        let guard = Arc::new(Self { host: AtomicBool::new(false), denied: Mutex::default(), watch: Mutex::new(watch) });
        let asked = Arc::clone(&guard);
        connection.progress_handler(OPS, Some(move || asked.watch().must_stop()))?;
        let asked = Arc::clone(&guard);
        connection.authorizer(Some(move |context: AuthContext<'_>| asked.authorize(&context)))?;
        Ok(guard)
    }

    /// Runs `work`, whose statements are the host's own.
    pub(super) fn as_host<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.host.swap(true, Ordering::Relaxed);
        let result = work();
        self.host.store(before, Ordering::Relaxed);
        result
    }

    /// Which sign stops what runs from now on.
    pub(super) fn obey(&self, sign: &Arc<StopSign>) {
        let mut watch = self.watch();
        watch.sign = Arc::clone(sign);
        watch.until = None;
    }

    /// A command begins, which may take so long. What stopped the one before it does not concern it.
    pub(super) fn allow(&self, time: Duration) {
        let mut watch = self.watch();
        watch.sign.next_statement();
        watch.until = Instant::now().checked_add(time);
    }

    /// From now on a statement is stopped when it is looked at for the second time: after at most twice [`OPS`] steps,
    /// since SQLite counts those of its runs before too.
    pub(super) fn hurry(&self) {
        self.watch().hurried = Some(0);
    }

    /// Not any more; whether one was stopped for it.
    pub(super) fn calm(&self) -> bool {
        self.watch().hurried.take().is_some_and(|looks| looks > 1)
    }

    /// A statement begins, which may write so many bytes into files.
    pub(super) fn begin(&self, allowance: u64) {
        *self.denied() = None;
        let mut watch = self.watch();
        watch.allowance = allowance;
        watch.written = None;
        watch.counted = Instant::now();
    }

    /// Why the work in progress was told to stop.
    pub(super) fn stopped(&self) -> Stop {
        self.watch().sign.get()
    }

    /// What was denied since the statement began.
    pub(super) fn take_denied(&self) -> Option<String> {
        self.denied().take()
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        // Only this connection's thread takes it, and nothing in it is ever half done.
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn denied(&self) -> MutexGuard<'_, Option<String>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        if self.host.load(Ordering::Relaxed) {
            return Authorization::Allow;
        }
        match refusal(&context.action) {
            None => Authorization::Allow,
            Some(why) => {
                *self.denied() = Some(why);
                Authorization::Deny
            }
        }
    }
}

impl Watch {
    fn must_stop(&mut self) -> bool {
        if let Some(looks) = &mut self.hurried {
            *looks += 1;
            return *looks > 1;
        }
        if self.sign.get() != Stop::No {
            return true;
        }
        let now = Instant::now();
        if self.until.is_some_and(|until| now >= until) {
            self.sign.set(Stop::Statement);
            return true;
        }
        if now.saturating_duration_since(self.counted) >= COUNT_EVERY {
            self.counted = now;
            if let Some(bytes) = self.io.as_ref().and_then(written)
                && bytes.saturating_sub(*self.written.get_or_insert(bytes)) > self.allowance
            {
                self.sign.set(Stop::Temporary);
                return true;
            }
        }
        false
    }
}

/// Bytes that the thread has handed to write calls.
fn written(io: &File) -> Option<u64> {
    let mut text = [0; 256];
    let length = io.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    text.lines().find_map(|line| line.strip_prefix("wchar:"))?.trim().parse().ok()
}
