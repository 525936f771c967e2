use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use async_compression::tokio::write::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use bytes::Bytes;
use http_body::{Body, Frame};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::accept::{choose, name};
use super::*;

const ALL: [Algorithm; 3] = [Algorithm::Zstd, Algorithm::Br, Algorithm::Gzip];

fn accept(lines: &[&str]) -> HeaderMap {
    let lines = lines.iter().map(|line| (http::header::ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap()));
    let mut headers = HeaderMap::new();
    lines.for_each(|(name, value)| _ = headers.append(name, value));
    headers
}

#[test]
fn the_client_and_then_the_server_choose() {
    for (line, want) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, br", "br"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", ""),
        ("", ""),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("*, zstd;q=0", "br"),
        ("zstd;q=0.5, gzip;q=0.8", "gzip"),
        ("zstd;q=0.5, gzip;q=0.500", "zstd"),
        ("br;q=0", ""),
        ("br ; q=0.001", "br"),
        ("br;Q=1.000", "br"),
        ("identity", ""),
        ("identity, gzip", "gzip"),
        ("identity;q=1, gzip;q=0.5", ""),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0", ""),
        ("identity;q=0, *;q=0", ""),
        ("br;q=1.1, gzip", "gzip"),
        ("br;q=0.1234, gzip;q=0.1", "gzip"),
        ("br;q=x, ;q=1, ;;, gzip;level=9", ""),
    ] {
        assert_eq!(choose(&accept(&[line]), &ALL).map_or("", name), want, "{line}");
    }
    assert_eq!(choose(&accept(&["gzip;q=0.5", "br"]), &ALL), Some(Algorithm::Br), "several lines are one list");
    assert_eq!(choose(&HeaderMap::new(), &ALL), None);
    assert_eq!(choose(&accept(&["zstd, gzip"]), &[Algorithm::Gzip]), Some(Algorithm::Gzip));
}

/// The response after the filter: its encoding (empty if none) and `Vary`.
fn filtered(method: &str, accepts: &str, status: u16, headers: &[(&'static str, &str)]) -> (String, HeaderMap) {
    let filter = Compression::new(&config::Compression::default());
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let (mut parts, ()) = response.body(()).unwrap().into_parts();
    let accepted = filter.accepted(&accept(&[accepts]));
    let encoder = filter.prepare(&method.parse().unwrap(), accepted, &mut parts, None);
    let encoding = parts.headers.get(CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap()).to_owned();
    assert!(encoder.is_none() || !encoding.is_empty());
    (if encoder.is_some() { encoding } else { String::new() }, parts.headers)
}

#[test]
fn responses_are_compressed_or_left_alone() {
    let json = ("content-type", "application/json; charset=utf-8");
    for (method, status, headers, compressed, varies) in [
        ("GET", 200, &[json][..], true, true),
        ("POST", 404, &[json], true, true),
        ("GET", 200, &[json, ("content-length", "1024")], true, true),
        ("GET", 200, &[json, ("content-length", "1023")], false, false),
        ("GET", 200, &[json, ("content-encoding", "identity")], true, true),
        ("GET", 200, &[json, ("content-encoding", "br")], false, false),
        ("GET", 200, &[json, ("cache-control", "public, No-Transform")], false, false),
        ("GET", 200, &[json, ("content-digest", "sha-256=:x:")], false, false),
        ("GET", 206, &[json, ("content-range", "bytes 0-1/2")], false, false),
        ("GET", 204, &[json], false, false),
        ("GET", 304, &[json], false, true),
        ("HEAD", 200, &[json], false, true),
        ("GET", 200, &[], false, false),
        ("GET", 200, &[("content-type", "TEXT/HTML")], true, true),
        ("GET", 200, &[("content-type", "application/problem+json")], true, true),
        ("GET", 200, &[("content-type", "text/event-stream")], false, false),
        ("GET", 200, &[("content-type", "Text/Event-Stream; charset=utf-8")], false, false),
        ("GET", 200, &[("content-type", "image/png")], false, false),
        ("GET", 200, &[("content-type", "rubbish")], false, false),
    ] {
        let (encoding, after) = filtered(method, "gzip", status, headers);
        assert_eq!(encoding == "gzip", compressed, "{method} {status} {headers:?}");
        assert_eq!(after.contains_key("vary"), varies, "{method} {status} {headers:?}");
        assert!(!compressed || !after.contains_key(CONTENT_LENGTH));
        let (encoding, after) = filtered(method, "", status, headers);
        assert_eq!((encoding.as_str(), after.contains_key("vary")), ("", varies), "refused: {status} {headers:?}");
    }
}

#[test]
fn a_strong_tag_becomes_weak_and_ranges_are_not_offered() {
    for (tag, want) in [("\"a\"", "W/\"a\""), ("W/\"a\"", "W/\"a\"")] {
        let headers = [("content-type", "text/html"), ("etag", tag), ("accept-ranges", "bytes")];
        let (_, after) = filtered("GET", "br", 200, &headers);
        assert_eq!(after[ETAG], want);
        assert!(!after.contains_key(ACCEPT_RANGES));
        assert_eq!(filtered("GET", "", 200, &headers).1[ETAG], tag);
    }
}

/// What an inner body does, step by step.
#[derive(Debug, Clone)]
enum Step {
    Data(Bytes),
    Wait,
    Fail,
    Trailers,
}

struct Script(VecDeque<Step>);

impl Body for Script {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.0.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Wait) => Poll::Pending,
            Some(Step::Fail) => Poll::Ready(Some(Err("broken"))),
            Some(Step::Trailers) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-end", HeaderValue::from_static("1"));
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }
}

/// A poll's outcome.
#[derive(Debug, PartialEq)]
enum Out {
    Data(Bytes),
    Wait,
    Fail,
    Trailers,
}

fn run(algorithm: Algorithm, level: CompressionLevel, steps: &[Step]) -> Vec<Out> {
    let script = Script(steps.iter().cloned().collect());
    let mut body = Box::pin(Compressed::new(script, Some(Encoder::new(algorithm, level))));
    let mut outs = Vec::new();
    let cx = &mut Context::from_waker(Waker::noop());
    loop {
        outs.push(match body.as_mut().poll_frame(cx) {
            Poll::Pending => Out::Wait,
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(_))) => Out::Fail,
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Out::Data(data),
                Err(_) => Out::Trailers,
            },
        });
    }
    assert!(body.is_end_stream());
    outs
}

fn data(outs: &[Out]) -> Vec<u8> {
    let data = outs.iter().filter_map(|out| if let Out::Data(data) = out { Some(&data[..]) } else { None });
    data.collect::<Vec<_>>().concat()
}

/// What `encoded` means; an error unless it ends as it should (when `whole`).
async fn decoded(algorithm: Algorithm, encoded: &[u8], whole: bool) -> std::io::Result<Vec<u8>> {
    macro_rules! decode {
        ($decoder:ident) => {{
            let mut decoder = $decoder::new(Vec::new());
            decoder.write_all(encoded).await?;
            if whole {
                decoder.shutdown().await?
            } else {
                decoder.flush().await?
            }
            Ok(decoder.into_inner())
        }};
    }
    match algorithm {
        Algorithm::Zstd => decode!(ZstdDecoder),
        Algorithm::Br => decode!(BrotliDecoder),
        Algorithm::Gzip => decode!(GzipDecoder),
    }
}

#[tokio::test]
async fn what_is_written_slowly_reaches_the_client_at_once() {
    for algorithm in ALL {
        let first = Step::Data("first".into());
        let steps = [first, Step::Wait, Step::Data("second".into()), Step::Wait, Step::Wait];
        let outs = run(algorithm, CompressionLevel::Default, &steps);
        assert!(matches!(&outs[..2], [Out::Data(_), Out::Data(_)] | [Out::Data(_), Out::Wait]), "{outs:?}");
        assert_eq!(decoded(algorithm, &data(&outs[..1]), false).await.unwrap(), b"first", "{algorithm:?}");
        assert_eq!(decoded(algorithm, &data(&outs), true).await.unwrap(), b"firstsecond", "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_failure_is_never_a_clean_end() {
    for algorithm in ALL {
        for before in [&[][..], &[Step::Data("some".into())], &[Step::Data("some".into()), Step::Wait]] {
            let outs = run(algorithm, CompressionLevel::Fast, &[before, &[Step::Fail]].concat());
            assert_eq!(outs.last(), Some(&Out::Fail), "{algorithm:?}");
            assert!(decoded(algorithm, &data(&outs), true).await.is_err(), "{algorithm:?} {before:?}");
        }
    }
}

#[tokio::test]
async fn trailers_follow_the_end() {
    for algorithm in ALL {
        let outs = run(algorithm, CompressionLevel::Fast, &[Step::Data("some".into()), Step::Trailers]);
        assert_eq!(outs.last(), Some(&Out::Trailers));
        assert_eq!(decoded(algorithm, &data(&outs), true).await.unwrap(), b"some");
    }
}

#[tokio::test]
async fn a_large_frame_comes_out_in_pieces_of_bounded_size() {
    let mut random = fastrand::Rng::with_seed(7);
    let large: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(1 << 20).collect();
    for algorithm in ALL {
        let outs = run(algorithm, CompressionLevel::Fast, &[Step::Data(large.clone().into())]);
        let most = outs.iter().map(|out| if let Out::Data(data) = out { data.len() } else { 0 }).max().unwrap();
        assert!(outs.len() >= 16 && most < 80 << 10, "{algorithm:?}: {} pieces, at most {most}", outs.len());
        assert_eq!(decoded(algorithm, &data(&outs), true).await.unwrap(), large);
    }
}

#[test]
fn without_an_encoder_a_body_passes_as_it_is() {
    let mut body = Box::pin(Compressed::new(http_body_util::Full::new(Bytes::from("x")), None));
    assert_eq!(body.size_hint().exact(), Some(1));
    let frame = body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(frame, Poll::Ready(Some(Ok(frame))) if frame.data_ref().unwrap() == "x"));
    assert!(body.is_end_stream());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_compressed_comes_back(
        chunks in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300).prop_map(|data| Step::Data(data.into())),
                (0usize..200_000, any::<u8>()).prop_map(|(size, byte)| Step::Data(vec![byte; size].into())),
                Just(Step::Wait),
            ],
            0..12,
        ),
        best in any::<bool>(),
    ) {
        let level = if best { CompressionLevel::Best } else { CompressionLevel::Default };
        let plain = chunks.iter().filter_map(|step| if let Step::Data(data) = step { Some(&data[..]) } else { None });
        let plain = plain.collect::<Vec<_>>().concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for algorithm in ALL {
            let encoded = data(&run(algorithm, level, &chunks));
            prop_assert_eq!(&runtime.block_on(decoded(algorithm, &encoded, true)).unwrap(), &plain);
        }
    }

    #[test]
    fn no_list_of_codings_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[gzipbr*;q=01., ]{0,40}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            if let Ok(value) = HeaderValue::from_bytes(bytes) {
                let mut headers = HeaderMap::new();
                headers.insert(http::header::ACCEPT_ENCODING, value);
                choose(&headers, &ALL);
            }
        }
    }
}

#[test]
fn not_modified_says_of_what_is_stored_what_was_said_with_it() {
    // A cache finds no stored response for a strong tag that it only has as a weak one (RFC 9111 section 4.3.4).
    let (_, headers) = filtered("GET", "gzip", 304, &[("etag", "\"a\"")]);
    assert_eq!(headers[ETAG], "W/\"a\"");
    assert_eq!(headers["vary"], "accept-encoding");
    let (_, headers) = filtered("GET", "identity", 304, &[("etag", "\"a\"")]);
    assert_eq!(headers[ETAG], "\"a\"");
    assert_eq!(headers["vary"], "accept-encoding");
}
