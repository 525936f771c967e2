//! What `apiKey` and `basicAuth` share: refusals, the header that names the client to the service, and lists that are
//! read anew when their file changes.
//!
//! A list is read whole once a second, in a thread that may block, and compared by digest: times of change have gaps,
//! and a list is small. What cannot be read or has a mistake is said once in the log and changes nothing. A list that
//! is there and names nobody is no mistake: the last key must be revocable. Nothing here is done on the path of a request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use tokio::time::MissedTickBehavior;

use crate::config::SecretRef;

/// How often a list is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Why credentials that were there did not prove anything. The words are for logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// They are malformed, unknown, wrong or expired: the client must be asked again.
    Invalid(&'static str),
    /// Too many passwords wait to be verified: try later.
    Overloaded,
}

/// The header in which the service gets the client's name.
#[derive(Debug)]
pub(crate) struct SubjectHeader(HeaderName);

impl SubjectHeader {
    /// Checked by the configuration: `None` for what is no header name.
    pub(crate) fn new(name: Option<&str>) -> Option<Self> {
        name?.parse().ok().map(Self)
    }

    /// Sets it; a name that cannot stand in a header is left out.
    pub(crate) fn set(&self, headers: &mut HeaderMap, subject: &str) {
        if let Ok(value) = HeaderValue::from_bytes(subject.as_bytes()) {
            headers.insert(self.0.clone(), value);
        }
    }
}

/// A list behind a [`SecretRef`].
pub(crate) struct Watched<T> {
    source: SecretRef,
    parse: fn(&str) -> Result<T, String>,
    current: ArcSwap<T>,
    /// Digest of what was last read, or why it could not be.
    seen: Mutex<Result<[u8; 32], String>>,
}

impl<T: Send + Sync + 'static> Watched<T> {
    /// Reads the list (blocking), and goes on doing so in the background for as long as it is used, if it is a file and
    /// a runtime is there to do it.
    ///
    /// # Errors
    /// Names the place and, with its number, the line that is wrong.
    pub(crate) fn load(source: SecretRef, parse: fn(&str) -> Result<T, String>) -> Result<Arc<Self>, String> {
        let (digest, text) = read(&source)?;
        let list = self::parse(&source, &text, parse)?;
        let watched =
            Arc::new(Self { source, parse, current: ArcSwap::from_pointee(list), seen: Mutex::new(Ok(digest)) });
        if let (SecretRef::File(_), Ok(runtime)) = (&watched.source, tokio::runtime::Handle::try_current()) {
            let weak = Arc::downgrade(&watched);
            runtime.spawn(async move {
                let mut ticks = tokio::time::interval(INTERVAL);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let Some(watched) = weak.upgrade() else { return };
                    // Ends only when the runtime does.
                    if tokio::task::spawn_blocking(move || watched.refresh()).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(watched)
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Arc<T>> {
        self.current.load()
    }

    /// Reads the list again and puts it in force if it changed and is right.
    fn refresh(&self) {
        let read = read(&self.source);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok((digest, _)) = &read
            && *seen == Ok(*digest)
        {
            return;
        }
        let parsed = read.and_then(|(digest, text)| Ok((digest, parse(&self.source, &text, self.parse)?)));
        match parsed {
            Ok((digest, list)) => {
                self.current.store(Arc::new(list));
                *seen = Ok(digest);
                tracing::info!(source = %self.source, "a list of credentials was read again");
            }
            Err(error) => {
                if seen.as_ref().err() != Some(&error) {
                    tracing::warn!(error, "a list of credentials cannot be used, the one before stays in force");
                    *seen = Err(error);
                }
            }
        }
    }
}

// Where the list is, and nothing of it.
impl<T> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("source", &self.source).finish_non_exhaustive()
    }
}

/// The text and its digest.
fn read(source: &SecretRef) -> Result<([u8; 32], String), String> {
    let secret = source.read()?;
    let text = std::str::from_utf8(secret.expose()).map_err(|_| format!("{source} is not valid UTF-8"))?;
    Ok((Sha256::digest(text).into(), text.to_owned()))
}

fn parse<T>(source: &SecretRef, text: &str, parse: fn(&str) -> Result<T, String>) -> Result<T, String> {
    parse(text).map_err(|error| format!("{source}: {error}"))
}

/// The lines that say something, with their numbers from 1.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::super::told::told;
    use super::*;

    fn word(text: &str) -> Result<String, String> {
        if text == "bad" { Err("line 1: bad".to_owned()) } else { Ok(text.to_owned()) }
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_or_missing_one_keeps_what_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "one").unwrap();
        let watched = Watched::load(SecretRef::File(path.clone()), word).unwrap();
        for (written, expected) in [(Some("two"), "two"), (Some("bad"), "two"), (None, "two"), (Some("six"), "six")] {
            match written {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            watched.refresh();
            assert_eq!(**watched.current(), expected, "{written:?}");
        }
    }

    #[test]
    fn what_has_not_changed_is_not_taken_apart_again() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static PARSED: AtomicUsize = AtomicUsize::new(0);
        fn counted(text: &str) -> Result<String, String> {
            PARSED.fetch_add(1, Ordering::Relaxed);
            word(text)
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "one").unwrap();
        let watched = Watched::load(SecretRef::File(path.clone()), counted).unwrap();
        watched.refresh();
        watched.refresh();
        assert_eq!(PARSED.load(Ordering::Relaxed), 1);
        std::fs::write(&path, "two").unwrap();
        watched.refresh();
        assert_eq!(PARSED.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn debug_shows_where_a_list_is_and_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "hunter2").unwrap();
        let shown = format!("{:?}", Watched::load(SecretRef::File(path), word).unwrap());
        assert!(shown.contains("list") && !shown.contains("hunter2"), "{shown}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_looked_at_without_being_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "one").unwrap();
        let watched = Watched::load(SecretRef::File(path.clone()), word).unwrap();
        std::fs::write(&path, "two").unwrap();
        while **watched.current() != "two" {
            tokio::time::advance(INTERVAL).await;
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_file_that_is_wrong_at_first_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "bad").unwrap();
        let error = Watched::load(SecretRef::File(path.clone()), word).unwrap_err();
        assert_eq!(error, format!("{}: line 1: bad", path.display()));
    }

    #[test]
    fn the_clients_own_copies_of_the_header_are_removed_in_every_spelling() {
        let header = SubjectHeader::new(Some("X-My-User")).unwrap();
        let mut headers = HeaderMap::new();
        for name in ["x-my-user", "x_my_user", "x-my_user", "x-my-users"] {
            headers.append(name, HeaderValue::from_static("root"));
        }
        told("X-My-User").strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-my-users"]);
        header.set(&mut headers, "ada");
        assert_eq!(headers["x-my-user"], "ada");
        header.set(&mut headers, "a\nb");
        assert_eq!(headers["x-my-user"], "ada");
    }
}
