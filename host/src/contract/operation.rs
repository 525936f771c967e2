//! Operations of a document: what may be asked, and what may be answered.

use serde_json::Value;

use super::document::{At, Document, Fault};
use super::media::Media;
use super::parameter::{Location, Parameter, Style};
use super::schema::Compiler;

/// Methods that a path may describe.
pub(super) const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Headers that are described elsewhere: as parameters they mean nothing.
const NOT_PARAMETERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// One method of a path.
#[derive(Debug)]
pub(super) struct Operation {
    /// In upper case.
    pub(super) method: String,
    /// As people call it in a log: `POST /orders/{id}`.
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) responses: Vec<(Statuses, Vec<Media>)>,
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) required: bool,
    pub(super) content: Vec<Media>,
}

/// Statuses that a response is for, the most definite first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Statuses {
    One(u16),
    /// `2XX`: this digit.
    Class(u16),
    Default,
}

impl Statuses {
    pub(super) fn named(word: &str) -> Option<Self> {
        if word == "default" {
            return Some(Self::Default);
        }
        if let Some(digit) = word.strip_suffix("XX").or_else(|| word.strip_suffix("xx")) {
            return digit.parse().ok().filter(|digit| (1..=5).contains(digit)).map(Self::Class);
        }
        word.parse().ok().filter(|status| (100..=599).contains(status) && word.len() == 3).map(Self::One)
    }

    fn fits(self, status: u16) -> bool {
        match self {
            Self::One(one) => one == status,
            Self::Class(digit) => digit == status / 100,
            Self::Default => true,
        }
    }
}

impl Operation {
    /// What is said of responses with this status.
    pub(super) fn response(&self, status: u16) -> Option<&[Media]> {
        self.responses.iter().find(|(statuses, _)| statuses.fits(status)).map(|(_, content)| content.as_slice())
    }
}

/// Reads the operations of one path.
pub(super) struct Reader<'a, 'c> {
    pub(super) document: Document<'a>,
    pub(super) compiler: &'c mut Compiler<'a>,
}

impl<'a> Reader<'a, '_> {
    pub(super) fn path(&mut self, path: &str, names: &[&str], at: At<'a>) -> Result<Vec<Operation>, Fault> {
        let item = self.document.follow(at)?.map()?;
        let shared = self.parameters(&item, names)?;
        let mut operations = Vec::new();
        for method in METHODS {
            let Some(at) = item.get(method) else { continue };
            let at = at.map()?;
            let mut parameters = self.parameters(&at, names)?;
            for one in &shared {
                if !parameters.iter().any(|own| own.name == one.name && own.location == one.location) {
                    parameters.push(one.clone());
                }
            }
            let method = method.to_ascii_uppercase();
            let name = format!("{method} {}", path.escape_debug());
            let (body, responses) = (self.body(&at)?, self.responses(&at)?);
            operations.push(Operation { method, name, parameters, body, responses });
        }
        Ok(operations)
    }

    fn parameters(&mut self, at: &At<'a>, names: &[&str]) -> Result<Vec<Parameter>, Fault> {
        let Some(list) = at.get("parameters") else { return Ok(Vec::new()) };
        if !list.value.is_array() {
            return Err(list.fault("a list of parameters is expected here"));
        }
        let mut parameters: Vec<Parameter> = Vec::new();
        for item in list.items() {
            let at = self.document.follow(item)?.map()?;
            let parameter = self.parameter(&at)?;
            let ignored = parameter.location == Location::Header
                && NOT_PARAMETERS.iter().any(|name| parameter.name.eq_ignore_ascii_case(name));
            if ignored {
                continue;
            }
            if parameter.location == Location::Path && !names.contains(&parameter.name.as_str()) {
                return Err(at.fault(format!("the path has no `{{{}}}`", parameter.name.escape_debug())));
            }
            if parameters.iter().any(|one| one.name == parameter.name && one.location == parameter.location) {
                return Err(at.fault("this parameter is there twice"));
            }
            parameters.push(parameter);
        }
        Ok(parameters)
    }

    fn parameter(&mut self, at: &At<'a>) -> Result<Parameter, Fault> {
        let name = at.text("name").filter(|name| !name.is_empty()).ok_or_else(|| at.fault("`name` is missing"))?;
        let location = at.text("in").and_then(Location::named);
        let location = location.ok_or_else(|| at.fault("`in` is path, query, header or cookie"))?;
        let required = at.is_true("required");
        if location == Location::Path && !required {
            return Err(at.fault("a parameter in the path has `required: true`"));
        }
        if location == Location::Header && http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(at.fault("this is no name of a header"));
        }
        let mut of = Parameter {
            name: name.to_owned(),
            location,
            required,
            style: Style::Delimited(','),
            explode: at.is_true("explode"),
            schema: None,
        };
        if let Some(content) = at.get("content") {
            let mut entries = content.entries();
            let (Some((name, entry)), None) = (entries.next(), entries.next()) else {
                return Err(content.fault("the content of a parameter has one entry"));
            };
            let json = super::media::parts(name).is_some_and(|(kind, subtype)| super::media::is_json(&kind, &subtype));
            of.style = if json { Style::Json } else { Style::Unread };
            of.schema = entry.get("schema").map(|schema| self.compiler.schema(schema));
            return Ok(of);
        }
        let usual = if matches!(location, Location::Query | Location::Cookie) { "form" } else { "simple" };
        let style = at.text("style").unwrap_or(usual);
        of.explode = at.value.get("explode").and_then(Value::as_bool).unwrap_or(style == "form");
        of.style = match (style, location) {
            ("simple", Location::Path | Location::Header) => Style::Delimited(','),
            // A cookie of several parts is never spread over several cookies that anybody could tell apart.
            ("form", Location::Cookie) => Style::Delimited(','),
            ("form", Location::Query) if of.explode => Style::Exploded,
            ("form", Location::Query) => Style::Delimited(','),
            ("spaceDelimited", Location::Query) if of.explode => Style::Exploded,
            ("spaceDelimited", Location::Query) => Style::Delimited(' '),
            ("pipeDelimited", Location::Query) if of.explode => Style::Exploded,
            ("pipeDelimited", Location::Query) => Style::Delimited('|'),
            ("deepObject", Location::Query) => Style::Deep,
            ("label" | "matrix", Location::Path) => Style::Unread,
            _ => return Err(at.fault(format!("`{}` is no style for `in: {}`", style.escape_debug(), location.word()))),
        };
        of.schema = at.get("schema").map(|schema| self.compiler.schema(schema));
        Ok(of)
    }

    fn body(&mut self, at: &At<'a>) -> Result<Option<Body>, Fault> {
        let Some(at) = at.get("requestBody") else { return Ok(None) };
        let at = self.document.follow(at)?.map()?;
        Ok(Some(Body { required: at.is_true("required"), content: self.content(&at)? }))
    }

    fn content(&mut self, at: &At<'a>) -> Result<Vec<Media>, Fault> {
        let mut list = Vec::new();
        for (name, entry) in at.get("content").iter().flat_map(At::entries) {
            let schema = entry.get("schema").map(|schema| self.compiler.schema(schema));
            list.push(Media::new(name, schema).map_err(|why| entry.fault(why))?);
        }
        Ok(list)
    }

    fn responses(&mut self, at: &At<'a>) -> Result<Vec<(Statuses, Vec<Media>)>, Fault> {
        let Some(list) = at.get("responses") else { return Ok(vec![(Statuses::Default, Vec::new())]) };
        let list = list.map()?;
        let mut responses = Vec::new();
        for (word, at) in list.entries().filter(|(word, _)| !word.starts_with("x-")) {
            let statuses = Statuses::named(word);
            let statuses =
                statuses.ok_or_else(|| at.fault("a status such as `200`, `4XX` or `default` is expected"))?;
            let at = self.document.follow(at)?.map()?;
            responses.push((statuses, self.content(&at)?));
        }
        responses.sort_by_key(|(statuses, _)| *statuses);
        Ok(responses)
    }
}
