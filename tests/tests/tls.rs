//! Listeners and TLS through the real binary: certificates made here, changed while connections live.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wharf_tests::{Builder, Wharf, eventually};

const LIMIT: Duration = Duration::from_secs(30);

/// An authority, and what it issues: PEM of certificate and key.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Writes a certificate for `name` as `<file>.pem` and `<file>.key`.
    fn put(&self, dir: &Path, file: &str, name: &str) {
        let (cert, key) = self.issue(name);
        std::fs::write(dir.join(format!("{file}.pem")), cert).unwrap();
        std::fs::write(dir.join(format!("{file}.key")), key).unwrap();
    }

    fn connector(&self, protocol: &str, identity: Option<(String, String)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        connect(&self.connector("http/1.1", None), address, name).await
    }

    /// One request on a connection of its own.
    async fn get(&self, address: SocketAddr, name: &str, path: &str) -> Result<(http::response::Parts, Bytes), String> {
        let stream = self.connect(address, name).await.map_err(|error| error.to_string())?;
        get(&mut over(stream).await, name, path, &[]).await
    }
}

type Sender = http1::SendRequest<Empty<Bytes>>;

async fn connect(connector: &TlsConnector, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let socket = TcpStream::connect(address).await?;
    tokio::time::timeout(LIMIT, connector.connect(name, socket)).await.expect("the handshake ends")
}

async fn over(stream: TlsStream<TcpStream>) -> Sender {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn get(
    sender: &mut Sender,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(http::response::Parts, Bytes), String> {
    let exchange = async {
        sender.ready().await.map_err(|error| error.to_string())?;
        let mut request = Request::get(path).header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender.send_request(request.body(Empty::new()).unwrap()).await;
        collect(response.map_err(|error| error.to_string())?).await
    };
    tokio::time::timeout(LIMIT, exchange).await.expect("there is an answer")
}

async fn collect(response: Response<hyper::body::Incoming>) -> Result<(http::response::Parts, Bytes), String> {
    let (parts, body) = response.into_parts();
    Ok((parts, body.collect().await.map_err(|error| error.to_string())?.to_bytes()))
}

/// Addresses that nobody listens on, all different.
fn free<const N: usize>() -> [SocketAddr; N] {
    let held: [_; N] = std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|socket| socket.local_addr().unwrap())
}

/// The part of `gateway.yaml` that is the same everywhere.
fn yaml(admin: SocketAddr, listeners: &[String]) -> String {
    let mut text = format!("admin: {{ listen: '{admin}' }}\ndrain: {{ timeout: 5s }}\nlisteners:\n");
    for listener in listeners {
        writeln!(text, "  - {{ {listener} }}").unwrap();
    }
    text
}

/// The settings of a listener with a certificate from `<file>.pem` and `<file>.key`, beside the process.
fn with_tls(name: &str, address: SocketAddr, file: &str, more: &str) -> String {
    format!(
        "name: {name}, address: '{address}', \
         tls: {{ certificates: [{{ cert: {file}.pem, key: {file}.key }}]{more} }}"
    )
}

async fn start(builder: Builder, gateway: &str) -> Wharf {
    builder.without_flags().plugin("versioned").gateway(gateway).start().await
}

#[tokio::test]
async fn requests_come_in_over_tls_by_http1_and_http2() {
    let (authority, [public, admin]) = (Authority::new(), free());
    let builder = Wharf::builder();
    authority.put(builder.dir(), "a", "shop.test");
    let hsts = ", minVersion: 1.3, hsts: { maxAge: 8760h, includeSubDomains: true, preload: true }";
    let _wharf = start(builder, &yaml(admin, &[with_tls("public", public, "a", hsts)])).await;

    let (head, _) = authority.get(public, "shop.test", "/versioned/").await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["strict-transport-security"], "max-age=31536000; includeSubDomains; preload");
    let (head, _) = authority.get(public, "shop.test", "/nowhere").await.unwrap();
    assert_eq!(head.status, 404);
    assert!(head.headers.contains_key("strict-transport-security"), "on the gateway's own answers, too");

    let stream = connect(&authority.connector("h2", None), public, "shop.test").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://shop.test/versioned/").body(Empty::<Bytes>::new()).unwrap();
    let (head, _) = collect(sender.send_request(request).await.unwrap()).await.unwrap();
    assert_eq!((head.status.as_u16(), head.version), (200, http::Version::HTTP_2));
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_dropped_connection() {
    let (authority, [public, admin]) = (Authority::new(), free());
    let builder = Wharf::builder();
    authority.put(builder.dir(), "a", "shop.test");
    let wharf = start(builder, &yaml(admin, &[with_tls("public", public, "a", "")])).await;
    let first = authority.connect(public, "shop.test").await.unwrap();
    let leaf = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let before = leaf(&first);
    let mut old = over(first).await;
    get(&mut old, "shop.test", "/versioned/", &[]).await.unwrap();

    let key = std::fs::read(wharf.dir().join("a.key")).unwrap();
    std::fs::write(wharf.dir().join("a.key"), "nonsense").unwrap();
    wharf.logged("has no private key").await;
    assert_eq!(leaf(&authority.connect(public, "shop.test").await.unwrap()), before, "the old one is in force");
    std::fs::write(wharf.dir().join("a.key"), key).unwrap();

    authority.put(wharf.dir(), "a", "shop.test");
    eventually("the new certificate is shown", async || {
        (leaf(&authority.connect(public, "shop.test").await.unwrap()) != before).then_some(())
    })
    .await;
    let (head, _) = get(&mut old, "shop.test", "/versioned/", &[]).await.expect("the old connection lives on");
    assert_eq!(head.status, 200);
    assert!(!head.headers.contains_key("connection"), "and is not asked to leave: {head:?}");
}

#[tokio::test]
async fn listeners_come_and_go_while_others_serve() {
    let (authority, [public, second, admin]) = (Authority::new(), free());
    let builder = Wharf::builder();
    authority.put(builder.dir(), "a", "shop.test");
    let tls = with_tls("public", public, "a", "");
    let alone = yaml(admin, std::slice::from_ref(&tls));
    let wharf = start(builder, &alone).await;
    let mut kept = over(authority.connect(public, "shop.test").await.unwrap()).await;
    get(&mut kept, "shop.test", "/versioned/", &[]).await.unwrap();
    let ask = async || wharf.client().try_send("GET", &format!("http://{second}/versioned/"), &[], "").await;
    ask().await.expect_err("nobody listens there yet");

    wharf.configure("gateway.yaml", &yaml(admin, &[tls.clone(), format!("name: second, address: '{second}'")]));
    let answer = eventually("the new listener is there", async || ask().await.ok()).await;
    answer.assert_status(200);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    wharf.configure("gateway.yaml", &yaml(admin, &[tls, format!("name: third, address: '{address}'")]));
    wharf.logged("cannot listen on").await;
    ask().await.expect("what was in force stays").assert_status(200);

    wharf.configure("gateway.yaml", &alone);
    eventually("the removed listener is gone", async || ask().await.err()).await;
    let (head, _) = get(&mut kept, "shop.test", "/versioned/", &[]).await.expect("the other one was left alone");
    assert_eq!(head.status, 200);
}

#[tokio::test]
async fn plain_requests_are_sent_to_tls() {
    let [plain, other, admin] = free();
    let listeners = [
        format!("name: plain, address: '{plain}', redirectToHttps: true"),
        format!("name: other, address: '{other}', redirectToHttps: 8443"),
    ];
    let wharf = start(Wharf::builder(), &yaml(admin, &listeners)).await;
    let host = ("host", "shop.test:8080");
    let answer = wharf.client().send("GET", &format!("http://{plain}/versioned/?a=%2F"), &[host], "").await;
    assert_eq!(answer.assert_status(308).header("location"), "https://shop.test/versioned/?a=%2F");
    assert_eq!(answer.header("strict-transport-security"), "");
    let answer = wharf.client().send("POST", &format!("http://{other}/x"), &[host], "body").await;
    assert_eq!(answer.assert_status(308).header("location"), "https://shop.test:8443/x");
}

#[tokio::test]
async fn the_service_sees_who_has_proved_to_be_who() {
    let (authority, [public, admin]) = (Authority::new(), free());
    let builder = Wharf::builder().plugin("echo");
    authority.put(builder.dir(), "a", "shop.test");
    std::fs::write(builder.dir().join("ca.pem"), &authority.pem).unwrap();
    let auth = ", clientAuth: { ca: ca.pem, mode: request }";
    let wharf = start(builder, &yaml(admin, &[with_tls("public", public, "a", auth)])).await;
    let lie = [("client-cert", ":bGll:"), ("client-cert-chain", ":bGll:")];
    let seen = async |identity| {
        let stream = connect(&authority.connector("http/1.1", identity), public, "shop.test").await.unwrap();
        let (head, body) = get(&mut over(stream).await, "shop.test", "/echo/request", &lie).await.unwrap();
        assert_eq!(head.status, 200);
        String::from_utf8(body.to_vec()).unwrap().to_lowercase()
    };
    let nobody = seen(None).await;
    assert!(!nobody.contains("client-cert"), "{nobody}");
    let (cert, key) = authority.issue("alice");
    let base64: String = cert.lines().filter(|line| !line.starts_with("-----")).collect();
    let alice = seen(Some((cert, key))).await;
    assert!(alice.contains(&format!(":{}:", base64.to_lowercase())), "{alice}");
    assert!(!alice.contains("bgll") && !alice.contains("client-cert-chain"), "{alice}");

    let strict = ", clientAuth: { ca: ca.pem }";
    wharf.configure("gateway.yaml", &yaml(admin, &[with_tls("public", public, "a", strict)]));
    eventually("nobody gets in without a certificate", async || {
        authority.get(public, "shop.test", "/echo/request").await.err()
    })
    .await;
}

#[tokio::test]
async fn a_request_for_another_listener_is_misdirected() {
    let (authority, [public, admin]) = (Authority::new(), free());
    let builder = Wharf::builder();
    authority.put(builder.dir(), "a", "shop.test");
    authority.put(builder.dir(), "b", "members.test");
    let listeners = [
        with_tls("public", public, "a", ""),
        format!("{}, hostname: members.test", with_tls("members", public, "b", "")),
    ];
    let _wharf = start(builder, &yaml(admin, &listeners)).await;
    for (name, host, status) in [
        ("shop.test", "shop.test", 200),
        ("shop.test", "members.test", 421),
        ("members.test", "members.test", 200),
        ("members.test", "shop.test", 421),
    ] {
        let mut sender = over(authority.connect(public, name).await.unwrap()).await;
        let (head, _) = get(&mut sender, host, "/versioned/", &[]).await.unwrap();
        assert_eq!(head.status, status, "{name}, {host}");
    }
}

#[tokio::test]
async fn a_listen_on_the_command_line_takes_the_place_of_all_listeners() {
    // With flags: `--listen` is one of them. The files of the certificate need not even be there.
    let [public, _] = free();
    let builder = Wharf::builder().plugin("versioned");
    let gateway = format!("listeners: [{{ {} }}]\n", with_tls("public", public, "missing", ""));
    let wharf = builder.gateway(&gateway).start().await;
    wharf.get("/versioned/").await.assert_status(200);
    TcpStream::connect(public).await.expect_err("nobody listens there");
}

#[tokio::test]
async fn a_start_with_a_certificate_that_is_not_there_says_so() {
    let [public, admin] = free();
    let gateway = yaml(admin, &[with_tls("public", public, "missing", "")]);
    let said = Wharf::builder().without_flags().gateway(&gateway).refused().await;
    assert!(said.contains("missing.pem") && said.contains("missing.key") && said.contains("cannot be read"), "{said}");
}
