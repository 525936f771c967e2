//! Products.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};

use super::{Money, cost, or_null, page_of, page_query, session};
use crate::model::Product;
use crate::session::CATALOG;

page_of!(ProductPage, "ProductPage", Product);

#[derive(Debug, Default)]
pub(crate) struct ProductQuery;

#[Object]
impl ProductQuery {
    /// A product, also one that is not for sale any more.
    #[graphql(complexity = "cost(2, 1, child_complexity)")]
    async fn product(&self, context: &Context<'_>, id: ID) -> Option<Product> {
        or_null(context, async { session(context)?.product(&id).await }).await
    }

    /// Products for sale, the oldest first.
    #[graphql(complexity = "cost(5, first, child_complexity)")]
    async fn products(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Words, or beginnings of words, of name and description.")] search: Option<String>,
        category: Option<String>,
        #[graphql(default = 20)] first: i32,
        after: Option<String>,
    ) -> Option<ProductPage> {
        let found = async {
            let more = [("q", search.as_deref()), ("category", category.as_deref())];
            let path = page_query(first, after.as_deref(), &more)?;
            session(context)?.get(CATALOG, &path).map(|page| Some(ProductPage(Arc::new(page))))
        };
        or_null(context, found).await
    }
}

/// What the shop sells.
#[Object]
impl Product {
    async fn id(&self) -> ID {
        ID::from(&self.id)
    }

    async fn sku(&self) -> &str {
        &self.sku
    }

    async fn name(&self) -> &str {
        &self.name
    }

    async fn description(&self) -> &str {
        &self.description
    }

    async fn category(&self) -> &str {
        &self.category
    }

    async fn price(&self) -> Money {
        Money::new(self.price.amount, &self.price.currency)
    }

    /// Whether it is for sale.
    async fn active(&self) -> bool {
        self.active
    }
}
