//! Bounds on connections: how many there may be, how long a client may keep us waiting, and how much it may send.
//!
//! Every bound is on and has a default that ordinary browsers, command line clients and proxies never meet. The
//! defaults follow Envoy's advice for edge proxies (streams and windows), hyper's own (headers) and what nginx, Kong
//! and Traefik agree on (timeouts). There is no way to wait for ever: a timeout of zero is refused.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::units::{Duration, Size};

const TIMEOUT: RangeInclusive<Duration> = Duration::millis(10)..=Duration::secs(3600);
const CONNECTIONS: RangeInclusive<u32> = 1..=1_000_000;
const PER_CLIENT: RangeInclusive<u32> = 0..=1_000_000;
const REQUESTS: RangeInclusive<u32> = 1..=1_000_000_000;
const HEADERS: RangeInclusive<u32> = 10..=1000;
/// hyper's buffer has at least 8 KiB.
const HEAD: RangeInclusive<Size> = Size::kib(8)..=Size::mib(1);
const RATE: RangeInclusive<Size> = Size::bytes(0)..=Size::mib(1);
const STREAMS: RangeInclusive<u32> = 1..=10_000;
const STREAM_WINDOW: RangeInclusive<Size> = Size::kib(16)..=Size::mib(16);
/// HTTP/2 gives every connection 65,535 bytes before anybody can say otherwise.
const CONNECTION_WINDOW: RangeInclusive<Size> = Size::kib(64)..=Size::mib(64);
const CONTROL_FRAMES: RangeInclusive<u32> = 10..=1_000_000;

/// Bounds on connections of all public listeners. New values are for new connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Connections {
    /// Connections that a listener holds at once; who comes then is closed at once. 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_per_listener: u32,
    /// Connections that one client address (IPv6: one /64) holds at a listener at once. 0 for no such bound. The
    /// address is the peer's: behind a proxy it is the proxy's.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_per_client: u32,
    /// Time for the TLS handshake.
    pub tls_handshake_timeout: Duration,
    /// Time until the first byte of a connection.
    pub first_byte_timeout: Duration,
    /// Time for the head of a request, from its first byte. For HTTP/2 also for the connection's preface.
    pub head_timeout: Duration,
    /// How long a connection is kept on which no request runs.
    pub idle_timeout: Duration,
    /// Time between two pieces of a request body while somebody waits for it.
    pub body_timeout: Duration,
    /// Bytes a second that a request body must have on average after its first ten seconds. `0B` for no such bound.
    pub min_rate: Size,
    /// Time in which a client must take some of the response that waits for it.
    pub write_timeout: Duration,
    /// Requests after which a connection is ended, politely. 1 to 1000000000.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_requests: u32,
    /// Header lines of a request. 10 to 1000.
    #[schemars(range(min = 10, max = 1000))]
    pub max_headers: u32,
    /// Bytes of a request's head. 8KiB to 1MiB.
    pub head_bytes: Size,
    /// Bounds of HTTP/2.
    pub http2: Http2,
}

/// Bounds of HTTP/2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Http2 {
    /// Requests at once on one connection. 1 to 10000.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_streams: u32,
    /// Bytes of one request's body that may be on their way unread. 16KiB to 16MiB.
    pub stream_window: Size,
    /// Bytes of all request bodies of a connection that may be on their way unread. 64KiB to 64MiB.
    pub connection_window: Size,
    /// How often a quiet client is asked whether it is still there.
    pub keep_alive_interval: Duration,
    /// How long it may take to answer that.
    pub keep_alive_timeout: Duration,
    /// PING, SETTINGS and the like that a client may send in ten seconds beyond what requests and responses give it
    /// reason to. 10 to 1000000.
    #[schemars(range(min = 10, max = 1_000_000))]
    pub max_control_frames: u32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max_per_listener: 10_000,
            max_per_client: 2500,
            tls_handshake_timeout: Duration::secs(10),
            first_byte_timeout: Duration::secs(10),
            head_timeout: Duration::secs(10),
            idle_timeout: Duration::secs(60),
            body_timeout: Duration::secs(30),
            min_rate: Size::bytes(0),
            write_timeout: Duration::secs(30),
            max_requests: 10_000,
            max_headers: 100,
            head_bytes: Size::kib(64),
            http2: Http2::default(),
        }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_streams: 100,
            stream_window: Size::kib(64),
            connection_window: Size::mib(1),
            keep_alive_interval: Duration::secs(20),
            keep_alive_timeout: Duration::secs(10),
            max_control_frames: 200,
        }
    }
}

impl Connections {
    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("maxPerListener"), &self.max_per_listener, &CONNECTIONS);
        check.within(at.get("maxPerClient"), &self.max_per_client, &PER_CLIENT);
        for (field, timeout) in [
            ("tlsHandshakeTimeout", self.tls_handshake_timeout),
            ("firstByteTimeout", self.first_byte_timeout),
            ("headTimeout", self.head_timeout),
            ("idleTimeout", self.idle_timeout),
            ("bodyTimeout", self.body_timeout),
            ("writeTimeout", self.write_timeout),
        ] {
            check.within(at.get(field), &timeout, &TIMEOUT);
        }
        check.within(at.get("minRate"), &self.min_rate, &RATE);
        check.within(at.get("maxRequests"), &self.max_requests, &REQUESTS);
        check.within(at.get("maxHeaders"), &self.max_headers, &HEADERS);
        check.within(at.get("headBytes"), &self.head_bytes, &HEAD);
        let (http2, at) = (&self.http2, at.get("http2"));
        check.within(at.get("maxStreams"), &http2.max_streams, &STREAMS);
        check.within(at.get("streamWindow"), &http2.stream_window, &STREAM_WINDOW);
        check.within(at.get("connectionWindow"), &http2.connection_window, &CONNECTION_WINDOW);
        check.within(at.get("keepAliveInterval"), &http2.keep_alive_interval, &TIMEOUT);
        check.within(at.get("keepAliveTimeout"), &http2.keep_alive_timeout, &TIMEOUT);
        check.within(at.get("maxControlFrames"), &http2.max_control_frames, &CONTROL_FRAMES);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"{
    "maxPerListener": 5, "maxPerClient": 2, "tlsHandshakeTimeout": "1s", "firstByteTimeout": "1s",
    "headTimeout": "1s", "idleTimeout": "1s", "bodyTimeout": "1s", "minRate": "240B", "writeTimeout": "1s",
    "maxRequests": 5, "maxHeaders": 50, "headBytes": "16KiB",
    "http2": {
        "maxStreams": 5, "streamWindow": "32KiB", "connectionWindow": "128KiB", "keepAliveInterval": "5s",
        "keepAliveTimeout": "1s", "maxControlFrames": 50
    }
}"#;
