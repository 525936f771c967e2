//! `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`: what the service is told about the client, and who the client is.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use http::header::GetAll;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// What begins like this can only be said by a proxy.
const PROXY_PREFIX: &[u8] = b"x-forwarded-";
/// Other headers that are ours to say; with `-`, as in [`belongs_to_proxies`].
const PROXY_NAMES: [&[u8]; 4] = [b"x-real-ip", b"x-request-id", b"x-wharf-mirror", b"forwarded"];

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientIp {
    /// The client's address: the peer's, or the one its trusted proxies name. IPv4 is never written as IPv6.
    pub(crate) address: IpAddr,
    /// Whether the peer itself is a trusted proxy.
    pub(crate) peer_trusted: bool,
}

/// Puts the forwarding headers in order and tells who the client is. `host` is the request's authority as the client
/// sent it; `scheme` and `listener_port` are how it reached us.
pub(crate) fn forward(
    headers: &mut HeaderMap,
    peer: SocketAddr,
    scheme: &str,
    host: Option<&str>,
    listener_port: u16,
    trusted: &[IpNet],
) -> ClientIp {
    let peer = peer.ip().to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let peer_trusted = is_trusted(peer);
    drop_unbelievable(headers, peer_trusted);

    let address = if peer_trusted {
        let (client, chain) = walk(headers.get_all(X_FORWARDED_FOR), peer, is_trusted);
        set(headers, X_FORWARDED_FOR, HeaderValue::from_str(&chain).ok());
        client
    } else {
        set(headers, X_FORWARDED_FOR, address_value(peer));
        peer
    };
    if !said_well(headers, &X_FORWARDED_PROTO, |said| said == b"http" || said == b"https") {
        let value = match scheme {
            "http" => Some(const { HeaderValue::from_static("http") }),
            "https" => Some(const { HeaderValue::from_static("https") }),
            other => HeaderValue::from_str(other).ok(),
        };
        set(headers, X_FORWARDED_PROTO, value);
    }
    let is_host_byte = |b: &u8| b.is_ascii_alphanumeric() || b".-_:[]~%".contains(b);
    if !said_well(headers, &X_FORWARDED_HOST, |said| !said.is_empty() && said.iter().all(is_host_byte)) {
        set(headers, X_FORWARDED_HOST, host.and_then(|host| HeaderValue::from_str(host).ok()));
    }
    if !said_well(headers, &X_FORWARDED_PORT, |said| std::str::from_utf8(said).is_ok_and(|s| s.parse::<u16>().is_ok()))
    {
        set(headers, X_FORWARDED_PORT, Some(listener_port.into()));
    }
    ClientIp { address, peer_trusted }
}

/// Removes what the peer may not say. From a trusted one that is only what hides behind `_`.
fn drop_unbelievable(headers: &mut HeaderMap, peer_trusted: bool) {
    let unbelievable = |name: &&HeaderName| {
        let alias = name.as_str().contains('_');
        // The request id is replaced by its own function; only its aliases are taken care of here.
        belongs_to_proxies(name) && (alias || (!peer_trusted && *name != super::X_REQUEST_ID))
    };
    if headers.keys().any(|name| unbelievable(&name)) {
        let names: Vec<HeaderName> = headers.keys().filter(unbelievable).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// Whether a name is one of ours, with `_` counting as `-`.
pub(super) fn belongs_to_proxies(name: &HeaderName) -> bool {
    let same = |sent: &[u8], ours: &[u8]| {
        sent.len() == ours.len() && sent.iter().zip(ours).all(|(s, o)| s == o || (*s == b'_' && *o == b'-'))
    };
    let name = name.as_str().as_bytes();
    name.get(..PROXY_PREFIX.len()).is_some_and(|start| same(start, PROXY_PREFIX))
        || PROXY_NAMES.iter().any(|ours| same(name, ours))
}

/// Walks the list from the right over trusted hops. Returns the client and the list as it is passed on: from the client
/// to the peer.
fn walk(sent: GetAll<'_, HeaderValue>, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> (IpAddr, String) {
    let mut hops = vec![peer];
    let mut client = peer;
    let lines = sent.iter().rev().map(|line| line.to_str().unwrap_or_default());
    for entry in lines.flat_map(|line| line.rsplit(',')).map(str::trim).filter(|entry| !entry.is_empty()) {
        if !is_trusted(client) {
            break;
        }
        // A trusted hop that names no address leaves us with the hop itself.
        let Some(address) = parse_address(entry) else { break };
        client = address;
        hops.push(address);
    }
    let chain: Vec<String> = hops.iter().rev().map(IpAddr::to_string).collect();
    (client, chain.join(", "))
}

/// An address, maybe with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn parse_address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse::<IpAddr>().or_else(|_| entry.parse::<SocketAddr>().map(|with_port| with_port.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Whether the header is there once and `good`. What an untrusted peer said is gone already.
fn said_well(headers: &HeaderMap, name: &HeaderName, good: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = headers.get_all(name).iter();
    matches!((values.next(), values.next()), (Some(value), None) if good(value.as_bytes()))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

fn address_value(address: IpAddr) -> Option<HeaderValue> {
    // Longest: an IPv6 address with an IPv4 tail, 45 bytes.
    let mut buffer = [0_u8; 64];
    let mut left = buffer.as_mut_slice();
    write!(left, "{address}").ok()?;
    let unused = left.len();
    let used = buffer.len().checked_sub(unused)?;
    HeaderValue::from_bytes(buffer.get(..used)?).ok()
}
