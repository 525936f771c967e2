//! What the operating system tells about the folder, boiled down to one sign a file.
//!
//! Hints only make a look happen sooner and tell whether a writer has finished; they never are the truth. Whatever is
//! lost here (queue overflow, a file system without notifications) is found by the next look. The table is bounded:
//! beyond [`MAX_NAMES`] names between two looks it is dropped and every file is looked at as if nothing were known.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, CreateKind, Event, EventKind, ModifyKind, RenameMode};
use tokio::sync::Notify;

use super::name;

/// Names remembered between two looks.
const MAX_NAMES: usize = 4096;

/// Where the writer of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing is known about a writer.
    Unknown,
    /// Somebody wrote and has not closed the file.
    Writing,
    /// The writer closed the file, or it came complete by a rename.
    Finished,
}

/// Signs since the last look; shared between the notification thread and the task that looks.
#[derive(Debug, Default)]
pub(super) struct Hints {
    state: Mutex<State>,
    changed: Notify,
}

/// What [`Hints::take`] hands over.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The last sign of each file that was written, closed or renamed.
    pub(super) signs: HashMap<OsString, Sign>,
    /// Notifications were lost: what is known about writers is no longer true.
    pub(super) lost: bool,
}

impl Hints {
    /// Waits until there is a reason to look.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Hands over what came since the last call.
    pub(super) fn take(&self) -> State {
        std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Called by the notification thread.
    pub(super) fn tell(&self, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            Ok(_) => return self.lose("the system dropped notifications"),
            Err(error) => return self.lose(&error.to_string()),
        };
        let sign = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Sign::Finished),
            // Everything else under `Access` is somebody reading, ourselves included.
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(Sign::Finished),
            EventKind::Modify(ModifyKind::Data(_)) => Some(Sign::Writing),
            // A link is complete when it is made, a file is not; neither tells.
            EventKind::Create(CreateKind::File) => Some(Sign::Unknown),
            _ => None,
        };
        // Someone writing to a file that isn't ours (`.greeter.wasm.part`) is no reason to look.
        let ours = |path: &PathBuf| path.file_name().is_some_and(name::counts);
        if matches!(sign, Some(Sign::Writing | Sign::Finished))
            && !matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)))
            && !event.paths.iter().any(ours)
        {
            return;
        }
        if let Some(sign) = sign {
            self.note(&event.paths, sign);
        }
        self.changed.notify_one();
    }

    fn note(&self, paths: &[PathBuf], sign: Sign) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for file in paths.iter().filter_map(|path| path.file_name()).filter(|file| name::counts(file)) {
            state.signs.insert(file.to_owned(), sign);
        }
        if state.signs.len() > MAX_NAMES {
            *state = State { signs: HashMap::new(), lost: true };
        }
    }

    fn lose(&self, why: &str) {
        tracing::warn!(why, "notifications about the plugin folder were lost, reading it again");
        self.state.lock().unwrap_or_else(PoisonError::into_inner).lost = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, name: &str) -> notify::Result<Event> {
        Ok(Event::new(kind).add_path(format!("/p/{name}").into()))
    }

    const DATA: EventKind = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const OPENED: EventKind = EventKind::Access(AccessKind::Open(AccessMode::Any));

    #[test]
    fn the_last_sign_of_a_file_counts() {
        let hints = Hints::default();
        hints.tell(event(DATA, "a.wasm"));
        hints.tell(event(CLOSED, "a.wasm"));
        hints.tell(event(CLOSED, "b.wasm"));
        hints.tell(event(DATA, "b.wasm"));
        let state = hints.take();
        assert_eq!(state.signs.get(std::ffi::OsStr::new("a.wasm")), Some(&Sign::Finished));
        assert_eq!(state.signs.get(std::ffi::OsStr::new("b.wasm")), Some(&Sign::Writing));
        assert!(hints.take().signs.is_empty());
    }

    #[tokio::test]
    async fn only_what_can_matter_wakes() {
        let woken = async |kind, name: &str| {
            let hints = Hints::default();
            hints.tell(event(kind, name));
            tokio::time::timeout(std::time::Duration::ZERO, hints.changed()).await.is_ok()
        };
        assert!(woken(CLOSED, "a.wasm").await);
        assert!(woken(EventKind::Modify(ModifyKind::Name(RenameMode::To)), "..data").await);
        assert!(!woken(OPENED, "a.wasm").await);
        assert!(!woken(DATA, ".a.wasm.part").await);
    }

    #[test]
    fn too_many_names_and_lost_notifications_say_so() {
        let hints = Hints::default();
        for n in 0..=MAX_NAMES {
            hints.tell(event(DATA, &format!("a{n}.wasm")));
        }
        assert!(hints.take().lost);
        hints.tell(Ok(Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        assert!(hints.take().lost);
        hints.tell(Err(notify::Error::generic("gone")));
        assert!(hints.take().lost);
    }
}
