//! Lists: `?limit=` (1 to 100, else 20) items `?after=` a place, and `{"items", "next"}`, where `next` is the place
//! after which the rest comes.

use serde::Serialize;
use wharf_sdk::{Error, FieldError, Request};

use crate::wrong;

/// Items on one page, unless the client says another number.
const PAGE: u32 = 20;
/// The most that it gets, also of things that it asks for by their ids.
pub const LARGEST_PAGE: u32 = 100;

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// How many items there may be.
    pub limit: u32,
    /// What is passed over: all up to this place.
    pub after: Option<String>,
}

/// A part of a list.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Give it back as `after` to get what comes next.
    pub next: Option<String>,
}

impl Listing {
    /// # Errors
    /// 422 for a limit that cannot be.
    pub fn read(request: &Request) -> Result<Self, Error> {
        Self::check(request).map_err(|error| Error::unprocessable(vec![error]))
    }

    /// The same, for those who collect what is wrong.
    ///
    /// # Errors
    /// What is wrong with the limit.
    pub fn check(request: &Request) -> Result<Self, FieldError> {
        let limit = request.query("limit").map_or(Some(PAGE), |text| text.parse().ok());
        let limit = limit.filter(|limit| (1..=LARGEST_PAGE).contains(limit));
        let limit = limit.ok_or_else(|| wrong("limit", format!("is to be a number from 1 to {LARGEST_PAGE}")))?;
        Ok(Self { limit, after: request.query("after") })
    }

    /// The place to begin after, for places that are texts: all come after the empty one.
    pub fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// How many items to read: one more than asked for tells whether there are more.
    pub fn with_one_more(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// The page, of items that were read [`with_one_more`](Self::with_one_more). `place` is where an item is.
    pub fn page<T>(&self, mut items: Vec<T>, place: impl FnOnce(&T) -> String) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(place);
        Page { items, next }
    }
}

impl<T> Page<T> {
    /// A list that is there as a whole.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(target: &str) -> Result<(u32, Option<String>), u16> {
        let read = Listing::read(&Request::get(target)).map_err(|error| error.status());
        read.map(|listing| (listing.limit, listing.after))
    }

    #[test]
    fn a_limit_has_its_limits() {
        assert_eq!(listing("/"), Ok((20, None)));
        assert_eq!(listing("/?limit=1&after=a%2Fb"), Ok((1, Some("a/b".to_owned()))));
        assert_eq!(listing("/?limit=100"), Ok((100, None)));
        for limit in ["0", "101", "-1", "x", "", "1.5", "99999999999"] {
            assert_eq!(listing(&format!("/?limit={limit}")), Err(422), "{limit}");
        }
        assert_eq!(Listing::check(&Request::get("/?limit=0")).unwrap_err().field, "limit");
    }

    #[test]
    fn a_page_says_where_the_next_begins() {
        let listing = Listing { limit: 2, after: None };
        assert_eq!((listing.with_one_more(), listing.after()), (3, ""));
        let page = |items: &[u8]| listing.page(items.to_vec(), |item| item.to_string());
        assert_eq!(page(&[1, 2, 3]), Page { items: vec![1, 2], next: Some("2".to_owned()) });
        assert_eq!(page(&[1, 2]), Page::whole(vec![1, 2]), "just full, and the last");
        assert_eq!(page(&[]), Page::whole(vec![]));
        assert_eq!(serde_json::to_string(&page(&[1])).unwrap(), r#"{"items":[1],"next":null}"#);
    }
}
