//! The schema: what can be asked for, what it costs, and where it comes from.
//!
//! A field that another service answers may be null, so that a service that is down takes its fields with it and no
//! more. The cost of a query is the number of fields of its answer if all lists are full, and more for what has to be
//! asked for one by one; the services' own pages bound each list.

mod order;
mod place;
mod product;
mod user;

use std::sync::Arc;

use async_graphql::{Context, EmptySubscription, Scalar, ScalarType, Schema, SimpleObject, Value};

use crate::failure::Failure;
use crate::session::Session;

pub(crate) use order::OrderStatus;
pub(crate) use place::Mutation;

pub(crate) type Shop = Schema<Query, Mutation, EmptySubscription>;

/// Levels of fields. The usual question for the whole schema has 13.
const MOST_DEPTH: usize = 16;
/// Directives at one place.
const MOST_DIRECTIVES: usize = 10;
/// So that sums of costs never overflow.
const HIGHEST_COST: usize = 1_000_000;
/// Entries of a page.
const LARGEST_PAGE: usize = 100;

/// The schema, for queries that cost at most so much.
pub(crate) fn build(most_cost: usize) -> Shop {
    Schema::build(Query::default(), Mutation, EmptySubscription)
        .limit_depth(MOST_DEPTH)
        .limit_complexity(most_cost)
        .limit_directives(MOST_DIRECTIVES)
        .finish()
}

/// The shop.
#[derive(Debug, Default, async_graphql::MergedObject)]
pub(crate) struct Query(user::UserQuery, product::ProductQuery, order::OrderQuery);

/// The request that is being answered.
fn session<'a>(context: &Context<'a>) -> Result<&'a Session, Failure> {
    let session = context.data::<Arc<Session>>();
    session.map(Arc::as_ref).map_err(|_| Failure::new("INTERNAL", 500, "this is asked by nobody"))
}

/// The value of a field, or null and an error with the field's path. (A resolver that gives the error itself loses the
/// field: the answer then lacks it, where it is to be null.)
async fn or_null<T>(context: &Context<'_>, value: impl Future<Output = Result<Option<T>, Failure>>) -> Option<T> {
    value.await.unwrap_or_else(|failure| {
        let error = async_graphql::Error::from(failure).into_server_error(context.item.pos);
        context.add_error(context.set_error_path(error));
        None
    })
}

/// The cost of a list: its own, and that of its entries.
fn cost(own: usize, entries: i32, entry: usize) -> usize {
    let entries = usize::try_from(entries).unwrap_or(0);
    own.saturating_add(entries.saturating_mul(entry)).min(HIGHEST_COST)
}

fn page_size(first: i32) -> Result<usize, Failure> {
    let size = usize::try_from(first).ok().filter(|size| (1..=LARGEST_PAGE).contains(size));
    size.ok_or_else(|| Failure::input(format!("`first` is from 1 to {LARGEST_PAGE}")))
}

/// The part of an address that asks for a page.
fn page_query(first: i32, after: Option<&str>, more: &[(&str, Option<&str>)]) -> Result<String, Failure> {
    let first = page_size(first)?;
    let mut query = form_urlencoded::Serializer::new("/?".to_owned());
    query.append_pair("limit", &first.to_string());
    for (name, value) in more.iter().copied().chain([("after", after)]) {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    Ok(query.finish())
}

/// A sum of money.
#[derive(Debug, SimpleObject)]
pub(crate) struct Money {
    amount: Amount,
    /// ISO 4217
    currency: String,
}

impl Money {
    fn new(amount: i64, currency: &str) -> Self {
        Self { amount: Amount(amount), currency: currency.to_owned() }
    }
}

/// Minor units (cents) of a currency: a whole number, which may be larger than an Int.
#[derive(Debug)]
struct Amount(i64);

#[Scalar]
impl ScalarType for Amount {
    fn parse(value: Value) -> async_graphql::InputValueResult<Self> {
        match &value {
            Value::Number(number) => match number.as_i64() {
                Some(amount) => Ok(Self(amount)),
                None => Err(async_graphql::InputValueError::expected_type(value)),
            },
            _ => Err(async_graphql::InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}

/// Declares the type of one page of a list.
macro_rules! page_of {
    ($name:ident, $graphql:literal, $item:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name(pub(super) std::sync::Arc<$crate::model::Page<$item>>);

        /// One page of a list.
        #[async_graphql::Object(name = $graphql)]
        impl $name {
            async fn items(&self) -> &[$item] {
                &self.0.items
            }

            /// Give it back as `after` to get what comes next; null at the end.
            async fn next(&self) -> Option<&str> {
                self.0.next.as_deref()
            }
        }
    };
}
use page_of;
