//! What a product and a question may look like. All that is wrong is said at once.

use serde::Deserialize;
use shop::{LARGEST_PAGE, Listing, Wrong, currencies, is_currency};
use wharf_sdk::{Error, Request};

/// Characters in a sku.
const LONGEST_SKU: usize = 64;
/// Characters in a name.
const LONGEST_NAME: usize = 200;
/// Characters in a description.
const LONGEST_DESCRIPTION: usize = 4000;
/// Characters in a category.
const LONGEST_CATEGORY: usize = 64;
/// Characters of a search, and words of it that count.
const LONGEST_SEARCH: usize = 100;
const MOST_WORDS: usize = 10;
/// A thousand million, in minor units: any sum of a basket still is a number.
const HIGHEST_PRICE: i64 = 100_000_000_000;

/// What a client says of a product.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) sku: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) category: String,
    pub(crate) price: Price,
    /// A new product is for sale if nothing is said, an old one stays what it is.
    pub(crate) active: Option<bool>,
}

/// Minor units of a currency.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

/// Which products somebody wants to see.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// These, whatever they are.
    Ids(Vec<String>),
    /// A page.
    Page(Filter),
}

#[derive(Debug)]
pub(crate) struct Filter {
    /// Words, each of which begins a word of the name or the description.
    pub(crate) words: Option<Vec<String>>,
    pub(crate) category: Option<String>,
    pub(crate) inactive: bool,
    pub(crate) listing: Listing,
}

impl Input {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let mut input: Self = request.json()?;
        for text in [&mut input.name, &mut input.description, &mut input.category] {
            *text = text.trim().to_owned();
        }
        let mut wrong = Wrong::default();
        let sku = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let fits = (1..=LONGEST_SKU).contains(&input.sku.len()) && input.sku.chars().all(sku);
        wrong.unless(fits, "sku", format!("1 to {LONGEST_SKU} letters, digits, `-`, `_` and `.`"));
        wrong.unless(is_line(&input.name, LONGEST_NAME), "name", line(LONGEST_NAME));
        wrong.unless(is_line(&input.category, LONGEST_CATEGORY), "category", line(LONGEST_CATEGORY));
        let length = input.description.chars().count();
        wrong.unless(length <= LONGEST_DESCRIPTION, "description", format!("at most {LONGEST_DESCRIPTION} characters"));
        let text = input.description.chars().all(|c| !c.is_control() || c == '\n' || c == '\t');
        wrong.unless(text, "description", "has a control character");
        let amount = (0..=HIGHEST_PRICE).contains(&input.price.amount);
        wrong.unless(amount, "price.amount", format!("0 to {HIGHEST_PRICE} in minor units"));
        wrong.unless(is_currency(&input.price.currency), "price.currency", currencies());
        wrong.end()?;
        Ok(input)
    }
}

impl Wanted {
    pub(crate) fn read(request: &Request) -> Result<Self, Error> {
        let mut wrong = Wrong::default();
        if let Some(ids) = request.query("ids") {
            let mut ids: Vec<_> = ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
            ids.sort_unstable();
            ids.dedup();
            wrong.unless(ids.len() <= usize::try_from(LARGEST_PAGE)?, "ids", format!("at most {LARGEST_PAGE}"));
            wrong.end()?;
            return Ok(Self::Ids(ids));
        }
        let search = request.query("q");
        let short = search.as_ref().is_none_or(|text| text.chars().count() <= LONGEST_SEARCH);
        wrong.unless(short, "q", format!("at most {LONGEST_SEARCH} characters"));
        let listing = Listing::check(request);
        if let Err(error) = &listing {
            wrong.add(error.clone());
        }
        let inactive = match request.query("inactive").as_deref() {
            None | Some("false") => Some(false),
            Some("true") => Some(true),
            Some(_) => None,
        };
        wrong.unless(inactive.is_some(), "inactive", "true or false");
        wrong.end()?;
        let listing = listing.map_err(|error| Error::unprocessable(vec![error]))?;
        let words = search.filter(|text| !text.trim().is_empty()).map(|text| {
            let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            words.take(MOST_WORDS).map(str::to_owned).collect()
        });
        Ok(Self::Page(Filter {
            words,
            category: request.query("category").filter(|category| !category.is_empty()),
            inactive: inactive.unwrap_or_default(),
            listing,
        }))
    }
}

fn is_line(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn line(longest: usize) -> String {
    format!("1 to {longest} characters, none of them a control character")
}
