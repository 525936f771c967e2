use std::collections::VecDeque;
use std::sync::Mutex;

use http_body_util::{Empty, Full};
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::gateway::filter::mirror::tests::{Mirrors, mirror};
use crate::plugin::CallError;

/// What a fake target does with a copy.
#[derive(Clone, Copy)]
enum Behaves {
    Answers,
    Fails,
    SeesTheDeadlineFirst,
    EndsAtTheDeadline,
    Hangs,
    HangsInTheBody,
    BreaksOff,
    NeverEnds,
}

/// Notes what is sent.
struct Fake {
    behaves: Behaves,
    /// With where they go: `orders@2`.
    seen: Mutex<Vec<(String, Request<Bytes>)>>,
    came: Notify,
}

#[async_trait]
impl MirrorSink for Fake {
    async fn send(
        &self,
        service: &str,
        version: Option<&str>,
        request: Request<Bytes>,
        _: Instant,
    ) -> Result<Answer, GatewayError> {
        self.seen.lock().unwrap().push((format!("{service}@{}", version.unwrap()), request));
        self.came.notify_one();
        let frames = |frames: Vec<Result<Bytes, CallError>>, then| Feed { frames: frames.into(), then };
        let feed = match self.behaves {
            Behaves::Answers => frames(vec![Ok(Bytes::from("thrown away"))], Then::Ends),
            Behaves::Fails => return Err(GatewayError::BulkheadFull),
            Behaves::SeesTheDeadlineFirst => return Err(GatewayError::RequestTimeout),
            Behaves::EndsAtTheDeadline => frames(vec![Err(CallError::Deadline)], Then::Ends),
            Behaves::Hangs => std::future::pending().await,
            Behaves::HangsInTheBody => frames(vec![Ok(Bytes::from("a"))], Then::Hangs),
            Behaves::BreaksOff => frames(vec![Ok(Bytes::from("a")), Err(CallError::NoResponse)], Then::Ends),
            Behaves::NeverEnds => frames(vec![], Then::Repeats(Bytes::from(vec![0; 100_000]))),
        };
        Ok(Response::new(feed.map_err(GatewayError::from).boxed_unsync()))
    }
}

/// A body of these frames.
struct Feed {
    frames: VecDeque<Result<Bytes, CallError>>,
    then: Then,
}

enum Then {
    Ends,
    Hangs,
    Repeats(Bytes),
}

impl Body for Feed {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        match (self.frames.pop_front(), &self.then) {
            (Some(frame), _) => Poll::Ready(Some(frame.map(Frame::data))),
            (None, Then::Ends) => Poll::Ready(None),
            (None, Then::Hangs) => Poll::Pending,
            (None, Then::Repeats(data)) => Poll::Ready(Some(Ok(Frame::data(data.clone())))),
        }
    }
}

fn body(frames: &[&'static str]) -> Feed {
    Feed { frames: frames.iter().map(|data| Ok(Bytes::from(*data))).collect(), then: Then::Ends }
}

/// A gateway with one mirror.
struct Setup {
    states: Mirrors,
    mirrors: Vec<Mirror>,
    fake: Arc<Fake>,
}

impl Setup {
    fn new(config: serde_json::Value, behaves: Behaves) -> Self {
        let states = Mirrors::default();
        let mirrors = vec![mirror(config, &states)];
        Self { states, mirrors, fake: Arc::new(Fake { behaves, seen: Mutex::default(), came: Notify::new() }) }
    }

    fn tee<B: Body<Data = Bytes> + Send + Unpin + 'static>(&self, parts: &Parts, body: B) -> Teed<B> {
        tee(parts, body, &self.mirrors, || Arc::clone(&self.fake) as Arc<_>, || 0)
    }

    /// How copies ended, when none is on its way any more.
    async fn ended(&self) -> Vec<(&'static str, u64)> {
        while self.states.active() > 0 {
            // The clock is paused: it goes on when nothing else is to be done.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.states.ended()
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.fake.seen.lock().unwrap().iter().map(|(_, request)| request.body().clone()).collect()
    }
}

fn post(headers: &[(&'static str, &'static str)]) -> Parts {
    let request = Request::post("http://shop.test/orders/7?x=1");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.extension(7_u8).body(()).unwrap().into_parts().0
}

#[tokio::test(start_paused = true)]
async fn a_copy_has_head_and_body_of_the_original_and_says_that_it_is_one() {
    let setup = Setup::new(json!({}), Behaves::Answers);
    let sent = [("content-length", "6"), ("x-user", "ann"), ("x-user", "bob"), ("x-request-id", "id-1")];
    let read = setup.tee(&post(&sent), body(&["abc", "def"])).collect().await.unwrap().to_bytes();
    assert_eq!(read, "abcdef");
    assert_eq!(setup.ended().await, [("sent", 1)]);
    let seen = setup.fake.seen.lock().unwrap();
    let (target, copy) = &seen[0];
    assert_eq!((target.as_str(), &**copy.body()), ("orders@2", &b"abcdef"[..]));
    assert_eq!((copy.method().as_str(), copy.uri().to_string()), ("POST", "http://shop.test/orders/7?x=1".to_owned()));
    let mut original = post(&sent).headers;
    original.insert("x-wharf-mirror", HeaderValue::from_static("true"));
    assert_eq!(*copy.headers(), original);
    assert!(copy.extensions().is_empty(), "what the gateway knows besides is not for it");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_body_is_copied_at_once() {
    let setup = Setup::new(json!({}), Behaves::Answers);
    let teed = setup.tee(&post(&[]), Empty::new());
    setup.fake.came.notified().await;
    assert!(teed.is_end_stream());
    assert_eq!((setup.ended().await, setup.bodies()), (vec![("sent", 1)], vec![Bytes::new()]));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_where_no_draw_hits() {
    let setup = Setup::new(json!({ "percent": 0 }), Behaves::Answers);
    let teed = setup.tee(&post(&[]), body(&["abc"]));
    assert!(teed.tap.is_none());
    assert_eq!(teed.collect().await.unwrap().to_bytes(), "abc");
    assert_eq!((setup.ended().await, setup.bodies()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_is_let_go_while_it_is_read_and_the_service_gets_all_of_it() {
    let setup = Setup::new(json!({ "maxBodySize": "5B" }), Behaves::Answers);
    let mut teed = setup.tee(&post(&[]), body(&["abc", "def", "ghi"]));
    teed.frame().await.unwrap().unwrap();
    assert_eq!(teed.tap.as_ref().unwrap().recorded, b"abc");
    teed.frame().await.unwrap().unwrap();
    assert!(teed.tap.is_none(), "what was recorded is gone");
    assert_eq!(setup.states.ended(), [("too_large", 1)]);
    assert_eq!(teed.collect().await.unwrap().to_bytes(), "ghi");
    // One byte less is copied; one that says beforehand that it is too long is not even begun.
    assert_eq!(setup.tee(&post(&[]), body(&["abc", "de"])).collect().await.unwrap().to_bytes(), "abcde");
    assert!(setup.tee(&post(&[]), Full::new(Bytes::from("abcdef"))).tap.is_none());
    assert_eq!((setup.ended().await, setup.bodies()), (vec![("sent", 1), ("too_large", 2)], vec!["abcde".into()]));
}

#[tokio::test(start_paused = true)]
async fn two_mirrors_have_a_bound_each_and_one_recording() {
    let mut setup = Setup::new(json!({ "maxBodySize": "3B" }), Behaves::Answers);
    setup.mirrors.push(mirror(json!({ "maxBodySize": "6B" }), &setup.states));
    for frames in [&["abc"][..], &["abc", "def"], &["abc", "def", "g"]] {
        setup.tee(&post(&[]), body(frames)).collect().await.unwrap();
    }
    assert_eq!(setup.ended().await, [("sent", 3), ("too_large", 3)]);
    assert_eq!(setup.bodies(), ["abc", "abc", "abcdef"]);
}

#[tokio::test(start_paused = true)]
async fn whatever_a_target_does_ends_in_time_and_is_counted() {
    for (behaves, fate, seconds) in [
        (Behaves::Answers, "sent", 0),
        (Behaves::Fails, "failed", 0),
        (Behaves::BreaksOff, "failed", 0),
        (Behaves::SeesTheDeadlineFirst, "timed_out", 0),
        (Behaves::EndsAtTheDeadline, "timed_out", 0),
        (Behaves::Hangs, "timed_out", 7),
        (Behaves::HangsInTheBody, "timed_out", 7),
        // A megabyte of it is enough.
        (Behaves::NeverEnds, "sent", 0),
    ] {
        let setup = Setup::new(json!({ "timeout": "7s" }), behaves);
        let began = Instant::now();
        assert_eq!(setup.tee(&post(&[]), body(&["abc"])).collect().await.unwrap().to_bytes(), "abc");
        assert_eq!(began.elapsed(), Duration::ZERO, "the service waits for no copy");
        assert_eq!(setup.ended().await, [(fate, 1)]);
        assert_eq!(began.elapsed().as_secs(), seconds, "{fate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_holds_no_more_copies_than_may_be() {
    let setup = Setup::new(json!({ "maxConcurrent": 2 }), Behaves::Hangs);
    for _ in 0..5 {
        assert_eq!(setup.tee(&post(&[]), body(&["abc"])).collect().await.unwrap().to_bytes(), "abc");
    }
    assert_eq!(setup.states.ended(), [("busy", 3)]);
    assert_eq!(setup.ended().await, [("timed_out", 2), ("busy", 3)]);
    assert_eq!(setup.bodies().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_service_does_not_read_is_read_for_the_copy() {
    let setup = Setup::new(json!({}), Behaves::Answers);
    drop(setup.tee(&post(&[]), body(&["abc", "def"])));
    assert_eq!((setup.ended().await, setup.bodies()), (vec![("sent", 1)], vec!["abcdef".into()]));
    let mut teed = setup.tee(&post(&[]), body(&["abc", "def"]));
    teed.frame().await.unwrap().unwrap();
    drop(teed);
    assert_eq!((setup.ended().await, setup.bodies()), (vec![("sent", 2)], vec!["abcdef".into(), "abcdef".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_or_breaks_off_is_no_copy() {
    let setup = Setup::new(json!({}), Behaves::Answers);
    let began = Instant::now();
    drop(setup.tee(&post(&[]), Feed { then: Then::Hangs, ..body(&["abc"]) }));
    assert_eq!(setup.ended().await, [("incomplete", 1)]);
    assert_eq!(began.elapsed().as_secs(), 1);
    let endless = Feed { then: Then::Repeats(Bytes::from("x")), ..body(&[]) };
    drop(setup.tee(&post(&[]), endless));
    assert_eq!(setup.ended().await, [("too_large", 1), ("incomplete", 1)]);
    let mut broken = body(&["abc"]);
    broken.frames.push_back(Err(CallError::RequestStalled));
    assert_eq!(setup.tee(&post(&[]), broken).collect().await.unwrap_err(), CallError::RequestStalled);
    assert_eq!(setup.ended().await, [("too_large", 1), ("incomplete", 2)]);
    assert!(setup.bodies().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_send_a_body_for_a_copys_sake() {
    let setup = Setup::new(json!({}), Behaves::Answers);
    let parts = post(&[("expect", "100-continue")]);
    drop(setup.tee(&parts, body(&["abc"])));
    assert_eq!((setup.ended().await, setup.bodies().len()), (vec![("incomplete", 1)], 0));
    // The service asked for it.
    setup.tee(&parts, body(&["abc"])).collect().await.unwrap();
    assert_eq!(setup.ended().await, [("sent", 1), ("incomplete", 1)]);
    assert!(!setup.fake.seen.lock().unwrap()[0].1.headers().contains_key("expect"));
}
