//! The log of a service: what guests write becomes bounded, escaped lines of the host's log.
//!
//! A line goes to `tracing` with the target `guest` and the fields `service`, `version`, `stream` (`stdout`, `stderr`,
//! `logging`) and `request_id`. Nothing that a guest writes is trusted: control characters, escape sequences, bytes that
//! are not UTF-8 and characters that reorder or hide text are shown by their codes, so one line of a guest is one line
//! of the log and can't pass for a line of the host.
//!
//! A service's own secrets are taken out of its lines first (`redact`).
//!
//! Bounds: [`MAX_LINE_BYTES`] a line, a longer one is cut and says so; and a rate in bytes a second for the whole
//! service, all its versions and slots, with one second's worth in store. What goes over it is dropped and counted, and
//! one line a second tells how much. The budget is one atomic word, so slots on many cores share it without a lock, and
//! a guest that floods its log pays with its own CPU time and never waits.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Level;

use super::redact::{Cut, Redactor};

/// Most bytes of one line in the log.
pub const MAX_LINE_BYTES: usize = 8 << 10;
/// What a line costs besides its text: the host writes a time, names and ids around it.
const LINE_COST: usize = 64;
/// Stands at the end of a line that was longer.
const CUT: &str = " [line was cut here]";
/// Most bytes of a context that a guest gives to a record.
const MAX_CONTEXT_BYTES: usize = 256;
/// What the longest line costs.
const LONGEST_LINE: usize = MAX_LINE_BYTES + MAX_CONTEXT_BYTES + 2 * CUT.len() + LINE_COST;
const NANOS: u128 = 1_000_000_000;
/// How often dropped bytes are reported.
const REPORT: Duration = Duration::from_secs(1);

/// Where one version of a service writes its log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GuestLog {
    name: Arc<Name>,
    budget: Arc<Budget>,
    redactor: Arc<ArcSwapOption<Redactor>>,
}

#[derive(Debug)]
struct Name {
    service: Arc<str>,
    version: Arc<str>,
}

/// Whose line it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    pub(super) stream: &'static str,
    pub(super) level: Level,
    pub(super) request_id: &'a str,
    pub(super) context: Option<&'a str>,
}

impl GuestLog {
    /// The log of a service that may write `rate` bytes a second, counting some 64 for each line besides its text. The
    /// store is at least one line, so that a low rate means few lines and not none.
    pub fn new(service: impl Into<Arc<str>>, version: impl Into<Arc<str>>, rate: u64) -> Self {
        let service = service.into();
        let budget = Budget::new(Arc::clone(&service), rate, Instant::now());
        let name = Arc::new(Name { service, version: version.into() });
        Self { name, budget: Arc::new(budget), redactor: Arc::default() }
    }

    /// The same log, and the same rate, for lines of another version.
    #[must_use]
    pub fn for_version(&self, version: impl Into<Arc<str>>) -> Self {
        let name = Name { service: Arc::clone(&self.name.service), version: version.into() };
        Self { name: Arc::new(name), ..self.clone() }
    }

    /// Changes the rate for all versions of the service from now on.
    pub fn set_rate(&self, rate: u64) {
        self.budget.rate.store(rate, Ordering::Relaxed);
    }

    /// From now on, lines of all versions of the service are written without these texts.
    pub fn set_secrets<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) {
        self.redactor.store(Redactor::new(secrets).map(Arc::new));
    }

    /// Something that comes from a guest and is for another log, without the secrets of its service.
    pub fn without_secrets(&self, text: String) -> String {
        match self.redact(text.as_bytes(), Cut::No) {
            Cow::Borrowed(_) => text,
            Cow::Owned(clean) => String::from_utf8_lossy(&clean).into_owned(),
        }
    }

    /// A part of what a guest wrote, without its secrets.
    pub(super) fn redact<'t>(&self, text: &'t [u8], cut: Cut) -> Cow<'t, [u8]> {
        match &*self.redactor.load() {
            Some(redactor) => redactor.redact(text, cut),
            None => Cow::Borrowed(text),
        }
    }

    /// The same, with no more of a long text than a line can have.
    fn redact_line<'t>(&self, text: &'t [u8], cut: &mut bool) -> Cow<'t, [u8]> {
        if self.redactor.load().is_none() {
            return Cow::Borrowed(text);
        }
        let mut text = text;
        if let Some((start, rest)) = text.split_at_checked(MAX_LINE_BYTES)
            && let Some(next) = rest.first()
        {
            // Not in the middle of a character.
            let of_it = |byte: &&u8| **byte & 0xc0 == 0x80;
            let back = if of_it(&next) { start.iter().rev().take(3).take_while(of_it).count() + 1 } else { 0 };
            text = start.get(..start.len() - back).unwrap_or(start);
            *cut = true;
        }
        self.redact(text, if *cut { Cut::End } else { Cut::No })
    }

    /// Writes one line, or counts it as dropped.
    pub(super) fn line(&self, origin: Origin<'_>, text: &[u8], mut cut: bool) {
        if !enabled(origin.level) {
            return;
        }
        let clean = self.redact_line(text, &mut cut);
        let mut line = escape(&clean, MAX_LINE_BYTES);
        if cut && !line.ends_with(CUT) {
            line.to_mut().push_str(CUT);
        }
        let context = origin.context.map(|context| self.redact_line(context.as_bytes(), &mut false));
        let context = context.as_ref().map(|context| escape(context, MAX_CONTEXT_BYTES));
        let cost = line.len() + context.as_ref().map_or(0, |context| context.len()) + LINE_COST;
        if self.budget.take(cost, Instant::now()) {
            self.emit(origin, context.as_deref(), &line);
        } else {
            self.dropped(text.len());
        }
    }

    /// Counts bytes that no line will have.
    pub(super) fn dropped(&self, bytes: usize) {
        if bytes > 0 && self.budget.dropped.fetch_add(bytes as u64, Ordering::Relaxed) == 0 {
            Budget::report_soon(&self.budget);
        }
    }

    fn emit(&self, origin: Origin<'_>, context: Option<&str>, line: &str) {
        macro_rules! at {
            ($level:ident) => {
                tracing::event!(
                    target: "guest",
                    Level::$level,
                    service = &*self.name.service,
                    version = &*self.name.version,
                    stream = origin.stream,
                    request_id = origin.request_id,
                    context,
                    "{line}"
                )
            };
        }
        match origin.level {
            Level::ERROR => at!(ERROR),
            Level::WARN => at!(WARN),
            Level::INFO => at!(INFO),
            Level::DEBUG => at!(DEBUG),
            Level::TRACE => at!(TRACE),
        }
    }
}

/// Whether anybody would see a line of this level; one that nobody sees costs no budget.
fn enabled(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: "guest", Level::ERROR),
        Level::WARN => tracing::enabled!(target: "guest", Level::WARN),
        Level::INFO => tracing::enabled!(target: "guest", Level::INFO),
        Level::DEBUG => tracing::enabled!(target: "guest", Level::DEBUG),
        Level::TRACE => tracing::enabled!(target: "guest", Level::TRACE),
    }
}

/// The token bucket of a service, kept as time: `paid_until` is when all that was written so far would be paid off at the
/// rate, in nanoseconds since `start`. It may lie in the future by as much as the store holds. A service that wrote
/// nothing for a while has saved up one store and no more.
#[derive(Debug)]
struct Budget {
    service: Arc<str>,
    rate: AtomicU64,
    start: Instant,
    paid_until: AtomicU64,
    dropped: AtomicU64,
}

impl Budget {
    fn new(service: Arc<str>, rate: u64, start: Instant) -> Self {
        let (paid_until, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { service, rate: AtomicU64::new(rate), start, paid_until, dropped }
    }

    fn take(&self, cost: usize, now: Instant) -> bool {
        let rate = u128::from(self.rate.load(Ordering::Relaxed).max(1));
        let time = |bytes: u128| u64::try_from(bytes.saturating_mul(NANOS) / rate).unwrap_or(u64::MAX);
        let now = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let (cost, store) = (time(cost as u128), time(rate.max(LONGEST_LINE as u128)));
        let pay = |paid_until: u64| {
            let paid_until = paid_until.max(now).saturating_add(cost);
            (paid_until - now <= store).then_some(paid_until)
        };
        self.paid_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }

    /// Reports in a second what was dropped until then. Without a runtime there is nobody to wait: at once.
    fn report_soon(budget: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return budget.report() };
        let budget = Arc::downgrade(budget);
        runtime.spawn(async move {
            tokio::time::sleep(REPORT).await;
            if let Some(budget) = budget.upgrade() {
                budget.report();
            }
        });
    }

    fn report(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let (service, rate) = (&*self.service, self.rate.load(Ordering::Relaxed));
            tracing::warn!(
                target: "guest",
                service,
                "{dropped} bytes dropped: lines are cut at {MAX_LINE_BYTES} bytes and limits.logRate is {rate} a second"
            );
        }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.report();
    }
}

/// Text that cannot be mistaken for anything but what it is, at most about `limit` bytes of it.
pub(super) fn escape(text: &[u8], limit: usize) -> Cow<'_, str> {
    if text.len() <= limit
        && let Ok(clean) = str::from_utf8(text)
        && !clean.chars().any(is_hidden)
    {
        return Cow::Borrowed(clean);
    }
    let mut escaped = String::with_capacity(text.len().min(limit) + CUT.len());
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            if escaped.len() + char.len_utf8() > limit {
                escaped.push_str(CUT);
                return Cow::Owned(escaped);
            }
            if is_hidden(char) { escaped.extend(char.escape_default()) } else { escaped.push(char) }
        }
        for byte in chunk.invalid() {
            if escaped.len() >= limit {
                escaped.push_str(CUT);
                return Cow::Owned(escaped);
            }
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\x{byte:02x}");
        }
    }
    Cow::Owned(escaped)
}

/// Control characters, line separators, and marks that reorder or hide what follows. Tabs are harmless and common.
fn is_hidden(char: char) -> bool {
    (char.is_control() && char != '\t')
        || matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_touched() {
        for text in ["", "hello", "tab\there", "Gr\u{fc}\u{df}e \u{1f980}", "back\\slash \"quoted\""] {
            assert!(matches!(escape(text.as_bytes(), 100), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn what_could_deceive_is_shown_by_its_code() {
        let shown = |text: &[u8]| escape(text, 100).into_owned();
        assert_eq!(shown(b"\x1b[31mred\x1b[0m"), "\\u{1b}[31mred\\u{1b}[0m");
        assert_eq!(shown(b"a\r\nb"), "a\\r\\nb");
        assert_eq!(shown(b"\0\x07\x7f"), "\\u{0}\\u{7}\\u{7f}");
        assert_eq!(shown("a\u{85}b\u{2028}c".as_bytes()), "a\\u{85}b\\u{2028}c");
        assert_eq!(shown("\u{202e}gpj.exe".as_bytes()), "\\u{202e}gpj.exe");
        assert_eq!(shown(b"ok \xff\xfe ok \xc3"), "ok \\xff\\xfe ok \\xc3");
    }

    #[test]
    fn text_is_cut_on_a_character_and_says_so() {
        assert_eq!(escape(b"0123456789", 10), "0123456789");
        assert_eq!(escape(b"0123456789x", 10), format!("0123456789{CUT}"));
        assert_eq!(escape("012345678\u{fc}".as_bytes(), 10), format!("012345678{CUT}"));
        let binary = escape(&[0xff; 100_000], MAX_LINE_BYTES).into_owned();
        assert!(binary.len() <= MAX_LINE_BYTES + 4 + CUT.len() && binary.ends_with(CUT));
        let controls = escape(&[1; 100_000], MAX_LINE_BYTES).into_owned();
        assert!(controls.len() <= MAX_LINE_BYTES + 10 + CUT.len() && controls.ends_with(CUT));
    }

    #[test]
    fn the_budget_is_one_second_in_store_and_then_the_rate() {
        let start = Instant::now();
        let budget = Budget::new("orders".into(), 100_000, start);
        let at = |millis| start + Duration::from_millis(millis);
        assert!((0..10).all(|_| budget.take(10_000, start)));
        assert!(!budget.take(1, start));
        assert!(budget.take(10_000, at(100)));
        assert!(!budget.take(1, at(100)));
        // An hour of silence saves up no more than one second's worth.
        assert!(budget.take(100_000, at(3_600_000)));
        assert!(!budget.take(1, at(3_600_000)));
        assert!(!budget.take(100_001, at(7_200_000)));
        // Time that goes backwards gives nothing and breaks nothing.
        assert!(!budget.take(200_000, start));
        // A new rate counts from now on.
        budget.rate.store(200_000, Ordering::Relaxed);
        assert!(budget.take(200_000, at(10_800_000)));
        assert!(!budget.take(20_001, at(10_800_100)));
        assert!(budget.take(20_000, at(10_800_100)));
    }

    #[test]
    fn a_low_rate_still_lets_a_whole_line_pass_now_and_then() {
        let start = Instant::now();
        let budget = Budget::new("orders".into(), 1, start);
        assert!(budget.take(LONGEST_LINE, start));
        assert!(!budget.take(1, start));
        assert!(budget.take(1, start + Duration::from_secs(1)));
        assert!(!budget.take(2, start + Duration::from_secs(2)));
        assert!(budget.take(LONGEST_LINE, start + Duration::from_secs(100_000)));
    }

    #[test]
    fn threads_that_share_a_budget_take_no_more_than_it_has() {
        let start = Instant::now();
        let budget = Budget::new("orders".into(), 100_000, start);
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..50_000).filter(|_| budget.take(1, start)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 100_000);
    }
}
