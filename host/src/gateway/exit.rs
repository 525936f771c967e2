//! What is known of a request when its response is gone: one line of the access log.
//!
//! Filled on the way and written by `Drop`, because a response can end in many places: at its last byte, when the
//! client leaves, when the guest breaks off, when the connection's task is dropped.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::error::{CLIENT_GONE, GatewayError};
use super::headers::{RequestId, Trace};
use crate::telemetry::{AccessLog, REDACTED, Record};

/// A request on its way out.
pub(super) struct Exit {
    log: Arc<AccessLog>,
    arrived: Instant,
    record: Record,
    /// What the response's headers promise.
    expected: Option<u64>,
}

impl Exit {
    pub(super) fn new(log: Arc<AccessLog>, parts: &Parts, arrived: Instant) -> Self {
        let text = |name| parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let host = parts.uri.authority().map(|authority| authority.as_str().to_owned()).or_else(|| text(HOST));
        let record = Record {
            timestamp: jiff::Timestamp::now(),
            method: parts.method.as_str().to_owned(),
            host: host.unwrap_or_default(),
            path: parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default(),
            protocol: parts.version,
            user_agent: text(USER_AGENT),
            // Until somebody knows better; a client that leaves early is never answered.
            reason: Some(CLIENT_GONE),
            ..Record::default()
        };
        Self { log, arrived, record, expected: None }
    }

    pub(super) fn client(&mut self, address: IpAddr, request_id: &RequestId, trace: &Trace) {
        self.record.trace_id = Some(trace.id().into());
        self.record.client_ip = Some(address);
        self.record.request_id = request_id.as_str().to_owned();
    }

    /// The client is a service.
    pub(super) fn called_by(&mut self, caller: &Arc<str>, callee: &Arc<str>, request_id: &RequestId, trace: &Trace) {
        self.record.trace_id = Some(trace.id().into());
        self.record.request_id = request_id.as_str().to_owned();
        self.record.caller = Some(Arc::clone(caller));
        self.record.service = Some(Arc::clone(callee));
    }

    /// The host delivers an event for this subscription.
    pub(super) fn delivers(&mut self, subscription: &str, service: &Arc<str>, request_id: &RequestId, trace: &Trace) {
        self.record.trace_id = Some(trace.id().into());
        self.record.request_id = request_id.as_str().to_owned();
        self.record.route = Some(format!("subscription:{subscription}").into());
        self.record.service = Some(Arc::clone(service));
    }

    /// A service asks a host outside.
    pub(super) fn called_out(&mut self, caller: &Arc<str>, request_id: &Arc<str>, trace: &Trace) {
        self.record.trace_id = Some(trace.id().into());
        self.record.request_id = request_id.to_string();
        self.record.caller = Some(Arc::clone(caller));
    }

    /// It has no response, and never had a service's.
    pub(super) fn refused(&mut self, error: &GatewayError) {
        self.record.status = error.status().as_u16();
        self.failed(error);
    }

    pub(super) fn routed(&mut self, route: &Arc<str>, service: Option<&Arc<str>>) {
        self.record.route = Some(Arc::clone(route));
        self.record.service = service.map(Arc::clone);
    }

    /// Credentials in these parameters of the query are not for the log. Names that speak of a secret are not shown there
    /// in any case; these are called whatever the configuration calls them.
    pub(super) fn conceal<'n>(&mut self, parameters: impl Iterator<Item = &'n str>) {
        for parameter in parameters {
            let Some((path, query)) = self.record.path.split_once('?') else { return };
            let shown = |pair: &'_ str| match pair.split_once('=') {
                Some((name, _)) if percent_decode_str(&name.replace('+', " ")).eq(parameter.bytes()) => {
                    format!("{name}={REDACTED}")
                }
                _ => pair.to_owned(),
            };
            let query: Vec<String> = query.split('&').map(shown).collect();
            self.record.path = format!("{path}?{}", query.join("&"));
        }
    }

    /// Who the client proved to be.
    pub(super) fn identified(&mut self, subject: &str) {
        self.record.subject = Some(subject.into());
    }

    /// Somebody else is asked in the service's place; nobody, if the answer is a fixed one.
    pub(super) fn falls_back(&mut self, service: Option<&Arc<str>>) {
        // No service has a name with a space.
        self.record.fallback = Some(service.map_or_else(|| "fixed response".into(), Arc::clone));
    }

    /// Empty for instances of no known version.
    pub(super) fn version(&mut self, label: &Arc<str>) {
        self.record.version = (!label.is_empty()).then(|| Arc::clone(label));
    }

    pub(super) fn failed(&mut self, error: &GatewayError) {
        self.record.reason = Some(error.reason());
    }

    /// The head is on its way; when no body follows, nobody will ask for one.
    pub(super) fn answered<B>(&mut self, response: &Response<B>, has_no_body: bool) {
        self.record.status = response.status().as_u16();
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        self.expected = length.and_then(|length| length.parse().ok());
        if has_no_body {
            self.complete(0);
        }
    }

    /// Bytes of the body are on their way; the request's body was read up to `received`.
    pub(super) fn sent(&mut self, bytes: usize, received: u64) {
        self.record.bytes_out += bytes as u64;
        // Nobody reads on to see the end.
        if self.expected == Some(self.record.bytes_out) {
            self.complete(received);
        }
    }

    /// An instance is asked, maybe not for the first time.
    pub(super) fn tried(&mut self, instance: &Arc<str>) {
        self.record.attempts += 1;
        self.record.instance = Some(Arc::clone(instance));
    }

    /// It gave the head of its response, or none, after so long.
    pub(super) fn called(&mut self, took: Duration) {
        let before = self.record.upstream.unwrap_or_default();
        self.record.upstream = Some(before + took);
    }

    /// The whole response was handed over, and so many bytes of the request were read.
    pub(super) fn complete(&mut self, received: u64) {
        self.record.bytes_in = received;
        if self.record.reason == Some(CLIENT_GONE) {
            self.record.reason = None;
        }
    }

    pub(super) fn broke_off(&mut self, error: &GatewayError) {
        self.record.reason = Some(error.reason());
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        self.record.duration = self.arrived.elapsed();
        self.log.log(std::mem::take(&mut self.record));
    }
}

impl std::fmt::Debug for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exit").field("record", &self.record).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;

    #[test]
    fn credentials_in_the_query_are_not_logged_whatever_they_are_called() {
        for (sent, logged) in [
            ("/a?x=1&ticket=s3cret&y", "/a?x=1&ticket=REDACTED&y"),
            ("/a?t%69cket=s3cret&ticket=s3cret", "/a?t%69cket=REDACTED&ticket=REDACTED"),
            ("/a?my+pass=s3cret", "/a?my+pass=REDACTED"),
            ("/a?tickets=2&ticket", "/a?tickets=2&ticket"),
            ("/ticket=2", "/ticket=2"),
        ] {
            let log = Arc::new(AccessLog::start(LogFormat::Json, Box::new(std::io::sink())));
            let (parts, ()) = http::Request::get(sent).body(()).unwrap().into_parts();
            let mut exit = Exit::new(log, &parts, Instant::now());
            exit.conceal(["ticket", "my pass"].into_iter());
            assert_eq!(exit.record.path, logged);
        }
    }
}
