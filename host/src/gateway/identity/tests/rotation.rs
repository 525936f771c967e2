//! Keys that change, providers that do not answer, and how often they are asked.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::pace::{PATIENCE, UNKNOWN_PAUSE};
use super::*;
use crate::config::Duration as Span;

const FETCHED_EVERY: Duration = Duration::from_secs(600);

/// A provider's server on this machine.
#[derive(Clone)]
struct Idp {
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    port: u16,
}

impl Idp {
    async fn start(text: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new((StatusCode::OK, text.to_owned())));
        let idp = Self { answer, asked: Arc::default(), port };
        let server = idp.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                let service = service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.answer(&request)) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        idp
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (status, text) = self.answer.lock().unwrap().clone();
        assert_eq!(request.uri().path(), "/jwks");
        Response::builder().status(status).header("location", "/jwks").body(Full::from(text)).unwrap()
    }

    fn publish(&self, text: &str) {
        *self.answer.lock().unwrap() = (StatusCode::OK, text.to_owned());
    }

    fn fail_with(&self, status: u16) {
        self.answer.lock().unwrap().0 = StatusCode::from_u16(status).unwrap();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn settings(&self) -> JwtProvider {
        let url = format!("http://127.0.0.1:{}/jwks", self.port);
        JwtProvider {
            algorithms: vec![JwtAlgorithm::Es256],
            jwks: JwksSource::Url(url),
            // A machine under load must not look like a provider that is down.
            fetch_timeout: Span::secs(30),
            ..fuzz::provider()
        }
    }
}

async fn says(providers: &[Arc<Provider>], token: &str) -> Result<(), Refused> {
    verify(providers, token.as_bytes(), at(NOW)).await.map(drop)
}

const UNKNOWN: Result<(), Refused> = Err(Refused::Invalid(Invalid::UnknownKey));

#[tokio::test]
async fn a_rotated_key_is_believed_within_30_seconds() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let idp = Idp::start(&jwks(&[&old])).await;
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[idp.settings()]);
    assert_eq!(says(&providers, &old.token()).await, Ok(()));
    // A stranger uses the turn up just before the rotation.
    assert_eq!(says(&providers, &Signer::es256("strange").token()).await, UNKNOWN);
    idp.publish(&jwks(&[&old, &new]));
    assert_eq!(says(&providers, &new.token()).await, UNKNOWN);
    assert_eq!(idp.asked(), 2);
    clock.advance(UNKNOWN_PAUSE);
    assert_eq!(says(&providers, &new.token()).await, Ok(()));
    assert_eq!(says(&providers, &old.token()).await, Ok(()));
    assert_eq!(idp.asked(), 3);
}

#[tokio::test]
async fn ten_thousand_unknown_keys_cause_one_fetch_in_30_seconds() {
    let signer = Signer::es256("a");
    let idp = Idp::start(&jwks(&[&signer])).await;
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[idp.settings()]);
    assert_eq!(says(&providers, &signer.token()).await, Ok(()));
    for round in 1..=2 {
        let mut asking = tokio::task::JoinSet::new();
        for index in 0..10_000 {
            // Never a right signature: nothing is verified for a key that is not there.
            let header = encode(json!({ "alg": "ES256", "kid": format!("{round}-{index}") }).to_string());
            let token = format!("{header}.{}.AAAA", encode(claims().to_string()));
            let providers = providers.clone();
            asking.spawn(async move { assert_eq!(says(&providers, &token).await, UNKNOWN) });
        }
        asking.join_all().await;
        assert_eq!(idp.asked(), 1 + round);
        clock.advance(UNKNOWN_PAUSE);
    }
}

#[tokio::test]
async fn a_key_id_asked_for_in_vain_loses_its_turns() {
    let signer = Signer::es256("a");
    let idp = Idp::start(&jwks(&[&signer])).await;
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[idp.settings()]);
    let strange = Signer::es256("strange").token();
    let mut asked = Vec::new();
    for _ in 0..16 {
        assert_eq!(says(&providers, &strange).await, UNKNOWN);
        asked.push(idp.asked());
        clock.advance(UNKNOWN_PAUSE);
    }
    // At 0, 30, 90, 210 and 450 s, beside the first fetch.
    assert_eq!(asked, [2, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5, 6]);
}

#[tokio::test]
async fn a_new_key_is_not_to_blame_when_the_provider_does_not_answer() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let idp = Idp::start(&jwks(&[&old])).await;
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[idp.settings()]);
    assert_eq!(says(&providers, &old.token()).await, Ok(()));
    idp.fail_with(503);
    for _ in 0..4 {
        assert_eq!(says(&providers, &new.token()).await, UNKNOWN);
        clock.advance(UNKNOWN_PAUSE);
    }
    idp.publish(&jwks(&[&old, &new]));
    assert_eq!(says(&providers, &new.token()).await, Ok(()));
}

#[tokio::test]
async fn keys_work_on_while_the_provider_is_down_and_end_at_last() {
    let signer = Signer::es256("a");
    let idp = Idp::start(&jwks(&[&signer])).await;
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[idp.settings()]);
    let token = signer.token();
    assert_eq!(says(&providers, &token).await, Ok(()));
    idp.fail_with(503);
    for _ in 0..24 {
        clock.advance(Duration::from_secs(3600));
        assert_eq!(says(&providers, &token).await, Ok(()));
        assert_eq!(says(&providers, &Signer::es256("strange").token()).await, UNKNOWN);
    }
    assert!(idp.asked() > 20, "asked all the time: {}", idp.asked());
    // `cacheFor` and `staleFor` are over.
    clock.advance(FETCHED_EVERY);
    assert_eq!(says(&providers, &token).await, Err(Refused::Unavailable("idp".into())));
    idp.publish(&jwks(&[&signer]));
    clock.advance(Duration::from_secs(60));
    assert_eq!(says(&providers, &token).await, Ok(()));
}

#[tokio::test]
async fn keys_are_fetched_again_in_the_background_before_they_are_old() {
    let signer = Signer::es256("a");
    let idp = Idp::start(&jwks(&[&signer])).await;
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[idp.settings()]);
    let token = signer.token();
    assert_eq!(says(&providers, &token).await, Ok(()));
    clock.advance(FETCHED_EVERY * 4 / 5 - Duration::from_secs(1));
    assert_eq!(says(&providers, &token).await, Ok(()));
    assert_eq!(idp.asked(), 1);
    clock.advance(Duration::from_secs(1));
    let mut ends = providers[0].source().ends();
    assert_eq!(says(&providers, &token).await, Ok(()));
    ends.changed().await.unwrap();
    assert_eq!(idp.asked(), 2);
    // The keys count from that fetch on.
    clock.advance(FETCHED_EVERY * 4 / 5 - Duration::from_secs(1));
    assert_eq!(says(&providers, &token).await, Ok(()));
    assert_eq!(idp.asked(), 2);
}

#[tokio::test]
async fn a_key_that_was_taken_back_takes_its_remembered_tokens_along() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let idp = Idp::start(&jwks(&[&old])).await;
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[idp.settings()]);
    let token = old.token();
    assert_eq!(says(&providers, &token).await, Ok(()));
    assert_eq!(says(&providers, &token).await, Ok(()));
    idp.publish(&jwks(&[&new]));
    assert_eq!(says(&providers, &new.token()).await, Ok(()), "its key is fetched");
    assert_eq!(says(&providers, &token).await, UNKNOWN);
}

#[tokio::test]
async fn requests_that_come_together_wait_for_one_fetch() {
    let signer = Signer::es256("a");
    let idp = Idp::start(&jwks(&[&signer])).await;
    let providers = applied(&Clock::new().providers(), &[idp.settings()]);
    let token = signer.token();
    let asking: Vec<_> = (0..100).map(|_| says(&providers, &token)).collect();
    assert!(futures_util::future::join_all(asking).await.iter().all(Result::is_ok));
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn answers_that_are_no_keys_are_not_taken_and_requests_ask_once_a_second() {
    let signer = Signer::es256("a");
    let too_large = format!("{}{}", jwks(&[&signer]), " ".repeat(512 * 1024));
    for (status, text) in [(302, jwks(&[&signer])), (404, jwks(&[&signer])), (200, "{}".to_owned()), (200, too_large)] {
        let idp = Idp::start(&text).await;
        idp.fail_with(status);
        let clock = Clock::new();
        let providers = applied(&clock.providers(), &[idp.settings()]);
        let mut ends = providers[0].source().ends();
        ends.changed().await.unwrap();
        clock.advance(PATIENCE);
        let before = idp.asked();
        for second in 1..=9 {
            for _ in 0..3 {
                assert_eq!(says(&providers, &signer.token()).await, Err(Refused::Unavailable("idp".into())));
            }
            assert_eq!(idp.asked() - before, second, "{status}");
            clock.advance(Duration::from_secs(1));
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_silent_is_given_up_after_the_timeout() {
    // Accepts (in the backlog), and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let settings = JwtProvider {
        algorithms: vec![JwtAlgorithm::Es256],
        jwks: JwksSource::Url(url),
        fetch_timeout: Span::millis(10),
        ..fuzz::provider()
    };
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[settings]);
    providers[0].source().ends().changed().await.unwrap();
    clock.advance(PATIENCE);
    assert_eq!(says(&providers, &Signer::es256("a").token()).await, Err(Refused::Unavailable("idp".into())));
}

#[tokio::test]
async fn a_file_is_read_again_and_a_broken_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let settings = from_file(&dir, &jwks(&[&old]));
    let clock = Clock::new();
    let providers = applied(&clock.providers(), &[settings]);
    assert_eq!(says(&providers, &old.token()).await, Ok(()));
    for broken in ["", "{\"keys\":[", "{\"keys\":[]}"] {
        std::fs::write(dir.path().join("keys.json"), broken).unwrap();
        clock.advance(Duration::from_secs(100));
        assert_eq!(says(&providers, &old.token()).await, Ok(()), "{broken}");
    }
    std::fs::remove_file(dir.path().join("keys.json")).unwrap();
    clock.advance(Duration::from_secs(100));
    assert_eq!(says(&providers, &old.token()).await, Ok(()));
    std::fs::write(dir.path().join("keys.json"), jwks(&[&new])).unwrap();
    clock.advance(Duration::from_secs(100));
    // Keys that are known to have failed before are used while they are read again.
    let mut ends = providers[0].source().ends();
    let _ = says(&providers, &old.token()).await;
    ends.changed().await.unwrap();
    assert_eq!(says(&providers, &old.token()).await, UNKNOWN);
    assert_eq!(says(&providers, &new.token()).await, Ok(()));
    // Nothing failed before this: the request itself waits for the file.
    std::fs::write(dir.path().join("keys.json"), jwks(&[&old])).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(says(&providers, &new.token()).await, UNKNOWN);
}

#[tokio::test]
async fn a_new_configuration_keeps_keys_unless_they_come_from_elsewhere() {
    let signer = Signer::es256("a");
    let (idp, other) = (Idp::start(&jwks(&[&signer])).await, Idp::start(&jwks(&[&signer])).await);
    let registry = Clock::new().providers();
    let settings = idp.settings();
    let first = applied(&registry, std::slice::from_ref(&settings));
    assert_eq!(says(&first, &signer.token()).await, Ok(()));
    let same = applied(&registry, std::slice::from_ref(&settings));
    assert!(Arc::ptr_eq(&first[0], &same[0]));

    let stricter = JwtProvider { issuer: "another".to_owned(), ..settings.clone() };
    let changed = applied(&registry, &[stricter]);
    assert_eq!(says(&changed, &signer.token()).await, Err(Refused::Invalid(Invalid::Issuer)), "nothing is remembered");
    assert_eq!(says(&applied(&registry, &[settings]), &signer.token()).await, Ok(()));
    assert_eq!(idp.asked(), 1);

    let moved = applied(&registry, &[other.settings()]);
    assert_eq!(says(&moved, &signer.token()).await, Ok(()));
    assert_eq!((idp.asked(), other.asked()), (1, 1));
    assert!(registry.get("idp").is_some());
    registry.apply(&Auth::default());
    assert!(registry.get("idp").is_none());
}

#[tokio::test]
async fn a_configuration_that_is_taken_back_costs_nobody_their_keys() {
    let signer = Signer::es256("a");
    let (idp, other) = (Idp::start(&jwks(&[&signer])).await, Idp::start("").await);
    let registry = Clock::new().providers();
    let first = applied(&registry, &[idp.settings()]);
    assert_eq!(says(&first, &signer.token()).await, Ok(()));
    let before = registry.apply(&Auth { providers: vec![other.settings()] });
    registry.restore(before);
    assert!(Arc::ptr_eq(&registry.get("idp").unwrap(), &first[0]));
    assert_eq!(idp.asked(), 1);
}

#[tokio::test]
async fn keys_come_by_https_from_servers_with_a_trusted_certificate_only() {
    let signer = Signer::es256("a");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let root = certified.cert.der().clone();
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![root.clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/jwks", listener.local_addr().unwrap().port());
    let text = jwks(&[&signer]);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let text = text.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let text = text.clone();
                async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text))) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    });
    let settings = JwtProvider {
        algorithms: vec![JwtAlgorithm::Es256],
        jwks: JwksSource::Url(url),
        fetch_timeout: Span::secs(30),
        ..fuzz::provider()
    };
    let settings = std::slice::from_ref(&settings);
    let trusting = applied(&Clock::new().providers_with(Fetcher::trusting(root)), settings);
    assert_eq!(says(&trusting, &signer.token()).await, Ok(()));
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let clock = Clock::new();
    let strict = applied(&clock.providers_with(Fetcher::trusting(stranger.cert.der().clone())), settings);
    strict[0].source().ends().changed().await.unwrap();
    clock.advance(PATIENCE);
    assert_eq!(says(&strict, &signer.token()).await, Err(Refused::Unavailable("idp".into())));
}
