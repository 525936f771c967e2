//! An event as an HTTP request: a CloudEvent 1.0 in binary mode.
//!
//! What only Wharf knows (topic, subscription, place, try) stands in `x-wharf-` headers, which nobody outside can send to
//! a service. How attributes become headers is `capability::cloud_event`'s.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};

use crate::capability::cloud_event;
use crate::capability::delivery::Delivery;
use crate::state::Event;

/// The POST that delivers it.
pub(super) fn request(service: &str, path: &str, delivery: Delivery) -> Option<Request<Bytes>> {
    let event = Arc::clone(&delivery.event.event);
    let mut request = Request::new(event.data.clone());
    *request.method_mut() = Method::POST;
    let parts = Uri::builder().scheme("http").authority(format!("{service}.internal")).path_and_query(path);
    *request.uri_mut() = parts.build().ok()?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(event.data.len()));
    cloud_event::write_binary(&event, headers);
    trace(&event, headers);
    for (name, value) in [
        ("x-wharf-topic", event.topic.clone()),
        ("x-wharf-subscription", delivery.subscription.to_string()),
        ("x-wharf-offset", delivery.event.offset.0.to_string()),
        ("x-wharf-attempt", delivery.attempt.to_string()),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    request.extensions_mut().insert(delivery);
    Some(request)
}

/// The trace goes on where it was published.
fn trace(event: &Event, headers: &mut HeaderMap) {
    for name in ["traceparent", "tracestate"] {
        if let Some(Ok(value)) = event.extensions.get(name).map(HeaderValue::try_from) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::state::{Offset, StoredEvent};

    fn delivery() -> Delivery {
        let event = Event {
            id: "1".into(),
            source: "/services/orders".into(),
            kind: "order.created".into(),
            topic: "order.created".into(),
            subject: Some("Ünï \"100%\"\r\nx-evil: 1".into()),
            key: Some("k".into()),
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1500),
            content_type: Some("application/json".into()),
            schema: None,
            extensions: [
                ("traceparent".into(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
                ("correlationid".into(), "c 1".into()),
            ]
            .into(),
            data: Bytes::from_static(b"{}"),
        };
        let event = StoredEvent { offset: Offset(7), published: SystemTime::UNIX_EPOCH, event: Arc::new(event) };
        Delivery { subscription: "order.#".into(), attempt: 2, event }
    }

    #[test]
    fn a_delivery_is_a_cloud_event_in_binary_mode() {
        let request = request("mail", "/events?a=b", delivery()).unwrap();
        assert_eq!(
            (request.method(), request.uri().to_string()),
            (&Method::POST, "http://mail.internal/events?a=b".into())
        );
        let mut headers: Vec<String> =
            request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        headers.sort();
        assert_eq!(
            headers,
            [
                "ce-correlationid: c%201",
                "ce-id: 1",
                "ce-partitionkey: k",
                "ce-source: /services/orders",
                "ce-specversion: 1.0",
                "ce-subject: %C3%9Cn%C3%AF%20%22100%25%22%0D%0Ax-evil:%201",
                "ce-time: 1970-01-01T00:00:01.5Z",
                "ce-traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "ce-type: order.created",
                "content-length: 2",
                "content-type: application/json",
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "x-wharf-attempt: 2",
                "x-wharf-offset: 7",
                "x-wharf-subscription: order.#",
                "x-wharf-topic: order.created",
            ]
        );
        assert_eq!(request.extensions().get::<Delivery>().unwrap().attempt, 2);
    }
}
