//! Users, and their orders.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};

use super::order::{OrderPage, OrderStatus};
use super::{cost, or_null, page_of, page_query, page_size, session};
use crate::caller::Caller;
use crate::model::User;
use crate::session::{Part, USERS};

page_of!(UserPage, "UserPage", User);

#[derive(Debug, Default)]
pub(crate) struct UserQuery;

#[Object]
impl UserQuery {
    /// Whose token this is; null without one.
    #[graphql(complexity = "cost(5, 1, child_complexity)")]
    async fn me(&self, context: &Context<'_>) -> Option<User> {
        let found = async {
            let session = session(context)?;
            match &session.caller {
                Caller::User { id, .. } => session.user(id).await,
                Caller::Anonymous | Caller::Inside => Ok(None),
            }
        };
        or_null(context, found).await
    }

    /// A user: oneself, or anybody for administrators.
    #[graphql(complexity = "cost(5, 1, child_complexity)")]
    async fn user(&self, context: &Context<'_>, id: ID) -> Option<User> {
        or_null(context, async { session(context)?.user(&id).await }).await
    }

    /// Users in the order of their registration, for administrators.
    #[graphql(complexity = "cost(5, first, child_complexity)")]
    async fn users(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20)] first: i32,
        after: Option<String>,
    ) -> Option<UserPage> {
        let found = async {
            let session = session(context)?;
            session.caller.check_known()?;
            let path = page_query(first, after.as_deref(), &[])?;
            session.get(USERS, &path).map(|page| Some(UserPage(Arc::new(page))))
        };
        or_null(context, found).await
    }
}

/// A customer of the shop.
#[Object]
impl User {
    async fn id(&self) -> ID {
        ID::from(&self.id)
    }

    async fn username(&self) -> &str {
        &self.username
    }

    async fn email(&self) -> &str {
        &self.email
    }

    async fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// RFC 3339
    async fn created_at(&self) -> &str {
        &self.created_at
    }

    /// The orders of this user, the newest first. Those of all users of a query are asked for together.
    #[graphql(complexity = "cost(1, first, child_complexity)")]
    async fn orders(
        &self,
        context: &Context<'_>,
        status: Option<OrderStatus>,
        #[graphql(default = 20)] first: i32,
        after: Option<String>,
    ) -> Option<OrderPage> {
        let found = async {
            let part = Part { status, first: page_size(first)?, after };
            let page = session(context)?.orders_of(&self.id, part).await?;
            Ok(page.map(OrderPage))
        };
        or_null(context, found).await
    }
}
