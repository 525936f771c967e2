//! What is wrong with a configuration, where, and what to do about it.
//!
//! An error keeps the configuration from being put in force. A warning does not: it is about what is allowed and hardly
//! meant.
//!
//! A [`Problem`] carries the place it is about, so it can be shown the way a compiler shows an error: file, line,
//! the line itself and a caret under the exact key or value. Rendering for a terminal is left to `annotate-snippets`;
//! the same problem as JSON is for editors and CI. Nothing is printed here.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// A file that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// A piece of a file, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) file: Arc<File>,
    pub(super) range: Range<usize>,
}

impl Span {
    /// The place before the first byte: blamed when a file as a whole lacks something.
    pub(super) fn start_of(file: &Arc<File>) -> Self {
        Self { file: Arc::clone(file), range: 0..0 }
    }

    /// Line and column of its beginning, both from 1; columns count characters.
    pub(super) fn position(&self) -> (usize, usize) {
        let before = self.file.text.get(..self.range.start).unwrap_or(&self.file.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The configuration cannot be put in force.
    Error,
    /// It can be, but is hardly what was meant.
    Warning,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    severity: Severity,
    place: Place,
    message: String,
    hint: Option<String>,
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Somewhere in a file.
    At(Span),
    /// The file as a whole: it is missing, unreadable or misnamed.
    File(PathBuf),
}

impl Problem {
    pub(super) fn at(span: &Span, message: impl Into<String>) -> Self {
        Self::new(Place::At(span.clone()), message.into())
    }

    pub(super) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self::new(Place::File(path.to_owned()), message.into())
    }

    fn new(place: Place, message: String) -> Self {
        Self { severity: Severity::Error, place, message, hint: None, note: None }
    }

    /// The same as a warning.
    pub(super) fn warning(self) -> Self {
        Self { severity: Severity::Warning, ..self }
    }

    /// Says at the caret what to write instead.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds what else is worth knowing, below the line.
    pub(super) fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The file it is in, or that is missing.
    pub fn file(&self) -> &Path {
        match &self.place {
            Place::At(span) => &span.file.path,
            Place::File(path) => path,
        }
    }

    /// Line and column, both from 1; nothing when the file as a whole is meant.
    pub fn position(&self) -> Option<(usize, usize)> {
        match &self.place {
            Place::At(span) => Some(span.position()),
            Place::File(_) => None,
        }
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, when there is more to say than the message does.
    pub fn help(&self) -> Option<String> {
        let parts: Vec<&str> = [&self.hint, &self.note].into_iter().flatten().map(String::as_str).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn render(&self, renderer: &Renderer) -> String {
        let path = self.file().to_string_lossy();
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = level.primary_title(self.message.as_str());
        let group = match &self.place {
            Place::At(span) => {
                let caret = AnnotationKind::Primary.span(span.range.clone()).label(self.hint.as_deref());
                group.element(Snippet::source(span.file.text.as_str()).path(path).annotation(caret))
            }
            Place::File(_) => group.element(Origin::path(path)),
        };
        let hint = self.hint.as_deref().filter(|_| matches!(self.place, Place::File(_)));
        let group = group.elements(hint.map(|hint| Level::HELP.message(hint)));
        let group = group.elements(self.note.as_deref().map(|note| Level::HELP.message(note)));
        renderer.render(&[group])
    }

    /// By file, then place; what a person sees first comes first.
    fn order(&self) -> (&Path, usize, usize, &str) {
        let (start, end) = match &self.place {
            Place::At(span) => (span.range.start, span.range.end),
            Place::File(_) => (0, 0),
        };
        (self.file(), start, end, &self.message)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let position = self.position();
        let mut fields = serializer.serialize_struct("Problem", 6)?;
        fields.serialize_field("severity", &self.severity)?;
        fields.serialize_field("file", &self.file().to_string_lossy())?;
        fields.serialize_field("line", &position.map(|(line, _)| line))?;
        fields.serialize_field("column", &position.map(|(_, column)| column))?;
        fields.serialize_field("message", &self.message)?;
        fields.serialize_field("help", &self.help())?;
        fields.end()
    }
}

/// Everything that is wrong, at least one [`Problem`], ordered by file and place. All are errors, or all warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Nothing when there is none. Defaults are checked once for each service that inherits them, so what is said
    /// twice about the same place is kept once.
    pub(super) fn from_list(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|a, b| a.order().cmp(&b.order()));
        problems.dedup_by(|a, b| a.order() == b.order());
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// What is wrong with files that are not the configuration itself but are named in it; nothing when there is none.
    pub(crate) fn of_files(list: impl IntoIterator<Item = (PathBuf, String)>) -> Option<Self> {
        Self::from_list(list.into_iter().map(|(path, message)| Problem::of_file(&path, message)).collect())
    }

    /// One thing that is wrong with putting a file in force.
    pub(crate) fn of_file(path: &Path, message: impl Into<String>) -> Self {
        Self(vec![Problem::of_file(path, message)])
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// How many; never 0.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// For people: each with its line and a caret, the number of them at the end, no newline after it.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for problem in &self.0 {
            text.push_str(&problem.render(&renderer));
            text.push_str("\n\n");
        }
        let warnings = self.0.iter().all(|problem| problem.severity == Severity::Warning);
        let (number, what) = (self.0.len(), if warnings { "warning" } else { "problem" });
        let plural = if number == 1 { "" } else { "s" };
        text.push_str(&format!("{number} {what}{plural} in the configuration"));
        text
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

impl Serialize for Problems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The word of `words` that was probably meant.
pub(super) fn closest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    words
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        // A third of the letters may be wrong, but in a short word two are already another word.
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min()
        .map(|(_, candidate)| candidate)
}
