//! Types of content: which of those that a document lists a message has, and whether it is JSON.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::schema::Id;

/// One entry of `content`.
#[derive(Debug, Clone)]
pub(super) struct Media {
    /// In lower case, without parameters; either part may be `*`.
    kind: String,
    subtype: String,
    pub(super) schema: Option<Id>,
}

impl Media {
    /// Reads `application/json`, `text/*` and the like.
    pub(super) fn new(name: &str, schema: Option<Id>) -> Result<Self, String> {
        let (kind, subtype) = parts(name).ok_or("a type of content is written like `application/json`")?;
        Ok(Self { kind, subtype, schema })
    }

    fn fits(&self, kind: &str, subtype: &str) -> bool {
        (self.kind == kind || self.kind == "*") && (self.subtype == subtype || self.subtype == "*")
    }

    fn is_definite(&self) -> bool {
        self.kind != "*" && self.subtype != "*"
    }
}

/// What a message's content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content<'m> {
    /// It says nothing of it.
    Unsaid,
    /// None of the list.
    Foreign,
    /// This one; whether it is JSON.
    Listed(&'m Media, bool),
}

impl PartialEq for Media {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Media {}

/// The entry that a message has; a definite one before a range.
pub(super) fn content<'m>(list: &'m [Media], headers: &HeaderMap) -> Content<'m> {
    let Some(said) = headers.get(CONTENT_TYPE) else { return Content::Unsaid };
    let Some((kind, subtype)) = said.to_str().ok().and_then(parts) else { return Content::Foreign };
    let fitting = || list.iter().filter(|media| media.fits(&kind, &subtype));
    let found = fitting().find(|media| media.is_definite()).or_else(|| fitting().next());
    found.map_or(Content::Foreign, |media| Content::Listed(media, is_json(&kind, &subtype)))
}

/// Whether what is sent is not the content itself but a coding of it.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether this name of a type means JSON.
pub(super) fn is_json(kind: &str, subtype: &str) -> bool {
    kind == "application" && (subtype == "json" || subtype.ends_with("+json"))
}

/// Both parts of a type, in lower case.
pub(super) fn parts(text: &str) -> Option<(String, String)> {
    let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (kind, subtype) = name.split_once('/')?;
    let token = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    (token(kind) && token(subtype)).then(|| (kind.to_owned(), subtype.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_definite_type_is_found_before_a_range() {
        let names = ["application/*", "application/json", "text/plain; charset=utf-8", "*/*"];
        let list: Vec<Media> = names.iter().map(|name| Media::new(name, None).unwrap()).collect();
        let index = |said: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(said))]);
            match content(&list, &headers) {
                Content::Listed(media, json) => {
                    Some((list.iter().position(|one| std::ptr::eq(one, media)).unwrap(), json))
                }
                _ => None,
            }
        };
        assert_eq!(index("Application/JSON; charset=utf-8"), Some((1, true)));
        assert_eq!(index("application/problem+json"), Some((0, true)));
        assert_eq!(index("text/plain"), Some((2, false)));
        assert_eq!(index("image/png"), Some((3, false)));
        assert_eq!(index("nonsense"), None);
        assert_eq!(content(&list, &HeaderMap::new()), Content::Unsaid);
        let json = Media::new("application/json", None).unwrap();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
        assert_eq!(content(std::slice::from_ref(&json), &headers), Content::Foreign);
        assert!(Media::new("json", None).is_err());
    }
}
