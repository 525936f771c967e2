use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use wasmtime_wasi::cli::StdoutStream;

use super::super::tests::{Captured, Fixture, Slot, fixture};
use super::super::{CapabilityCtx, GuestLog, GuestStream, MAX_LINE_BYTES, ServiceCapabilities};
use super::Bytes;

fn write(stream: &GuestStream, text: &[u8]) {
    let mut stream = stream.p2_stream();
    assert!(stream.check_write().unwrap() >= text.len().min(4096));
    stream.write(Bytes::copy_from_slice(text)).unwrap();
    stream.flush().unwrap();
}

#[test]
fn output_becomes_lines_whatever_the_pieces() {
    let (captured, _guard) = Captured::start();
    let Fixture { slot, .. } = fixture(0);
    let (stdout, stderr) = (slot.ctx.stdout(), slot.ctx.stderr());
    write(&stdout, b"one\ntwo\r\nth");
    write(&stderr, b"err");
    write(&stdout, b"ree");
    write(&stdout, b"\n\nfive");
    write(&stderr, b"or\xff\n");
    assert_eq!(
        captured.lines(),
        [
            "INFO stdout request-1 -: one",
            "INFO stdout request-1 -: two",
            "INFO stdout request-1 -: three",
            "INFO stdout request-1 -: ",
            "INFO stderr request-1 -: error\\xff",
        ]
    );
}

#[test]
fn an_unfinished_line_is_written_when_the_store_is_dropped_or_serves_the_next_request() {
    let (captured, _guard) = Captured::start();
    let Fixture { mut slot, .. } = fixture(0);
    let tail = slot.ctx.stderr_tail();
    write(&slot.ctx.stdout(), b"first");
    slot.ctx.begin_request("request-2".into());
    write(&slot.ctx.stderr(), b"second");
    let stream = slot.ctx.stdout();
    write(&stream, b"third");
    drop(slot);
    let expected =
        ["INFO stdout request-1 -: first", "INFO stdout request-2 -: third", "INFO stderr request-2 -: second"];
    assert_eq!(captured.lines(), expected);
    drop((tail, stream));
    assert_eq!(captured.lines(), expected, "written once");
}

#[tokio::test]
async fn streams_of_0_3_guests_write_to_the_same_lines() {
    let (captured, _guard) = Captured::start();
    let Fixture { slot, .. } = fixture(0);
    write(&slot.ctx.stdout(), b"half ");
    let mut stream = Box::into_pin(slot.ctx.stdout().async_stream());
    stream.write_all(b"and half\n").await.unwrap();
    stream.flush().await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(captured.lines(), ["INFO stdout request-1 -: half and half"]);
}

#[test]
fn a_long_line_is_cut_once_and_the_next_one_is_whole() {
    let (captured, _guard) = Captured::start();
    let Fixture { slot, .. } = fixture(0);
    let stdout = slot.ctx.stdout();
    for _ in 0..20 {
        write(&stdout, &[b'x'; 1000]);
    }
    write(&stdout, b"\nnext\n");
    write(&stdout, &[&[b'y'; MAX_LINE_BYTES][..], b"\n"].concat());
    write(&stdout, &[&[b'z'; MAX_LINE_BYTES + 1][..], b"\n"].concat());
    drop(slot);
    let lines: Vec<_> = captured.lines().into_iter().filter(|line| !line.contains("bytes dropped")).collect();
    let text = |number: usize| lines[number].strip_prefix("INFO stdout request-1 -: ").unwrap();
    assert_eq!(text(0), "x".repeat(MAX_LINE_BYTES) + " [line was cut here]");
    assert_eq!(text(1), "next");
    assert_eq!(text(2), "y".repeat(MAX_LINE_BYTES));
    assert_eq!(text(3), "z".repeat(MAX_LINE_BYTES) + " [line was cut here]");
    assert_eq!(lines.len(), 4);
}

#[tokio::test]
async fn a_flood_is_cut_to_the_rate_and_reported_once_a_second() {
    let (captured, _guard) = Captured::start();
    let log = GuestLog::new("orders", "1.0.0", 100_000);
    let service = Arc::new(ServiceCapabilities::new("orders", None, Default::default(), log));
    let slot = Slot::new(&service);
    let other = Slot::new(&Arc::new(service.for_version("2.0.0")));
    let start = Instant::now();
    for _ in 0..5_000 {
        write(&slot.ctx.stdout(), &[b'x'; 999]);
        write(&other.ctx.stderr(), b"\n\n\n\n\n\n\n\n\n\n");
        write(&slot.ctx.stdout(), b"\n");
    }
    let seconds = start.elapsed().as_secs_f64();
    let bytes: usize = captured.lines().iter().map(String::len).sum();
    assert!(bytes > 50_000, "what fits is written: {bytes}");
    assert!((bytes as f64) < 100_000.0 * (1.0 + seconds) * 1.1, "both versions share one rate: {bytes} in {seconds} s");

    let reports = || captured.lines().into_iter().filter(|line| line.contains("bytes dropped")).collect::<Vec<_>>();
    while reports().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "the drop is never reported");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(reports().len(), 1);
    let dropped: usize = reports()[0].split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!((4_000_000..5_000_000).contains(&dropped), "{}", reports()[0]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    write(&slot.ctx.stdout(), b"quiet again\n");
    assert_eq!(reports().len(), 1);
    assert!(captured.lines().last().unwrap().ends_with("quiet again"));
}

fn ctx() -> CapabilityCtx {
    fixture(0).slot.ctx
}

#[test]
fn a_panic_is_found_at_the_end_of_standard_error() {
    let mut ctx = ctx();
    let tail = ctx.stderr_tail();
    assert_eq!(tail.panic_message(), None);
    write(&ctx.stderr(), b"starting\n\nthread '<unnamed>' (1) panicked at src/lib.rs:3:");
    write(&ctx.stderr(), b"5:\nindex out of \x1b[31mbounds\nnote: run with `RUST_BACKTRACE=1` environment variable\n");
    let message = "thread '<unnamed>' (1) panicked at src/lib.rs:3:5: index out of \\u{1b}[31mbounds";
    assert_eq!(tail.panic_message().as_deref(), Some(message));
    assert!(tail.text().starts_with("starting\\n\\nthread"));

    ctx.begin_request("request-2".into());
    assert_eq!((tail.panic_message(), tail.text()), (None, String::new()));
    write(&ctx.stderr(), b"panic: runtime error: nil map\n");
    assert_eq!(tail.panic_message().as_deref(), Some("panic: runtime error: nil map"));
    drop(ctx);
    assert!(tail.panic_message().is_some(), "also after the store is gone");
}

#[test]
fn the_tail_keeps_the_last_two_kilobytes() {
    let ctx = ctx();
    let tail = ctx.stderr_tail();
    for number in 0..1000 {
        write(&ctx.stderr(), format!("line {number}\n").as_bytes());
    }
    write(&ctx.stdout(), b"not this");
    assert!(tail.text().ends_with("line 999\\n"));
    assert!(!tail.text().contains("line 700"));
    write(&ctx.stderr(), &[&[b'a'; 100_000][..], b"end"].concat());
    assert_eq!(tail.text(), "a".repeat(2045) + "end");
}

#[test]
fn a_slot_that_writes_nothing_shares_everything_with_its_service() {
    let Fixture { service, .. } = fixture(0);
    let ctx = CapabilityCtx::new(Arc::clone(&service), "request".into());
    assert_eq!(Arc::strong_count(&service), 2);
    drop(ctx);
    assert_eq!(Arc::strong_count(&service), 1);
}
