//! Orders, with the users and products they are about.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use serde::Deserialize;

use super::{Money, cost, or_null, page_of, page_query, session};
use crate::failure::Failure;
use crate::model::{Item, Order, Product, User};
use crate::session::{ORDERS, Session, check_id, none_if_not_found};

/// Products of an order, as the cost of a query takes them. There may be 50; most have few.
const TYPICAL_ITEMS: i32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Enum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OrderStatus {
    Pending,
    Confirmed,
    Shipped,
    Delivered,
    Cancelled,
}

impl OrderStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

page_of!(OrderPage, "OrderPage", Order);

impl OrderPage {
    pub(super) fn of(
        session: &Session,
        user: Option<&str>,
        status: Option<OrderStatus>,
        first: i32,
        after: Option<&str>,
    ) -> Result<Option<Self>, Failure> {
        session.caller.check_known()?;
        let more = [("userId", user), ("status", status.map(OrderStatus::name))];
        session.get(ORDERS, &page_query(first, after, &more)?).map(|page| Some(Self(Arc::new(page))))
    }
}

#[derive(Debug, Default)]
pub(crate) struct OrderQuery;

#[Object]
impl OrderQuery {
    /// An order, if it is one's own.
    #[graphql(complexity = "cost(20, 1, child_complexity)")]
    async fn order(&self, context: &Context<'_>, id: ID) -> Option<Order> {
        let found = async {
            let session = session(context)?;
            session.caller.check_known()?;
            check_id(&id)?;
            session.get(ORDERS, &format!("/{}", *id)).map(Some).or_else(none_if_not_found)
        };
        or_null(context, found).await
    }

    /// One's own orders, or all of them for administrators; the newest first.
    #[graphql(complexity = "cost(5, first, child_complexity)")]
    async fn orders(
        &self,
        context: &Context<'_>,
        user_id: Option<ID>,
        status: Option<OrderStatus>,
        #[graphql(default = 20)] first: i32,
        after: Option<String>,
    ) -> Option<OrderPage> {
        let user = user_id.as_ref().map(|id| id.as_str());
        let found = async { OrderPage::of(session(context)?, user, status, first, after.as_deref()) };
        or_null(context, found).await
    }
}

/// What somebody has ordered.
#[Object]
impl Order {
    async fn id(&self) -> ID {
        ID::from(&self.id)
    }

    async fn status(&self) -> OrderStatus {
        self.status
    }

    /// After discounts.
    async fn total(&self) -> Money {
        Money::new(self.total, &self.currency)
    }

    async fn user_id(&self) -> ID {
        ID::from(&self.user_id)
    }

    /// Null if there is no such user any more.
    async fn user(&self, context: &Context<'_>) -> Option<User> {
        or_null(context, async { session(context)?.user(&self.user_id).await }).await
    }

    #[graphql(complexity = "cost(1, TYPICAL_ITEMS, child_complexity)")]
    async fn items(&self) -> Vec<OrderItem<'_>> {
        self.items.iter().map(|item| OrderItem { item, currency: &self.currency }).collect()
    }

    async fn tracking_number(&self) -> Option<&str> {
        self.tracking_number.as_deref()
    }

    /// Why it was cancelled.
    async fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// RFC 3339
    async fn created_at(&self) -> &str {
        &self.created_at
    }
}

#[derive(Debug)]
struct OrderItem<'a> {
    item: &'a Item,
    currency: &'a str,
}

/// One product in an order.
#[Object]
impl OrderItem<'_> {
    async fn product_id(&self) -> ID {
        ID::from(&self.item.product_id)
    }

    /// As it is in the catalog today.
    async fn product(&self, context: &Context<'_>) -> Option<Product> {
        or_null(context, async { session(context)?.product(&self.item.product_id).await }).await
    }

    async fn quantity(&self) -> i32 {
        self.item.quantity
    }

    /// As it was when the order was made.
    async fn unit_price(&self) -> Money {
        Money::new(self.item.unit_price, self.currency)
    }
}
