//! `POST /api/backups`: a backup of all state, by whoever may not or cannot look at the state directory.
//!
//! The operator has said in `state.backups` where backups lie; a request gives a name in there and nothing else, so it
//! can write nowhere else. One backup is made at a time: a second one would only make both slower.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::problem::{Problem, Wrong};
use super::{Admin, Answer, body, created};
use crate::config::valid_word;
use crate::state::backup::{self, BackupError};

/// Where backups are made of, and where to.
#[derive(Debug, Clone)]
pub(crate) struct Backups {
    state: PathBuf,
    dir: PathBuf,
    turn: Arc<Semaphore>,
}

impl Backups {
    /// Of the state in `state`, into directories in `dir`.
    pub(crate) fn new(state: PathBuf, dir: PathBuf) -> Self {
        Self { state, dir, turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Admin {
    pub(super) async fn back_up<B>(&self, request: Request<B>) -> Result<Response<Answer>, Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let name = name(&body::read_object(request).await?)?;
        let backups = self.backups.clone().ok_or(Problem::NoBackups)?;
        let turn = Arc::clone(&backups.turn).try_acquire_owned().map_err(|_taken| Problem::BackupAtWork)?;
        let to = backups.dir.join(name);
        let made = to.clone();
        // It goes on when the client does not wait for its end.
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let taken = backup::take(&backups.state, &to);
            match &taken {
                Ok(manifest) => tracing::info!(to = %to.display(), bytes = manifest.bytes(), "backup made"),
                Err(error) => tracing::error!(%error, "no backup was made"),
            }
            taken
        });
        let manifest = match task.await {
            Ok(Ok(manifest)) => manifest,
            Ok(Err(BackupError::Exists { .. })) => return Err(Problem::BackupExists),
            Ok(Err(_)) | Err(_) => return Err(Problem::BackupFailed),
        };
        created(&serde_json::json!({ "path": made.display().to_string(), "manifest": manifest }))
    }
}

/// The name that the body gives, or one of the time.
fn name(body: &serde_json::Map<String, Value>) -> Result<String, Problem> {
    let wrong = |field: &str, message: &str| Err(Problem::Invalid(vec![Wrong::new(field, message)]));
    if let Some(unknown) = body.keys().find(|key| *key != "name") {
        return wrong(&super::shown(unknown), "is no field of a backup: there is `name`");
    }
    match body.get("name") {
        None => Ok(Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()),
        Some(Value::String(name)) if valid_word(name).is_ok() && !name.starts_with('.') => Ok(name.clone()),
        Some(_) => wrong("name", "is a word of letters, digits, `.`, `_`, `+` and `-`, and begins with no `.`"),
    }
}
