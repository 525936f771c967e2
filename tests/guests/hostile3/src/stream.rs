//! Bodies that are more than a text.

use wasip3::http::types::Request;
use wasip3::wit_bindgen::StreamResult;
use wasip3::wit_future;

use crate::reply::{Reply, ended, respond, streamed};
use crate::{Query, sleep};

const CHUNK: usize = 64 << 10;

/// This many bytes, as fast as they are taken.
pub fn dots(mut bytes: u64) -> Reply {
    streamed(&[], async move |mut body| {
        while bytes > 0 {
            let part = usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK);
            if !body.write(vec![b'.'; part]).await {
                return;
            }
            bytes -= part as u64;
        }
    })
}

pub fn slow(content_type: &str, query: &Query) -> Reply {
    let (count, ms) = (query.number("count", 3), query.number("ms", 100));
    streamed(&[("content-type", content_type)], async move |mut body| {
        for n in 0..count {
            if !body.write(format!("data: {n}\n\n").into_bytes()).await {
                println!("the client has left at {n}");
                return;
            }
            sleep(ms).await;
        }
    })
}

/// Every byte comes into the guest and leaves it again; the trailers pass as they are.
pub fn echo(request: Request) -> Reply {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (mut input, trailers) = Request::consume_body(request, handled);
    ended(&[], trailers, async move |mut body| {
        loop {
            let (status, part) = input.read(Vec::with_capacity(CHUNK)).await;
            let over = matches!(status, StreamResult::Dropped);
            if !part.is_empty() && !body.write(part).await || over {
                return;
            }
        }
    })
}

pub async fn read_slowly(request: Request, ms: u64) -> Reply {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (mut input, trailers) = Request::consume_body(request, handled);
    let mut total = 0;
    loop {
        let (status, part) = input.read(Vec::with_capacity(16 << 10)).await;
        total += part.len();
        if matches!(status, StreamResult::Dropped) {
            break;
        }
        sleep(ms).await;
    }
    let end = if trailers.await.is_ok() { "end" } else { "broken off" };
    respond(200, format!("{total} {end}"))
}
