//! Real sockets, real handshakes, certificates made here.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::gateway::Connection;
use crate::server::{Handler, Listeners};

const LIMIT: Duration = Duration::from_secs(10);

/// Tells the client what it came in by.
struct Tell;

impl Handler for Tell {
    type Body = Full<Bytes>;

    async fn handle(self: Arc<Self>, connection: Connection, _request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Connection { listener, secure, .. } = connection;
        let text = match secure {
            None => format!("{listener} plain"),
            Some(secure) => {
                let client = secure.client_certificate.as_ref();
                let client = client.map_or("nobody".to_owned(), |it| format!("{} {}", it.subject, it.sans.join(",")));
                let name = secure.server_name.as_deref().unwrap_or("-");
                format!("{listener} {name} {} {client}", secure.version)
            }
        };
        Response::new(Full::new(text.into()))
    }
}

/// An authority, and what it issues.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

struct Issued {
    cert: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { cert: certificate.pem(), key: key.serialize_pem() }
    }

    fn server(&self, names: &[&str]) -> Issued {
        self.issue(names, |_| {})
    }

    fn client(&self, name: &str) -> Issued {
        self.issue(&[], |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.subject_alt_names.push(SanType::URI(format!("spiffe://test/{name}").try_into().unwrap()));
        })
    }

    /// A client that believes this authority.
    fn believer(&self) -> Client {
        Client { roots: self.der.clone(), identity: None, versions: TLS_1_2, alpn: &[HTTP1] }
    }
}

#[derive(Clone)]
struct Client {
    roots: CertificateDer<'static>,
    identity: Option<Arc<Issued>>,
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: &'static [&'static [u8]],
}

impl Client {
    fn with(&self, identity: Issued) -> Self {
        Self { identity: Some(Arc::new(identity)), ..self.clone() }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.roots.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let chain = CertificateDer::pem_slice_iter(issued.cert.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config
    }

    async fn connect(&self, address: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.config()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let socket = TcpStream::connect(address).await?;
        tokio::time::timeout(LIMIT, connector.connect(name, socket)).await.expect("the handshake hangs")
    }

    /// What the handler tells on a new connection.
    async fn ask(&self, address: SocketAddr, name: &str) -> Result<String, String> {
        let stream = self.connect(address, name).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        ask(&mut sender).await
    }
}

async fn ask(sender: &mut SendRequest<Empty<Bytes>>) -> Result<String, String> {
    let exchange = async {
        sender.ready().await.map_err(|error| error.to_string())?;
        let request = Request::get("/").header("host", "a").body(Empty::new()).unwrap();
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
    };
    tokio::time::timeout(LIMIT, exchange).await.expect("no answer")
}

fn put(dir: &Path, name: &str, issued: &Issued) {
    std::fs::write(dir.join(format!("{name}.pem")), &issued.cert).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), &issued.key).unwrap();
}

/// A listener at a free port with these certificates, from files in `dir`.
fn listener(dir: &Path, certificates: &[&str], more: serde_json::Value) -> config::Listener {
    let path = |name: String| dir.join(name).to_str().unwrap().to_owned();
    let files = certificates
        .iter()
        .map(|name| serde_json::json!({ "cert": path(format!("{name}.pem")), "key": path(format!("{name}.key")) }));
    let mut tls = serde_json::json!({ "certificates": files.collect::<Vec<_>>() });
    for (key, value) in more.as_object().unwrap() {
        tls[key] = value.clone();
    }
    serde_json::from_value(serde_json::json!({ "name": "public", "address": "127.0.0.1:0", "tls": tls })).unwrap()
}

/// Opens these, and gives the address of the first.
fn open(wanted: &[config::Listener]) -> (Listeners<Tell>, SocketAddr) {
    let listeners = Listeners::new(Arc::new(Tell));
    apply(&listeners, wanted).unwrap();
    let address = listeners.addresses()[&wanted[0].name];
    (listeners, address)
}

fn apply(listeners: &Listeners<Tell>, wanted: &[config::Listener]) -> Result<(), String> {
    let prepared = listeners.prepare(wanted, &config::Connections::default()).map_err(|error| error.to_string())?;
    listeners.commit(prepared, LIMIT);
    Ok(())
}

/// The common way: an authority, its certificate for `localhost` as `a`, a listener.
fn simple(more: serde_json::Value) -> (tempfile::TempDir, Authority, config::Listener) {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority"));
    put(dir.path(), "a", &authority.server(&["localhost"]));
    std::fs::write(dir.path().join("ca.pem"), &authority.pem).unwrap();
    let wanted = listener(dir.path(), &["a"], more);
    (dir, authority, wanted)
}

/// The first name in the certificate that the server shows.
fn shown(stream: &TlsStream<TcpStream>) -> String {
    let certificates = stream.get_ref().1.peer_certificates().unwrap();
    x509::facts(&certificates[0]).unwrap().dns_names[0].clone()
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority"));
    put(dir.path(), "first", &authority.server(&["first.test", "unknown.other"]));
    put(dir.path(), "wild", &authority.server(&["*.wild.test", "a.b.wild.test"]));
    put(dir.path(), "exact", &authority.server(&["exact.wild.test"]));
    let (_listeners, address) = open(&[listener(dir.path(), &["first", "wild", "exact"], serde_json::json!({}))]);
    for (asked, found) in [
        ("first.test", "first.test"),
        ("any.wild.test", "*.wild.test"),
        ("a.b.wild.test", "*.wild.test"),
        ("exact.wild.test", "exact.wild.test"),
        ("unknown.other", "first.test"),
    ] {
        let stream = authority.believer().connect(address, asked).await.unwrap();
        assert_eq!(shown(&stream), found, "{asked}");
    }
    let unknown = authority.believer().connect(address, "c.d.wild.test").await.unwrap_err();
    assert!(unknown.to_string().contains("not valid for name"), "the first greets, and is not for it: {unknown}");
    // An address is no name that SNI could carry.
    let unnamed = authority.believer().connect(address, "127.0.0.1").await.unwrap_err();
    assert!(unnamed.to_string().contains("not valid for name"), "{unnamed}");
}

#[tokio::test]
async fn http_is_agreed_on_in_the_handshake() {
    let (_dir, authority, wanted) = simple(serde_json::json!({}));
    let (_listeners, address) = open(&[wanted]);
    type Offer = (&'static [&'static [u8]], Option<&'static [u8]>);
    let offers: [Offer; 3] = [(&[H2, HTTP1], Some(H2)), (&[HTTP1], Some(HTTP1)), (&[], None)];
    for (offered, agreed) in offers {
        let client = Client { alpn: offered, ..authority.believer() };
        let stream = client.connect(address, "localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        if agreed == Some(H2) {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            let request = Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.version(), http::Version::HTTP_2);
        } else {
            let told = client.ask(address, "localhost").await.unwrap();
            assert_eq!(told, "public localhost TLSv1.3 nobody");
        }
    }
    let client = Client { alpn: &[b"spdy/1"], ..authority.believer() };
    client.connect(address, "localhost").await.expect_err("there is no protocol in common");
}

#[tokio::test]
async fn versions_older_than_configured_are_refused() {
    const ONLY_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    let (_dir, authority, wanted) = simple(serde_json::json!({}));
    let (_listeners, address) = open(&[wanted]);
    let old = Client { versions: ONLY_1_2, ..authority.believer() };
    assert_eq!(old.ask(address, "localhost").await.unwrap(), "public localhost TLSv1.2 nobody");
    let (_dir, authority, wanted) = simple(serde_json::json!({ "minVersion": "1.3" }));
    let (_listeners, strict) = open(&[wanted]);
    let old = Client { versions: ONLY_1_2, ..authority.believer() };
    let error = old.ask(strict, "localhost").await.unwrap_err();
    assert!(error.contains("ProtocolVersion"), "{error}");
    assert!(authority.believer().ask(strict, "localhost").await.unwrap().contains("TLSv1.3"));

    // TLS 1.1, by hand: version 3.2, one cipher, and the extension without which nobody is talked to.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 1]);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    record.extend(&hello);
    for address in [address, strict] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&record).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(LIMIT, socket.read_to_end(&mut answer)).await.expect("it is closed");
        assert_eq!(answer.first(), Some(&21), "an alert, and nothing else: {answer:?}");
        assert_eq!(answer.get(5), Some(&2), "a fatal one: {answer:?}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_old_ones_live_on() {
    let (dir, authority, wanted) = simple(serde_json::json!({}));
    let (listeners, address) = open(std::slice::from_ref(&wanted));
    let stream = authority.believer().connect(address, "localhost").await.unwrap();
    let (mut old, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    ask(&mut old).await.unwrap();

    put(dir.path(), "a", &authority.server(&["renewed.test", "localhost"]));
    apply(&listeners, std::slice::from_ref(&wanted)).unwrap();
    let stream = authority.believer().connect(address, "localhost").await.unwrap();
    assert_eq!(shown(&stream), "renewed.test");
    ask(&mut old).await.expect("the old connection is not closed");
    assert_eq!(listeners.addresses()["public"], address, "the socket is the same");
}

#[tokio::test]
async fn a_renewal_by_a_swapped_link_is_seen() {
    let (dir, authority, _) = simple(serde_json::json!({}));
    for (version, name) in [("one", "one.test"), ("two", "two.test")] {
        std::fs::create_dir(dir.path().join(version)).unwrap();
        put(&dir.path().join(version), "a", &authority.server(&[name, "localhost"]));
    }
    std::os::unix::fs::symlink("one", dir.path().join("live")).unwrap();
    let wanted = listener(&dir.path().join("live"), &["a"], serde_json::json!({}));
    let (listeners, address) = open(std::slice::from_ref(&wanted));
    assert_eq!(shown(&authority.believer().connect(address, "localhost").await.unwrap()), "one.test");
    std::os::unix::fs::symlink("two", dir.path().join("next")).unwrap();
    std::fs::rename(dir.path().join("next"), dir.path().join("live")).unwrap();
    apply(&listeners, &[wanted]).unwrap();
    assert_eq!(shown(&authority.believer().connect(address, "localhost").await.unwrap()), "two.test");
}

#[tokio::test]
async fn a_broken_renewal_leaves_the_certificate_in_force() {
    let (dir, authority, wanted) = simple(serde_json::json!({}));
    let (listeners, address) = open(std::slice::from_ref(&wanted));
    let other = authority.server(&["localhost"]);
    let (cert, key) = (dir.path().join("a.pem"), dir.path().join("a.key"));
    let good = std::fs::read(&cert).unwrap();
    let mistakes: [(&Path, &[u8], &str); 5] = [
        (&cert, b"nonsense", "a.pem"),
        (&cert, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not valid X.509"),
        (&cert, other.cert.as_bytes(), "does not belong to the certificate"),
        (&key, b"", "has no private key"),
        (&cert, &vec![b' '; (1 << 20) + 1], "larger than 1MiB"),
    ];
    for (path, text, message) in mistakes {
        let before = std::fs::read(path).unwrap();
        std::fs::write(path, text).unwrap();
        let error = apply(&listeners, std::slice::from_ref(&wanted)).unwrap_err();
        assert!(error.contains(message), "{message}: {error}");
        assert!(!error.contains("PRIVATE KEY"), "{error}");
        let stream = authority.believer().connect(address, "localhost").await.unwrap();
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        assert_eq!(shown, CertificateDer::from_pem_slice(&good).unwrap());
        std::fs::write(path, before).unwrap();
    }
    std::fs::remove_file(&key).unwrap();
    let error = apply(&listeners, std::slice::from_ref(&wanted)).unwrap_err();
    assert!(error.contains("a.key") && error.contains("cannot be read"), "{error}");
    authority.believer().ask(address, "localhost").await.unwrap();
}

#[tokio::test]
async fn clients_must_prove_who_they_are_where_it_is_required() {
    let (dir, _, _) = simple(serde_json::json!({}));
    let ca = dir.path().join("ca.pem");
    let auth = serde_json::json!({ "clientAuth": { "ca": ca, "mode": "require" } });
    let (dir_of_listener, authority, mut wanted) = simple(auth);
    // The authority of clients is the one that made the server's certificate, too.
    std::fs::write(&ca, &authority.pem).unwrap();
    wanted.name = "strict".to_owned();
    let (_listeners, address) = open(&[wanted]);
    let client = authority.believer();
    client.ask(address, "localhost").await.expect_err("without a certificate");
    let told = client.with(authority.client("alice")).ask(address, "localhost").await.unwrap();
    assert_eq!(told, "strict localhost TLSv1.3 CN=alice spiffe://test/alice");
    let stranger = Authority::new("another");
    client.with(stranger.client("alice")).ask(address, "localhost").await.expect_err("of another authority");
    let expired = authority.issue(&["alice"], |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1));
    client.with(expired).ask(address, "localhost").await.expect_err("expired");
    drop(dir_of_listener);
}

#[tokio::test]
async fn clients_may_prove_who_they_are_where_it_is_requested() {
    let (dir, authority, mut wanted) = simple(serde_json::json!({}));
    let auth = config::ClientAuth { ca: dir.path().join("ca.pem"), mode: ClientAuthMode::Request };
    wanted.tls.as_mut().unwrap().client_auth = Some(auth);
    let (_listeners, address) = open(&[wanted]);
    let client = authority.believer();
    assert_eq!(client.ask(address, "localhost").await.unwrap(), "public localhost TLSv1.3 nobody");
    let told = client.with(authority.client("bob")).ask(address, "localhost").await.unwrap();
    assert!(told.ends_with("CN=bob spiffe://test/bob"), "{told}");
    let stranger = Authority::new("another");
    client.with(stranger.client("bob")).ask(address, "localhost").await.expect_err("a lie is no silence");
}

#[tokio::test]
async fn listeners_at_one_address_have_rules_of_their_own() {
    let (dir, authority, mut open_to_all) = simple(serde_json::json!({}));
    put(dir.path(), "b", &authority.server(&["members.test"]));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let auth = serde_json::json!({ "clientAuth": { "ca": dir.path().join("ca.pem") } });
    let mut members = listener(dir.path(), &["b"], auth);
    members.hostname = Some("members.test".to_owned());
    members.name = "members".to_owned();
    (open_to_all.address, members.address) = (port, port);
    let (_listeners, address) = open(&[members, open_to_all]);
    let client = authority.believer();
    assert!(client.ask(address, "localhost").await.unwrap().starts_with("public localhost"));
    client.ask(address, "members.test").await.expect_err("members have certificates");
    let told = client.with(authority.client("alice")).ask(address, "members.test").await.unwrap();
    assert!(told.starts_with("members members.test") && told.contains("CN=alice"), "{told}");
}

#[tokio::test]
async fn changed_rules_ask_those_who_are_in_to_finish() {
    let (dir, authority, mut wanted) = simple(serde_json::json!({}));
    let (listeners, address) = open(std::slice::from_ref(&wanted));
    let stream = authority.believer().connect(address, "localhost").await.unwrap();
    let (mut old, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let old_ended = tokio::spawn(connection);
    ask(&mut old).await.unwrap();
    let auth = config::ClientAuth { ca: dir.path().join("ca.pem"), mode: ClientAuthMode::Require };
    wanted.tls.as_mut().unwrap().client_auth = Some(auth);
    apply(&listeners, &[wanted]).unwrap();
    let _ = tokio::time::timeout(LIMIT, old_ended).await.expect("the old connection ends");
    authority.believer().ask(address, "localhost").await.expect_err("the new rule holds");
}

#[tokio::test]
async fn listeners_come_and_go_and_a_taken_address_changes_nothing() {
    let (_dir, authority, wanted) = simple(serde_json::json!({}));
    let (listeners, address) = open(std::slice::from_ref(&wanted));
    let plain = |name: &str, address: SocketAddr| config::Listener {
        name: name.to_owned(),
        address,
        hostname: None,
        tls: None,
        redirect_to_https: config::RedirectToHttps::No,
    };
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    apply(&listeners, &[wanted.clone(), plain("second", free)]).unwrap();
    let second = listeners.addresses()["second"];
    let (mut kept, connection) = {
        let socket = TcpStream::connect(second).await.unwrap();
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.unwrap()
    };
    let kept_ended = tokio::spawn(connection);
    assert_eq!(ask(&mut kept).await.unwrap(), "second plain");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = apply(&listeners, &[plain("third", taken.local_addr().unwrap())]).unwrap_err();
    assert!(error.contains("cannot listen on"), "{error}");
    assert_eq!(listeners.addresses().len(), 2);
    assert_eq!(ask(&mut kept).await.unwrap(), "second plain");

    apply(&listeners, std::slice::from_ref(&wanted)).unwrap();
    let _ = tokio::time::timeout(LIMIT, kept_ended).await.expect("connections of a removed listener end");
    let refused = async {
        while TcpStream::connect(second).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(LIMIT, refused).await.expect("nobody listens there");
    assert_eq!(listeners.addresses()["public"], address);
    authority.believer().ask(address, "localhost").await.unwrap();
    assert_eq!(listeners.drain(LIMIT).await, 0);
}

#[tokio::test(start_paused = true)]
async fn who_dawdles_over_the_handshake_is_shown_out() {
    let (_dir, _, wanted) = simple(serde_json::json!({}));
    let (_listeners, address) = open(&[wanted]);
    for greeting in [&[][..], &[22, 3, 1, 2, 0, 1, 0][..]] {
        let began = tokio::time::Instant::now();
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(greeting).await.unwrap();
        let mut answer = Vec::new();
        // Ended with a reset or in order.
        let _ = socket.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{answer:?}");
        let waited = began.elapsed();
        assert!((Duration::from_secs(9)..Duration::from_secs(12)).contains(&waited), "{waited:?}");
    }
}

#[tokio::test]
async fn plain_http_on_a_tls_port_is_told_so() {
    let (_dir, _, wanted) = simple(serde_json::json!({}));
    let (_listeners, address) = open(&[wanted]);
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, socket.read_to_string(&mut answer)).await.expect("it is closed").unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    assert!(body.contains("use https"), "{answer}");
    // What is neither is closed.
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&[0; 64]).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LIMIT, socket.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn what_is_unwise_is_said() {
    let (dir, authority, mut wanted) = simple(serde_json::json!({}));
    let warnings = |listener: &config::Listener| Tls::load(std::slice::from_ref(listener)).unwrap().warnings.join("; ");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(dir.path().join("a.key"), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o600);
    assert_eq!(warnings(&wanted), "");
    mode(0o644);
    assert!(warnings(&wanted).contains("can be read by everybody"));
    wanted.hostname = Some("shop.test".to_owned());
    assert!(warnings(&wanted).contains("listener public: no certificate is for the listener's hostname shop.test"));
    put(dir.path(), "a", &authority.issue(&[], |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1)));
    let said = warnings(&wanted);
    assert!(said.contains("has expired") && said.contains("is for no name"), "{said}");
    put(dir.path(), "a", &authority.issue(&["a"], |params| params.not_before = rcgen::date_time_ymd(2999, 1, 1)));
    assert!(warnings(&wanted).contains("not good yet"));
}

#[test]
fn wildcards_of_certificates_stand_for_one_label() {
    for (name, host, covers) in [
        ("a.test", "a.test", true),
        ("*.a.test", "b.a.test", true),
        ("*.a.test", "a.test", false),
        ("*.a.test", ".a.test", false),
        ("*.a.test", "c.b.a.test", false),
        ("b.test", "a.test", false),
    ] {
        assert_eq!(x509::covers(name, host), covers, "{name} {host}");
    }
}
