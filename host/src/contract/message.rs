//! One request, one response: what is wrong with its head, and what its body is to be held against.

use http::{HeaderMap, Method};

use super::media::{Content, Media, content, is_encoded};
use super::operation::Operation;
use super::parameter::Sent;
use super::schema::{Checked, Found, Id};
use super::{Contract, Direction, Kind, Place, Violation, text};

/// What checking a body may cost in any case, and for each of its bytes.
const BUDGET: u64 = 200_000;
const BUDGET_PER_BYTE: u64 = 20;
/// What it may cost where others wait.
const LITTLE: u64 = 5_000;
/// Values of a body.
const MAX_VALUES: usize = 1_000_000;

/// What is known of a message when its head is there.
#[derive(Debug)]
pub(crate) struct Head<'c> {
    /// What the document describes it by, if it does.
    operation: Option<&'c Operation>,
    pub(crate) violations: Vec<Violation>,
    /// Methods that the path has, if the request's is none of them.
    pub(crate) allowed: Vec<&'c str>,
    pub(crate) body: BodyRule,
}

/// What a body is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// Nothing.
    Free(Skipped),
    /// It must be there, whatever it is.
    Present,
    /// It has no type, and must not be there.
    Untyped { required: bool },
    /// It must fit a schema, if it is there.
    Fits { schema: Schema, required: bool },
}

/// A schema of the contract that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schema(Id);

/// How much a check may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Microseconds.
    Little,
    /// As much as the body may ask for.
    Full,
}

/// Why a body is not held against anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// The document says nothing of it.
    NotDescribed,
    /// It is no JSON.
    NotJson,
    /// It is compressed.
    Encoded,
    /// It is larger than what is kept of a body.
    TooLarge,
}

impl Skipped {
    /// Those that are worth counting: somebody described the body.
    pub(crate) const ALL: [Self; 3] = [Self::NotJson, Self::Encoded, Self::TooLarge];

    /// The word for metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NotDescribed => "not_described",
            Self::NotJson => "not_json",
            Self::Encoded => "encoded",
            Self::TooLarge => "too_large",
        }
    }
}

impl<'c> Head<'c> {
    fn free() -> Self {
        Self {
            operation: None,
            violations: Vec::new(),
            allowed: Vec::new(),
            body: BodyRule::Free(Skipped::NotDescribed),
        }
    }

    /// How people call what was asked for; nothing if the document does not have it.
    pub(crate) fn name(&self) -> &'c str {
        self.operation.map_or("", |operation| &operation.name)
    }

    /// What is wrong with the head of the answer to it, and what that one's body is held against.
    pub(crate) fn response(&self, status: u16, headers: &HeaderMap) -> Self {
        let Some(operation) = self.operation else { return Self::free() };
        let mut head = Self { operation: Some(operation), ..Self::free() };
        let Some(list) = operation.response(status) else {
            head.violations.push(fault(Kind::Status, format!("the status {status} is not described")));
            return head;
        };
        if !list.is_empty() {
            head.content(list, headers, false);
        }
        head
    }

    fn content(&mut self, list: &'c [Media], headers: &HeaderMap, required: bool) {
        match content(list, headers) {
            Content::Foreign => {
                self.violations.push(fault(Kind::ContentType, "the type of the content is not described".to_owned()));
            }
            Content::Unsaid => self.body = BodyRule::Untyped { required },
            Content::Listed(..) if is_encoded(headers) => self.body = BodyRule::Free(Skipped::Encoded),
            Content::Listed(media, true) => {
                self.body = match media.schema {
                    Some(id) => BodyRule::Fits { schema: Schema(id), required },
                    None if required => BodyRule::Present,
                    None => BodyRule::Free(Skipped::NotDescribed),
                }
            }
            Content::Listed(_, false) if required => self.body = BodyRule::Present,
            Content::Listed(media, false) if media.schema.is_some() => self.body = BodyRule::Free(Skipped::NotJson),
            Content::Listed(..) => {}
        }
    }
}

impl Contract {
    /// Looks at the head of a request.
    pub(crate) fn request(&self, method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> Head<'_> {
        let mut head = Head::free();
        let Some((index, values)) = self.paths.find(path) else {
            head.violations.push(fault(Kind::Path, "this path is not described".to_owned()));
            return head;
        };
        let operations = self.operations.get(index).map(Vec::as_slice).unwrap_or_default();
        let of = |wanted: &str| operations.iter().find(|operation| operation.method == wanted);
        let operation = of(method.as_str()).or_else(|| if *method == Method::HEAD { of("GET") } else { None });
        let Some(operation) = operation else {
            // What browsers ask before they ask is described nowhere.
            if *method != Method::OPTIONS {
                head.violations.push(fault(Kind::Method, "this path does not have this method".to_owned()));
                head.allowed = operations.iter().map(|operation| operation.method.as_str()).collect();
            }
            return head;
        };
        head.operation = Some(operation);
        let sent = Sent::new(values, query, headers);
        for parameter in &operation.parameters {
            parameter.check(&self.schemas, &sent, &mut head.violations);
        }
        if let Some(body) = &operation.body {
            head.content(&body.content, headers, body.required);
        }
        head
    }

    /// What is wrong with a body that is to fit this; nothing if that takes more than `effort`. With all effort there
    /// is always an answer.
    pub(crate) fn body(
        &self,
        Schema(id): Schema,
        bytes: &[u8],
        direction: Direction,
        effort: Effort,
    ) -> Option<Vec<Violation>> {
        let value = match text::read_bounded(bytes, MAX_VALUES) {
            Ok(value) => value,
            Err(error) => return Some(vec![not_json(&error)]),
        };
        let budget = match effort {
            Effort::Little => LITTLE,
            Effort::Full => BUDGET + BUDGET_PER_BYTE * bytes.len() as u64,
        };
        match (self.schemas.check(id, &value, direction, budget), effort) {
            (Checked::Right, _) => Some(Vec::new()),
            (Checked::Wrong(found), _) => Some(found.into_iter().map(in_body).collect()),
            (Checked::TooCostly, Effort::Little) => None,
            (Checked::TooCostly, Effort::Full) => {
                Some(vec![fault(Kind::Body, "the body is too complex to be checked".to_owned())])
            }
        }
    }
}

impl BodyRule {
    /// What is wrong with a body of which is only known whether it is there.
    pub(crate) fn of_presence(self, there: bool) -> Option<Violation> {
        let missing = || Some(fault(Kind::Body, "a body is required".to_owned()));
        match self {
            Self::Present | Self::Fits { required: true, .. } | Self::Untyped { required: true } if !there => missing(),
            Self::Untyped { .. } if there => {
                Some(fault(Kind::ContentType, "the body has no type: `content-type` is missing".to_owned()))
            }
            Self::Free(_) | Self::Present | Self::Untyped { .. } | Self::Fits { .. } => None,
        }
    }
}

fn fault(kind: Kind, message: String) -> Violation {
    Violation { kind, place: Place::Head, message }
}

fn in_body(Found { pointer, message }: Found) -> Violation {
    Violation { kind: Kind::Body, place: Place::Body(pointer), message }
}

/// What a parser says, without the letters that it stumbled over.
fn not_json(error: &serde_json::Error) -> Violation {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "ends too early",
        serde_json::error::Category::Data => "is too deep, too long, or gives a key twice",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "is not valid JSON",
    };
    let message = format!("the body {what} (line {}, column {})", error.line(), error.column());
    Violation { kind: Kind::Body, place: Place::Head, message }
}
