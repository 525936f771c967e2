//! The task that looks: keeps notifications coming, compares listings, and reports what is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::file::{File, Report, Stage};
use super::hints::{self, Hints, Sign};
use super::read::{self, Content, Found};
use super::{Change, FileVersion, RETRY, Settings, name};

/// From a notification to the look, so that one look sees the whole of a quick copy.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How long a name may vanish and still count as replaced.
const GRACE: Duration = Duration::from_millis(200);
/// How long the whole directory may.
const DIRECTORY_GRACE: Duration = Duration::from_secs(1);
/// Between two looks for a directory that is not there.
const DIRECTORY_RETRY: Duration = Duration::from_millis(250);

/// The receiver is gone: nobody wants to know.
struct Unwanted;

/// The task's state.
pub(super) struct Watch {
    dir: PathBuf,
    settings: Settings,
    hints: Arc<Hints>,
    /// The directory (device, inode) that notifications come from, if they can be had.
    watched: Option<((u64, u64), RecommendedWatcher)>,
    last_trouble: String,
    files: BTreeMap<OsString, File>,
    first: FirstScan,
    reports: mpsc::Sender<Change>,
}

/// The way to [`Change::InitialScanDone`].
enum FirstScan {
    NotYet,
    Waiting { undecided: BTreeSet<OsString>, until: Instant },
    Told,
}

impl Watch {
    pub(super) fn new(dir: PathBuf, settings: Settings, reports: mpsc::Sender<Change>) -> Self {
        Self {
            dir,
            settings,
            hints: Arc::new(Hints::default()),
            watched: None,
            last_trouble: String::new(),
            files: BTreeMap::new(),
            first: FirstScan::NotYet,
            reports,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let Ok(next) = self.look().await else { return };
            let hints = Arc::clone(&self.hints);
            tokio::select! {
                () = self.reports.closed() => return,
                () = hints.changed() => sleep(DEBOUNCE).await,
                () = sleep_until(next) => {}
            }
        }
    }

    /// Looks once, reports what is decided and says when the next look is due.
    async fn look(&mut self) -> Result<Instant, Unwanted> {
        self.keep_watching().await;
        // Taken before listing: what is noticed after this point causes another look.
        let hints = self.hints.take();
        let dir = self.dir.clone();
        let listed = match spawn_blocking(move || read::list(&dir)).await {
            Ok(listed) => listed,
            Err(error) => Err(io::Error::other(error)),
        };
        let mut next = Instant::now() + self.settings.poll_interval;
        match listed {
            Ok(listed) => {
                if self.watched.is_some() {
                    self.last_trouble.clear();
                }
                self.compare(listed, &hints);
                self.report_gone(GRACE, &mut next).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.trouble(format!("the plugin folder is not there: {error}"));
                let now = Instant::now();
                for file in self.files.values_mut() {
                    file.missing_since.get_or_insert(now);
                }
                self.report_gone(DIRECTORY_GRACE, &mut next).await?;
                next = next.min(Instant::now() + DIRECTORY_RETRY);
            }
            // A disk that fails is no order to stop services.
            Err(error) => self.trouble(format!("the plugin folder can't be read: {error}")),
        }
        self.decide(&mut next).await?;
        self.finish_first_scan(&mut next).await?;
        Ok(next)
    }

    /// Makes sure that notifications come from the directory that has the name now.
    async fn keep_watching(&mut self) {
        let dir = self.dir.clone();
        let current = spawn_blocking(move || read::directory(&dir)).await.ok().and_then(Result::ok);
        if self.watched.as_ref().is_some_and(|(watched, _)| Some(*watched) == current) {
            return;
        }
        self.watched = None;
        let (Some(current), true) = (current, self.settings.notifications) else { return };
        let (dir, hints) = (self.dir.clone(), Arc::clone(&self.hints));
        let started = spawn_blocking(move || {
            let mut watcher = notify::recommended_watcher(move |event| hints.tell(event))?;
            watcher.watch(&dir, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        match started.await.unwrap_or_else(|error| Err(notify::Error::generic(&error.to_string()))) {
            Ok(watcher) => self.watched = Some((current, watcher)),
            Err(error) => self.trouble(format!("no notifications about the plugin folder, only polling it: {error}")),
        }
    }

    /// Brings `files` up to date with a listing.
    fn compare(&mut self, listed: Vec<(OsString, Found)>, hints: &hints::State) {
        let now = Instant::now();
        for file in self.files.values_mut() {
            file.missing_since.get_or_insert(now);
            if hints.lost {
                file.suspect(Sign::Unknown, now);
            }
        }
        for (file_name, found) in listed {
            let sign = hints.signs.get(&file_name).copied();
            let file = self.files.entry(file_name).or_insert_with(|| File::new(found.clone(), now));
            file.missing_since = None;
            if file.found != found || sign.is_some() {
                file.found = found;
                file.suspect(sign.unwrap_or(Sign::Unknown), now);
            }
        }
    }

    /// Reports names that have been missing for longer than `grace`.
    async fn report_gone(&mut self, grace: Duration, next: &mut Instant) -> Result<(), Unwanted> {
        let now = Instant::now();
        let mut gone = Vec::new();
        for (file_name, file) in &self.files {
            match file.missing_since {
                Some(since) if now >= since + grace => gone.push(file_name.clone()),
                Some(since) => *next = (*next).min(since + grace),
                None => {}
            }
        }
        for file_name in gone {
            if self.files.remove(&file_name).is_some_and(|file| file.reported.is_some()) {
                self.send(Change::Gone { file_name: shown(&file_name) }).await?;
            }
        }
        Ok(())
    }

    /// Reads and reports every file that is due, small ones first: a large one delays nobody.
    async fn decide(&mut self, next: &mut Instant) -> Result<(), Unwanted> {
        let mut due = Vec::new();
        for (file_name, file) in &self.files {
            if file.missing_since.is_some() || file.stage == Stage::Decided {
                continue;
            }
            if Instant::now() < file.due(self.settings.patience) {
                *next = (*next).min(file.due(self.settings.patience)).min(Instant::now() + RETRY);
                continue;
            }
            let size = if let Found::File(identity) = &file.found { identity.size() } else { 0 };
            due.push((size, file_name.clone()));
        }
        due.sort_unstable();
        for (_, file_name) in due {
            self.decide_one(file_name, next).await?;
        }
        Ok(())
    }

    async fn decide_one(&mut self, file_name: OsString, next: &mut Instant) -> Result<(), Unwanted> {
        let Some(file) = self.files.get_mut(&file_name) else { return Ok(()) };
        let name = match name::parse(&file_name) {
            Ok(name) => name,
            Err(reason) => return self.reject(file_name, reason).await,
        };
        let identity = match &file.found {
            Found::File(identity) => identity.clone(),
            Found::Unusable(reason) => {
                let reason = reason.clone();
                return self.reject(file_name, reason).await;
            }
        };
        let path = self.dir.join(&file_name);
        let target = path.clone();
        let content = spawn_blocking(move || read::read(&target, &identity)).await.unwrap_or(Content::Changed);
        match content {
            Content::Changed => {
                file.stage = Stage::Changed;
                *next = (*next).min(Instant::now() + DEBOUNCE);
            }
            Content::Unusable(reason) => return self.reject(file_name, reason).await,
            Content::Incomplete(what) if file.stage == Stage::Incomplete => {
                let waited = self.settings.patience;
                let reason = format!("incomplete: {what}, and nothing came for {waited:?}; copy it again");
                return self.reject(file_name, reason).await;
            }
            Content::Incomplete(what) => {
                if !file.told_incomplete {
                    tracing::info!(file = shown(&file_name), what, "file is incomplete, waiting for the rest");
                }
                file.told_incomplete = true;
                file.stage = Stage::Incomplete;
                *next = (*next).min(Instant::now() + RETRY);
            }
            Content::Whole { bytes, digest } => {
                file.stage = Stage::Decided;
                file.told_incomplete = false;
                if file.reported == Some(Report::Present) && file.digest == Some(digest) {
                    return Ok(());
                }
                file.reported = Some(Report::Present);
                file.digest = Some(digest);
                let name::Name { service, label } = name;
                let version = FileVersion { file_name: shown(&file_name), service, label, path, bytes, digest };
                self.send(Change::Present(version)).await?;
            }
        }
        Ok(())
    }

    async fn reject(&mut self, file_name: OsString, reason: String) -> Result<(), Unwanted> {
        let Some(file) = self.files.get_mut(&file_name) else { return Ok(()) };
        file.stage = Stage::Decided;
        let report = Report::Rejected(reason.clone());
        if file.reported.as_ref() == Some(&report) {
            return Ok(());
        }
        file.reported = Some(report);
        self.send(Change::Rejected { file_name: shown(&file_name), reason }).await
    }

    /// Says once that everything which was there at the start is decided.
    async fn finish_first_scan(&mut self, next: &mut Instant) -> Result<(), Unwanted> {
        if matches!(self.first, FirstScan::NotYet) {
            let undecided = self.files.keys().cloned().collect();
            self.first = FirstScan::Waiting { undecided, until: Instant::now() + self.settings.patience };
        }
        let FirstScan::Waiting { undecided, until } = &mut self.first else { return Ok(()) };
        undecided.retain(|name| self.files.get(name).is_some_and(|file| file.stage != Stage::Decided));
        if !undecided.is_empty() && Instant::now() < *until {
            *next = (*next).min(*until);
            return Ok(());
        }
        self.first = FirstScan::Told;
        self.send(Change::InitialScanDone).await
    }

    async fn send(&self, change: Change) -> Result<(), Unwanted> {
        self.reports.send(change).await.map_err(|_| Unwanted)
    }

    /// Logs a trouble once, not at every look.
    fn trouble(&mut self, text: String) {
        if self.last_trouble != text {
            tracing::warn!(folder = %self.dir.display(), "{text}");
            self.last_trouble = text;
        }
    }
}

fn shown(file_name: &OsStr) -> String {
    file_name.to_string_lossy().into_owned()
}
