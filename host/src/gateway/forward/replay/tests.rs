use std::collections::VecDeque;

use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;

/// A body of these frames, whose length was announced or not.
#[derive(Debug)]
struct Script {
    frames: VecDeque<Result<Frame<Bytes>, CallError>>,
    announced: bool,
}

impl Script {
    fn new(data: &[&str]) -> Self {
        let frames = data.iter().map(|data| Ok(Frame::data(Bytes::from((*data).to_owned())))).collect();
        Self { frames, announced: true }
    }

    fn then(mut self, last: Result<Frame<Bytes>, CallError>) -> Self {
        self.frames.push_back(last);
        self
    }

    fn left(&self) -> u64 {
        let frames = self.frames.iter().flatten().filter_map(Frame::data_ref);
        frames.map(|data| data.len() as u64).sum()
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        Poll::Ready(self.frames.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced { SizeHint::with_exact(self.left()) } else { SizeHint::default() }
    }
}

fn trailers() -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    Frame::trailers(trailers)
}

/// The rest of a body: its text, whether it has trailers, how it failed.
async fn read(mut body: ReplayBody<Script>) -> (String, bool, Option<CallError>) {
    let (mut text, mut has_trailers) = (String::new(), false);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => text.push_str(std::str::from_utf8(&data).unwrap()),
            Ok(Err(frame)) => has_trailers = frame.into_trailers().unwrap()["x-sum"] == "42",
            Err(error) => return (text, has_trailers, Some(error)),
        }
    }
    assert!(body.is_end_stream());
    (text, has_trailers, None)
}

fn whole(text: &str) -> (String, bool, Option<CallError>) {
    (text.to_owned(), false, None)
}

#[tokio::test]
async fn a_body_can_be_sent_again_from_its_beginning() {
    let replay = Replay::new(Script::new(&["ab", "cd", "ef"]), 100);
    assert_eq!(read(replay.next().unwrap()).await, whole("abcdef"));
    assert_eq!(read(replay.next().unwrap()).await, whole("abcdef"));
    let mut third = replay.next().unwrap();
    third.frame().await.unwrap().unwrap();
    drop(third);
    assert_eq!(read(replay.next().unwrap()).await, whole("abcdef"));
}

#[tokio::test]
async fn what_no_try_has_read_yet_comes_after_what_was_kept() {
    let replay = Replay::new(Script::new(&["ab", "cd", "ef"]), 100);
    let mut first = replay.next().unwrap();
    first.frame().await.unwrap().unwrap();
    assert!(replay.next().is_none(), "the first has it");
    assert!(replay.can_replay(), "and gives it back");
    drop(first);
    let mut second = replay.next().unwrap();
    assert_eq!(second.size_hint().exact(), Some(6));
    assert_eq!(second.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
    assert_eq!(second.size_hint().exact(), Some(4));
    assert_eq!(read(second).await, whole("cdef"));
}

#[tokio::test]
async fn more_than_the_bound_passes_but_is_not_kept() {
    let long = Script { announced: false, ..Script::new(&["abc", "def", "g"]) };
    let replay = Replay::new(long, 6);
    let mut first = replay.next().unwrap();
    first.frame().await.unwrap().unwrap();
    first.frame().await.unwrap().unwrap();
    assert!(replay.can_replay());
    assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "g");
    assert!(!replay.can_replay());
    assert_eq!(first.original.as_ref().unwrap().kept.capacity(), 0, "and what was kept is gone");
    drop(first);
    assert!(replay.next().is_none());
}

#[tokio::test]
async fn a_body_known_to_be_too_large_can_be_sent_again_until_it_is_read() {
    let replay = Replay::new(Script::new(&["abc", "def"]), 5);
    drop(replay.next().unwrap());
    let mut second = replay.next().unwrap();
    assert_eq!(second.size_hint().exact(), Some(6));
    second.frame().await.unwrap().unwrap();
    assert!(!replay.can_replay());
    assert_eq!(read(second).await, whole("def"));
}

#[tokio::test]
async fn trailers_are_sent_again_too() {
    let script = || Script::new(&["ab"]).then(Ok(trailers()));
    let replay = Replay::new(script(), 100);
    for _ in 0..3 {
        assert_eq!(read(replay.next().unwrap()).await, ("ab".to_owned(), true, None));
    }
    // Also when nobody looked whether anything comes after them.
    let replay = Replay::new(script(), 100);
    let mut first = replay.next().unwrap();
    first.frame().await.unwrap().unwrap();
    first.frame().await.unwrap().unwrap();
    drop(first);
    assert_eq!(read(replay.next().unwrap()).await, ("ab".to_owned(), true, None));
    // They count.
    let replay = Replay::new(script(), 8);
    assert_eq!(read(replay.next().unwrap()).await, ("ab".to_owned(), true, None));
    assert!(!replay.can_replay());
}

#[tokio::test]
async fn a_client_that_fails_fails_every_try_in_the_same_way() {
    for error in [CallError::RequestStalled, CallError::RequestBroken("reset".to_owned())] {
        let replay = Replay::new(Script::new(&["ab"]).then(Err(error.clone())), 100);
        for _ in 0..2 {
            let next = replay.next().unwrap();
            assert!(!next.is_end_stream());
            assert_eq!(read(next).await, ("ab".to_owned(), false, Some(error.clone())));
        }
        assert_eq!(replay.next().unwrap().size_hint().exact(), None, "nobody knows how long it was to be");
    }
}

#[tokio::test]
async fn no_body_is_no_body_every_time() {
    let replay = Replay::new(Script::new(&[]), 0);
    for _ in 0..2 {
        let next = replay.next().unwrap();
        assert!(next.is_end_stream());
        assert_eq!(next.size_hint().exact(), Some(0));
        assert_eq!(read(next).await, whole(""));
    }
}

#[tokio::test]
async fn nothing_is_kept_once_the_response_is_on_its_way() {
    let replay = Replay::new(Script::new(&["ab", "cd", "ef"]), 100);
    let mut only = replay.next().unwrap();
    only.frame().await.unwrap().unwrap();
    assert_eq!(only.original.as_ref().unwrap().kept, "ab");
    drop(replay);
    only.frame().await.unwrap().unwrap();
    assert_eq!(only.original.as_ref().unwrap().kept.capacity(), 0);
    assert_eq!(read(only).await, whole("ef"));
}

#[tokio::test]
async fn many_small_frames_hold_no_more_than_their_bytes() {
    // Each is a slice of a buffer of its own.
    let big = |_| Ok(Frame::data(Bytes::from(vec![b'x'; 10_000]).slice(..1)));
    let replay = Replay::new(Script { frames: (0..1000).map(big).collect(), announced: true }, 1000);
    let mut first = replay.next().unwrap();
    while first.frame().await.is_some() {}
    assert!(first.original.as_ref().unwrap().kept.capacity() <= 2048);
    drop(first);
    assert_eq!(read(replay.next().unwrap()).await, whole(&"x".repeat(1000)));
}

proptest! {
    #[test]
    fn every_try_sees_the_original_or_there_is_none(
        frames in prop::collection::vec("[a-z]{0,9}", 0..12), has_trailers: bool, announced: bool,
        bound in 0usize..80, tries in prop::collection::vec(0usize..14, 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let parts: Vec<&str> = frames.iter().map(String::as_str).collect();
            let script = Script { announced, ..Script::new(&parts) };
            let script = if has_trailers { script.then(Ok(trailers())) } else { script };
            let (text, replay) = (frames.concat(), Replay::new(script, bound));
            let mut most_read = 0;
            for polls in tries {
                let Some(mut next) = replay.next() else { break };
                let mut seen = String::new();
                for _ in 0..polls {
                    let (left, hint) = ((text.len() - seen.len()) as u64, next.size_hint());
                    // When it has come as a whole, its length is known even if nobody announced it.
                    assert!(hint.exact() == Some(left) || (!announced && hint.exact().is_none() && hint.lower() <= left));
                    let Some(frame) = next.frame().await else { break };
                    let frame = frame.unwrap();
                    seen += frame.data_ref().map_or("", |data| std::str::from_utf8(data).unwrap());
                    assert!(text.starts_with(&seen));
                    assert!(next.original.as_ref().unwrap().kept.len() <= bound);
                }
                most_read = most_read.max(seen.len());
                assert!(replay.can_replay() || most_read > bound || text.len() > bound || has_trailers);
            }
            match replay.next() {
                Some(last) => assert_eq!(read(last).await, (text, has_trailers, None)),
                None => assert!(!replay.can_replay()),
            }
        });
    }
}
