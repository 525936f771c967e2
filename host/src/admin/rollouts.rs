//! Rollouts, as operators see and steer them.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/rollouts` | all of them |
//! | `GET /api/rollouts/{service}` | one; 404 without it |
//! | `POST /api/rollouts/{service}/promote`, `abort`, `rollback` | the same after it was done; 409 when there is nothing to do it to |
//!
//! `{service}` is `orders`, or `orders@2` for the file `orders@2.wasm`.

use http::header::ALLOW;
use http::{HeaderValue, Method, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Admin, Answer, respond, text, whole};
use crate::registry::{Order, OrderError, RolloutRecord};

const PATH: &str = "/api/rollouts";

/// What `GET /api/rollouts` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutList {
    /// One for each file of a service, by name.
    pub rollouts: Vec<RolloutRecord>,
}

impl Admin {
    /// The answer, if this path is about rollouts.
    pub(super) fn rollouts(&self, method: &Method, path: &str) -> Option<Response<Answer>> {
        let rest = path.strip_prefix(PATH)?;
        let parts: Vec<&str> = if rest.is_empty() { Vec::new() } else { rest.strip_prefix('/')?.split('/').collect() };
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let answer = match parts.as_slice() {
            [] if reads => json(&RolloutList { rollouts: self.rollouts.rollouts() }),
            [name] if reads => told(self.rollouts.rollout(name)),
            [name, word] if *method == Method::POST => match Order::parse(word) {
                Some(order) => told(self.rollouts.order(name, order)),
                None => text(StatusCode::NOT_FOUND, "a rollout can promote, abort and rollback\n"),
            },
            [] | [_] => only("GET, HEAD"),
            [_, word] if Order::parse(word).is_some() => only("POST"),
            [_, ..] => return None,
        };
        Some(answer)
    }
}

fn told(result: Result<RolloutRecord, OrderError>) -> Response<Answer> {
    match result {
        Ok(record) => json(&record),
        Err(error) => {
            let status = match error {
                OrderError::Unknown(_) => StatusCode::NOT_FOUND,
                OrderError::Ambiguous { .. } | OrderError::NoCanary(_) | OrderError::NothingRetained(_) => {
                    StatusCode::CONFLICT
                }
            };
            said(status, format!("{error}\n"))
        }
    }
}

fn json(value: &impl Serialize) -> Response<Answer> {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => respond(StatusCode::OK, "application/json", body.into()).map(whole),
        Err(error) => said(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn only(methods: &'static str) -> Response<Answer> {
    let mut response = said(StatusCode::METHOD_NOT_ALLOWED, format!("only {methods}\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn said(status: StatusCode, text: String) -> Response<Answer> {
    respond(status, "text/plain; charset=utf-8", text.into()).map(whole)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::super::tests::{admin, get};
    use super::*;
    use crate::gateway::Rollouts;

    /// Knows one service without a canary, and what it was ordered.
    #[derive(Debug, Default)]
    pub(in crate::admin) struct Fake(Mutex<Vec<Order>>);

    impl Rollouts for Fake {
        fn rollouts(&self) -> Vec<RolloutRecord> {
            self.rollout("orders").into_iter().collect()
        }

        fn rollout(&self, name: &str) -> Result<RolloutRecord, OrderError> {
            if name != "orders" {
                return Err(OrderError::Unknown(name.to_owned()));
            }
            Ok(RolloutRecord {
                name: name.to_owned(),
                file: "orders.wasm".to_owned(),
                stable: None,
                candidate: None,
                retained: Vec::new(),
                rejected: None,
                history: Vec::new(),
            })
        }

        fn order(&self, name: &str, order: Order) -> Result<RolloutRecord, OrderError> {
            self.0.lock().unwrap().push(order);
            match order {
                Order::Promote => self.rollout(name),
                Order::Abort => Err(OrderError::NoCanary(name.to_owned())),
                Order::Rollback => Err(OrderError::NothingRetained(name.to_owned())),
            }
        }
    }

    #[test]
    fn orders_need_post_and_reading_needs_get() {
        let admin = admin(true);
        let status = |method: Method, path: &str| admin.rollouts(&method, path).map(|answer| answer.status().as_u16());
        assert_eq!(status(Method::GET, "/api/rollouts"), Some(200));
        assert_eq!(status(Method::GET, "/api/rollouts/orders"), Some(200));
        assert_eq!(status(Method::GET, "/api/rollouts/users"), Some(404));
        assert_eq!(status(Method::POST, "/api/rollouts"), Some(405));
        assert_eq!(status(Method::POST, "/api/rollouts/orders"), Some(405));
        assert_eq!(status(Method::GET, "/api/rollouts/orders/promote"), Some(405));
        assert_eq!(status(Method::POST, "/api/rollouts/orders/promote"), Some(200));
        assert_eq!(status(Method::POST, "/api/rollouts/orders/abort"), Some(409));
        assert_eq!(status(Method::POST, "/api/rollouts/orders/rollback"), Some(409));
        assert_eq!(status(Method::POST, "/api/rollouts/orders/delete"), Some(404));
        assert_eq!(status(Method::GET, "/api/rolloutsx"), None);
        assert_eq!(status(Method::GET, "/api/services"), None);
        assert_eq!(status(Method::GET, "/api/rollouts/orders/promote/x"), None);
    }

    #[tokio::test]
    async fn no_web_page_can_give_orders_by_a_name_that_is_not_loopback() {
        assert_eq!(get(&admin(true), "/api/rollouts", "evil.example").await, 403);
        assert_eq!(get(&admin(true), "/api/rollouts", "localhost").await, 200);
    }
}
