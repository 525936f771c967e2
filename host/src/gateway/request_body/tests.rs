use std::convert::Infallible;

use http::{Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::*;

/// A connection that answers 408 to a body that breaks off, and what the service waits for before it reads.
fn serve(pace: BodyPace, before_reading: Duration) -> DuplexStream {
    let (client, server) = duplex(64 << 10);
    let service = service_fn(move |mut request: Request<Incoming>| async move {
        request.extensions_mut().insert(pace);
        let (parts, body) = request.into_parts();
        sleep(before_reading).await;
        let status = if RequestBody::new(&parts, body).collect().await.is_ok() { 200 } else { 408 };
        Ok::<_, Infallible>(Response::builder().status(status).body(String::new()).unwrap())
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service));
    client
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n";

/// Sends a byte every so often, and says what was answered after how many seconds.
async fn drip(mut client: DuplexStream, every: Duration) -> (String, u64) {
    let began = Instant::now();
    client.write_all(POST).await.unwrap();
    let (mut answers, mut client) = tokio::io::split(client);
    let dripping = tokio::spawn(async move {
        for _ in 0..100 {
            sleep(every).await;
            let _ = client.write_all(b"x").await;
        }
    });
    let mut answer = vec![0; 1000];
    let count = answers.read(&mut answer).await.unwrap();
    dripping.abort();
    let answer = String::from_utf8(answer[..count].to_vec()).unwrap();
    (answer.split(' ').nth(1).unwrap().to_owned(), began.elapsed().as_secs())
}

fn pace(min_rate: u64) -> BodyPace {
    BodyPace { gap: Duration::from_secs(30), min_rate }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_an_error_after_the_gap() {
    let answered = drip(serve(pace(0), Duration::ZERO), Duration::from_secs(3600)).await;
    assert_eq!(answered, ("408".to_owned(), 30));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_fine_unless_there_is_a_least_rate() {
    let every = Duration::from_secs(5);
    assert_eq!(drip(serve(pace(0), Duration::ZERO), every).await, ("200".to_owned(), 500));
    assert_eq!(drip(serve(pace(240), Duration::ZERO), every).await, ("408".to_owned(), 10));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_reads_late_is_not_the_clients_fault() {
    let answered = drip(serve(pace(240), Duration::from_secs(600)), Duration::from_millis(1)).await;
    assert_eq!(answered, ("200".to_owned(), 600));
}
