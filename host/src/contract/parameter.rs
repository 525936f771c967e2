//! Parameters: where one is found in the head of a request, what its text stands for, and whether that fits.
//!
//! Checked are the styles `simple`, `form`, `deepObject`, `spaceDelimited` and `pipeDelimited`, exploded or not, and
//! `content` with JSON. `label` and `matrix` are checked to be there and no further.
//!
//! A text has no type: `5` is a number where a number is asked for and text where text is. So each type that the schema
//! names is tried, and the parameter is wrong if none fits.

use http::HeaderMap;
use http::header::COOKIE;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::schema::{ARRAY, BOOLEAN, Checked, Found, INTEGER, Id, NULL, NUMBER, OBJECT, Schemas};
use super::template::Values;
use super::{Direction, Kind, Place, Violation};

/// What checking one parameter may cost.
const BUDGET: u64 = 20_000;
/// Parts of one parameter.
const MAX_PARTS: usize = 1000;

/// Where parameters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Location {
    Path,
    Query,
    Header,
    Cookie,
}

/// How a list or a map is written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// With this between the parts.
    Delimited(char),
    /// Each part as a parameter of its own.
    Exploded,
    /// `name[key]=value`.
    Deep,
    /// As JSON.
    Json,
    /// In a way that is not read.
    Unread,
}

/// One parameter.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) location: Location,
    pub(super) required: bool,
    pub(super) style: Style,
    /// Whether a map is written as `key=value` and not as `key,value`.
    pub(super) explode: bool,
    pub(super) schema: Option<Id>,
}

/// The head of a request, taken apart.
#[derive(Debug)]
pub(super) struct Sent<'r> {
    pub(super) path: Values<'r>,
    /// Names are decoded, values are as they were sent.
    pub(super) query: Vec<(String, &'r str)>,
    pub(super) headers: &'r HeaderMap,
}

impl Location {
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word {
            "path" => Self::Path,
            "query" => Self::Query,
            "header" => Self::Header,
            "cookie" => Self::Cookie,
            _ => return None,
        })
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

impl<'r> Sent<'r> {
    pub(super) fn new(path: Values<'r>, query: Option<&'r str>, headers: &'r HeaderMap) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), value)
        });
        Self { path, query: query.collect(), headers }
    }
}

impl Parameter {
    /// What is wrong with it in a request.
    pub(super) fn check(&self, schemas: &Schemas, sent: &Sent<'_>, faults: &mut Vec<Violation>) {
        let texts = self.texts(schemas, sent);
        if texts.is_empty() {
            if self.required {
                faults.push(self.fault("is required".to_owned()));
            }
            return;
        }
        let (Some(id), false) = (self.schema, self.style == Style::Unread) else { return };
        let candidates = match self.candidates(schemas, id, &texts) {
            Ok(candidates) => candidates,
            Err(message) => return faults.push(self.fault(message)),
        };
        let mut first = None;
        for value in candidates {
            match schemas.check(id, &value, Direction::Request, BUDGET) {
                Checked::Right => return,
                Checked::Wrong(found) => first = first.or(Some(found)),
                Checked::TooCostly => return faults.push(self.fault("is too complex to be checked".to_owned())),
            }
        }
        for Found { pointer, message } in first.unwrap_or_default() {
            let place = if pointer.is_empty() { message } else { format!("{message} (at {pointer})") };
            faults.push(self.fault(place));
        }
    }

    fn fault(&self, message: String) -> Violation {
        let place = Place::Parameter { location: self.location.word(), name: self.name.clone() };
        Violation { kind: Kind::Parameter, place, message }
    }

    /// Everything in the head that belongs to it: names of parts, and texts as they were sent.
    fn texts<'r>(&self, schemas: &Schemas, sent: &Sent<'r>) -> Vec<(String, &'r str)> {
        let texts: Vec<(String, &'r str)> = match self.location {
            Location::Path => sent.path.iter().filter(|(name, _)| *name == self.name).cloned().collect(),
            Location::Query if self.style == Style::Deep => {
                let part = |name: &str| {
                    let key = name.strip_prefix(self.name.as_str())?.strip_prefix('[')?.strip_suffix(']')?;
                    Some(key.to_owned())
                };
                sent.query.iter().filter_map(|(name, value)| Some((part(name)?, *value))).collect()
            }
            Location::Query if self.is_spread(schemas) => {
                let names = self.schema.map(|id| schemas.properties(id)).unwrap_or_default();
                sent.query.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect()
            }
            Location::Query => sent.query.iter().filter(|(name, _)| *name == self.name).cloned().collect(),
            Location::Header => {
                let values = sent.headers.get_all(self.name.as_str()).iter();
                values.filter_map(|value| Some((String::new(), value.to_str().ok()?))).collect()
            }
            Location::Cookie => {
                let pairs = sent.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
                let pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
                pairs.filter(|(name, _)| *name == self.name).map(|(name, value)| (name.to_owned(), value)).collect()
            }
        };
        texts.into_iter().take(MAX_PARTS).collect()
    }

    /// Whether its properties are parameters of their own.
    fn is_spread(&self, schemas: &Schemas) -> bool {
        self.style == Style::Exploded && self.schema.is_some_and(|id| schemas.types(id) == OBJECT)
    }

    /// Values that its text may stand for.
    fn candidates(&self, schemas: &Schemas, id: Id, texts: &[(String, &str)]) -> Result<Vec<Value>, String> {
        let plus = self.location == Location::Query;
        let types = schemas.types(id);
        let scalar = types & !(ARRAY | OBJECT) != 0;
        let first = texts.first().map(|(_, text)| *text).unwrap_or_default();
        let item = |text: &str, id: Option<Id>| best(schemas, id, &decode(text, plus));
        if self.style == Style::Json {
            let text = decode(first, plus);
            return serde_json::from_str(&text).map(|value| vec![value]).map_err(|_| "is no JSON".to_owned());
        }
        if self.style == Style::Deep || self.is_spread(schemas) {
            let entries = texts.iter().map(|(key, text)| (key.clone(), item(text, schemas.inside(id, Some(key)))));
            return Ok(vec![Value::Object(entries.collect())]);
        }
        let parts: Vec<&str> = match self.style {
            // Several headers of one name are one list.
            Style::Delimited(mark) if self.location == Location::Header => {
                texts.iter().flat_map(|(_, text)| text.split(mark)).map(str::trim).take(MAX_PARTS).collect()
            }
            Style::Delimited(' ') => split(first, &["%20", "+", " "]),
            Style::Delimited('|') => split(first, &["%7C", "%7c", "|"]),
            Style::Delimited(mark) => first.split(mark).take(MAX_PARTS).collect(),
            Style::Exploded | Style::Deep | Style::Json | Style::Unread => {
                texts.iter().map(|(_, text)| *text).collect()
            }
        };
        if types & ARRAY != 0 && (!scalar || parts.len() > 1) {
            let of_items = schemas.inside(id, None);
            return Ok(vec![parts.into_iter().map(|part| item(part, of_items)).collect()]);
        }
        if types & OBJECT != 0 && !scalar {
            let mut map = Map::new();
            let pairs: Vec<(&str, &str)> = if self.explode {
                parts.iter().filter_map(|part| part.split_once('=')).collect()
            } else {
                parts.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect()
            };
            for (key, text) in pairs {
                let key = decode(key, plus);
                let value = item(text, schemas.inside(id, Some(&key)));
                map.insert(key, value);
            }
            return Ok(vec![Value::Object(map)]);
        }
        if texts.len() > 1 {
            return Err("is given more than once".to_owned());
        }
        Ok(scalars(types, &decode(first, plus)))
    }
}

/// What a text may be, the most definite first.
fn scalars(types: u8, text: &str) -> Vec<Value> {
    let mut values = Vec::new();
    if types & (INTEGER | NUMBER) != 0 {
        values.extend(serde_json::from_str(text).ok().map(Value::Number));
    }
    if types & BOOLEAN != 0 {
        values.extend(text.parse().ok().map(Value::Bool));
    }
    if types & NULL != 0 && text.is_empty() {
        values.push(Value::Null);
    }
    values.push(Value::String(text.to_owned()));
    values
}

/// The first of what a text may be that fits.
fn best(schemas: &Schemas, id: Option<Id>, text: &str) -> Value {
    let Some(id) = id else { return Value::String(text.to_owned()) };
    let mut values = scalars(schemas.types(id), text);
    let fits = |value: &Value| schemas.check(id, value, Direction::Request, BUDGET) == Checked::Right;
    let index = values.iter().position(fits).unwrap_or_default();
    values.swap_remove(index)
}

fn split<'t>(text: &'t str, marks: &[&str]) -> Vec<&'t str> {
    let mut parts = vec![text];
    for mark in marks {
        parts = parts.into_iter().flat_map(|part| part.split(*mark)).take(MAX_PARTS).collect();
    }
    parts
}

fn decode(text: &str, plus: bool) -> String {
    let spaced = if plus && text.contains('+') { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
