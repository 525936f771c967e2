//! Answers without a service: the working form of `staticResponse`. Built once; an answer copies headers and shares the
//! body.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::config;

/// The answer.
#[derive(Debug)]
pub(crate) struct StaticResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl StaticResponse {
    pub(crate) fn new(config: &config::StaticResponse) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        if let (Some(_), Ok(media_type)) = (&config.body, HeaderValue::from_str(&config.content_type)) {
            headers.insert(CONTENT_TYPE, media_type);
        }
        Self {
            status: StatusCode::from_u16(config.status).unwrap_or_default(),
            headers,
            body: config.body.clone().unwrap_or_default().into(),
        }
    }

    /// A copy to send. `Content-Length` is the server's to add, and to leave the body out for `HEAD`.
    pub(crate) fn answer(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_configured() {
        let text = r#"{ "status": 503, "headers": { "Retry-After": "60" }, "body": "{}", "contentType": "a/b" }"#;
        let answer = StaticResponse::new(&serde_json::from_str(text).unwrap()).answer();
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (503, &b"{}"[..]));
        assert_eq!(answer.headers()["retry-after"], "60");
        assert_eq!(answer.headers()[CONTENT_TYPE], "a/b");
    }

    #[test]
    fn without_a_body_there_is_no_media_type() {
        let answer = StaticResponse::new(&serde_json::from_str("{}").unwrap()).answer();
        assert_eq!((answer.status().as_u16(), answer.headers().len(), answer.body().len()), (200, 0, 0));
    }
}
