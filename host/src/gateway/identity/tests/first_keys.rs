//! Keys that were never there: who shows them may be behind this very gateway, which serves nothing when it asks for the
//! first time. Time here is tokio's own: it stands unless everybody sleeps. Nobody is asked but a script.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use http::StatusCode;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant as Moment, sleep};

use super::fetch::FetchError;
use super::jwks::KeySet;
use super::pace::PATIENCE;
use super::*;

/// A provider that may answer some day.
#[derive(Clone, Default)]
struct Idp {
    keys: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Idp {
    fn publish(&self, keys: String) {
        *self.keys.lock().unwrap() = Some(keys);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Each answer takes 10 ms.
    fn fetcher(&self) -> Fetcher {
        let idp = self.clone();
        Fetcher::scripted(Box::new(move || {
            let idp = idp.clone();
            async move {
                idp.asked.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(10)).await;
                match &*idp.keys.lock().unwrap() {
                    Some(keys) => Ok(KeySet::from_jwks(keys.as_bytes())?),
                    None => Err(FetchError::Status(StatusCode::SERVICE_UNAVAILABLE)),
                }
            }
            .boxed()
        }))
    }

    fn providers(&self) -> Providers {
        Providers::with(self.fetcher(), Arc::new(|| Moment::now().into_std()))
    }
}

fn settings() -> JwtProvider {
    JwtProvider {
        algorithms: vec![JwtAlgorithm::Es256],
        jwks: JwksSource::Url("http://127.0.0.1:1/jwks".to_owned()),
        ..fuzz::provider()
    }
}

async fn says(providers: &[Arc<Provider>], token: &str) -> Result<(), Refused> {
    verify(providers, token.as_bytes(), at(NOW)).await.map(drop)
}

fn unavailable() -> Result<(), Refused> {
    Err(Refused::Unavailable("idp".into()))
}

/// What is written to the log from now on in this thread, from this level on.
fn log(level: tracing::Level) -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Arc::new(Mutex::default());
    let writer = Arc::clone(&lines);
    let subscriber = tracing_subscriber::fmt().with_max_level(level);
    let subscriber = subscriber.with_writer(move || Lines(Arc::clone(&writer))).finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

#[tokio::test(start_paused = true)]
async fn requests_wait_together_for_a_provider_that_answers_a_little_later_and_nothing_is_said() {
    let (lines, _guard) = log(tracing::Level::WARN);
    let (idp, signer) = (Idp::default(), Signer::es256("a"));
    let registry = idp.providers();
    let providers = applied(&registry, &[settings()]);
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let (providers, token) = (providers.clone(), signer.token());
        asking.spawn(async move { (says(&providers, &token).await, Moment::now()) });
    }
    sleep(Duration::from_secs(2)).await;
    idp.publish(jwks(&[&signer]));
    let published = Moment::now();
    while let Some(answered) = asking.join_next().await {
        let (result, when) = answered.unwrap();
        assert_eq!(result, Ok(()));
        assert!(when - published <= Duration::from_millis(120), "{:?}", when - published);
    }
    assert!((15..=25).contains(&idp.asked()), "once for all, every 110 ms: {}", idp.asked());
    assert_eq!(String::from_utf8(lines.lock().unwrap().clone()).unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_between_two_fetches_has_the_keys_fetched_at_once() {
    let (idp, signer) = (Idp::default(), Signer::es256("a"));
    let registry = idp.providers();
    let providers = applied(&registry, &[settings()]);
    sleep(Duration::from_millis(3100)).await;
    let before = idp.asked();
    assert!((5..=9).contains(&before), "at 0, 60, 170, 380, 790, 1600, 2610 ms: {before}");
    idp.publish(jwks(&[&signer]));
    let begun = Moment::now();
    assert_eq!(says(&providers, &signer.token()).await, Ok(()));
    assert_eq!(Moment::now() - begun, Duration::from_millis(10));
    assert_eq!(idp.asked(), before + 1);
    // There is nothing left to fetch.
    sleep(Duration::from_secs(100)).await;
    assert_eq!(idp.asked(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_not_come_for_seconds_are_worth_one_warning_and_then_nobody_waits_long() {
    let (lines, _guard) = log(tracing::Level::WARN);
    let warnings = || String::from_utf8(lines.lock().unwrap().clone()).unwrap().matches("cannot be fetched").count();
    let (idp, signer) = (Idp::default(), Signer::es256("a"));
    let registry = idp.providers();
    let providers = applied(&registry, &[settings()]);
    let begun = Moment::now();
    assert_eq!(says(&providers, &signer.token()).await, unavailable());
    let waited = Moment::now() - begun;
    assert!(waited >= PATIENCE && waited <= PATIENCE + Duration::from_millis(200), "{waited:?}");
    assert_eq!(warnings(), 0);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(warnings(), 1);
    // From now on a request waits for one fetch, and between two a second apart for none.
    sleep(Duration::from_secs(1)).await;
    for expected in [10, 0] {
        let begun = Moment::now();
        assert_eq!(says(&providers, &signer.token()).await, unavailable());
        assert!(Moment::now() - begun <= Duration::from_millis(expected));
    }
    let before = idp.asked();
    sleep(Duration::from_secs(3600)).await;
    let asked = idp.asked() - before;
    assert!((115..=130).contains(&asked), "twice a minute without a request: {asked}");
    assert_eq!(warnings(), 1);
    // And it recovers without one, too.
    idp.publish(jwks(&[&signer]));
    sleep(Duration::from_secs(31)).await;
    let asked = idp.asked();
    assert_eq!(says(&providers, &signer.token()).await, Ok(()));
    assert_eq!(idp.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn while_the_host_starts_nobody_wonders_and_the_time_counts_from_its_end() {
    let (lines, _guard) = log(tracing::Level::WARN);
    let is_quiet = || lines.lock().unwrap().is_empty();
    let (idp, signer) = (Idp::default(), Signer::es256("a"));
    let registry = idp.providers();
    let providers = applied(&registry, &[settings()]);
    let (ready, is_ready) = watch::channel(false);
    registry.starts(is_ready);
    sleep(Duration::from_secs(60)).await;
    assert!((55..=70).contains(&idp.asked()), "about once a second: {}", idp.asked());
    // Whoever asks in the meantime does not wait for the end of the world.
    let begun = Moment::now();
    assert_eq!(says(&providers, &signer.token()).await, unavailable());
    assert_eq!(Moment::now() - begun, PATIENCE);
    ready.send_replace(true);
    sleep(PATIENCE - Duration::from_millis(200)).await;
    assert!(is_quiet());
    sleep(Duration::from_secs(3)).await;
    assert!(!is_quiet());
}

#[tokio::test(start_paused = true)]
async fn nobody_fetches_keys_of_a_provider_that_is_in_no_configuration() {
    let idp = Idp::default();
    let registry = idp.providers();
    drop(applied(&registry, &[settings()]));
    sleep(Duration::from_secs(1)).await;
    // The same again is not fetched twice as often.
    for _ in 0..100 {
        drop(applied(&registry, &[settings()]));
    }
    let before = idp.asked();
    sleep(Duration::from_secs(2)).await;
    assert!(idp.asked() - before <= 4, "{}", idp.asked() - before);
    registry.apply(&Auth::default());
    sleep(Duration::from_secs(2)).await;
    let before = idp.asked();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(idp.asked(), before);
}
