#![expect(clippy::disallowed_methods, reason = "these tests are threads that wait for a thread")]

use std::io;
use std::sync::atomic::AtomicBool;

use super::*;

/// An output that a test can read and stop.
#[derive(Clone, Default)]
struct Output {
    written: Arc<Mutex<Vec<u8>>>,
    flushes: Arc<AtomicU64>,
    stuck: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.stuck.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        if self.broken.load(Ordering::Acquire) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.written.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Output {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.written.lock().unwrap().clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
        text.split_terminator('\n').map(Into::into).collect()
    }
}

fn record() -> Record {
    Record {
        timestamp: Timestamp::from_millisecond(1_000_000_000_123).unwrap(),
        request_id: "0193-id".into(),
        client_ip: Some(IpAddr::from([192, 0, 2, 1])),
        method: "GET".into(),
        host: "shop.example:8080".into(),
        path: "/orders/1?token=x&a=b".into(),
        protocol: Version::HTTP_11,
        status: 200,
        reason: None,
        bytes_in: 3,
        bytes_out: 1024,
        duration: Duration::from_micros(1_234),
        upstream: Some(Duration::from_micros(1_000)),
        route: Some("shop".into()),
        service: Some("orders".into()),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        version: Some("1.2".into()),
        instance: Some("orders/1.2@01234567".into()),
        fallback: None,
        caller: Some("carts".into()),
        subject: Some("ann".into()),
        attempts: 1,
        user_agent: Some("curl/8".into()),
    }
}

/// The lines that records become.
fn lines(format: LogFormat, records: impl IntoIterator<Item = Record>) -> Vec<String> {
    let output = Output::default();
    let log = AccessLog::start(format, Box::new(output.clone()));
    records.into_iter().for_each(|record| log.log(record));
    drop(log);
    output.lines()
}

fn json(record: Record) -> serde_json::Value {
    serde_json::from_str(&lines(LogFormat::Json, [record])[0]).unwrap()
}

#[test]
fn a_json_line_has_every_field() {
    let expected = serde_json::json!({
        "ts": "2001-09-09T01:46:40.123Z",
        "requestId": "0193-id",
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "clientIp": "192.0.2.1",
        "method": "GET",
        "host": "shop.example:8080",
        "path": "/orders/1?token=REDACTED&a=b",
        "protocol": "HTTP/1.1",
        "status": 200,
        "reason": null,
        "bytesIn": 3,
        "bytesOut": 1024,
        "durationMs": 1.234,
        "upstreamMs": 1.0,
        "route": "shop",
        "service": "orders",
        "version": "1.2",
        "instance": "orders/1.2@01234567",
        "fallback": null,
        "caller": "carts",
        "subject": "ann",
        "attempts": 1,
        "userAgent": "curl/8",
    });
    assert_eq!(json(record()), expected);
}

#[test]
fn a_request_that_reached_no_service_has_nulls_and_a_reason() {
    let refused = Record {
        caller: None,
        trace_id: None,
        subject: None,
        client_ip: None,
        host: String::new(),
        status: 404,
        reason: Some("no_route"),
        upstream: None,
        route: None,
        service: None,
        version: None,
        user_agent: None,
        attempts: 0,
        ..record()
    };
    let line = json(refused.clone());
    for absent in ["traceId", "clientIp", "host", "upstreamMs", "route", "service", "version", "subject", "userAgent"] {
        assert!(line[absent].is_null(), "{absent}");
    }
    assert_eq!(line["reason"], "no_route");
    let text = lines(LogFormat::Text, [refused]);
    assert_eq!(text, ["01:46:40.123Z - GET /orders/1?token=REDACTED&a=b 404 1.2ms 3B>1024B no_route id 0193-id"]);
}

#[test]
fn a_text_line_is_readable() {
    let retried = Record { attempts: 2, ..record() };
    let expected = "01:46:40.123Z 192.0.2.1 GET shop.example:8080/orders/1?token=REDACTED&a=b 200 1.2ms 3B>1024B \
                    orders@1.2 service 1.0ms attempts 2 id 0193-id";
    assert_eq!(lines(LogFormat::Text, [retried]), [expected]);
}

#[test]
fn who_answered_in_a_service_s_place_is_named_beside_it() {
    let other = Record { fallback: Some("spare".into()), ..record() };
    let line = json(other.clone());
    assert_eq!((&line["service"], &line["fallback"]), (&"orders".into(), &"spare".into()));
    let text = &lines(LogFormat::Text, [other])[0];
    assert!(text.contains(" orders fallback spare@1.2 service 1.0ms "), "{text}");
}

#[test]
fn nobody_can_forge_a_line_or_speak_to_the_terminal() {
    for format in [LogFormat::Json, LogFormat::Text] {
        let hostile = Record {
            host: "a\r\nforged \x1b[2J\u{9b}31m\u{202e}".into(),
            method: "GET\n".into(),
            path: "/\r\n?\r\n".into(),
            request_id: "id\t\u{9b}".into(),
            user_agent: Some("x\ty\u{202e}".into()),
            ..record()
        };
        let lines = lines(format, [hostile]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].chars().all(|c| !c.is_control() && c != '\u{202e}'), "{lines:?}");
        assert!(lines[0].contains("forged"), "{lines:?}");
    }
}

#[test]
fn what_is_not_ascii_but_printable_stays() {
    let line = json(Record { user_agent: Some("Größe/1 \"q\"".into()), ..record() });
    assert_eq!(line["userAgent"], "Größe/1 \"q\"");
}

#[test]
fn long_fields_are_cut() {
    let long = Record { path: format!("/{}", "p".repeat(5000)), user_agent: Some("ü".repeat(500)), ..record() };
    let line = json(long);
    assert_eq!(line["path"].as_str().unwrap().chars().count(), 2049);
    assert_eq!(line["userAgent"].as_str().unwrap(), format!("{}…", "ü".repeat(256)));
}

#[test]
fn every_record_is_written_in_order_when_the_log_is_closed() {
    let output = Output::default();
    let log = AccessLog::start(LogFormat::Json, Box::new(output.clone()));
    for n in 0..5000 {
        log.log(Record { bytes_in: n, ..record() });
    }
    log.close();
    let written: Vec<u64> = output
        .lines()
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["bytesIn"].as_u64().unwrap())
        .collect();
    assert_eq!(written, (0..5000).collect::<Vec<_>>());
    assert_eq!(log.dropped(), 0);
    log.log(record());
    log.close();
    assert_eq!((output.lines().len(), log.dropped()), (5000, 1), "after close nothing is written");
}

#[test]
fn a_line_appears_while_the_log_is_open_and_few_writes_carry_many_lines() {
    let output = Output::default();
    let log = AccessLog::start(LogFormat::Text, Box::new(output.clone()));
    for _ in 0..100 {
        log.log(record());
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while output.lines().len() < 100 {
        assert!(Instant::now() < deadline, "the line did not appear");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(output.flushes.load(Ordering::Relaxed) < 20);
}

#[test]
fn an_output_that_does_not_move_costs_records_and_not_time() {
    let output = Output::default();
    output.stuck.store(true, Ordering::Release);
    let log = AccessLog::start(LogFormat::Text, Box::new(output.clone()));
    let begun = Instant::now();
    let sent = 4 * u64::try_from(QUEUE).unwrap();
    for _ in 0..sent {
        log.log(record());
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "logging waited: {:?}", begun.elapsed());
    assert!(log.dropped() > 0);
    log.close();
    assert!(begun.elapsed() < Duration::from_secs(6), "closing waited: {:?}", begun.elapsed());
    output.stuck.store(false, Ordering::Release);
    log.close();
    assert_eq!(
        u64::try_from(output.lines().len()).unwrap() + log.dropped(),
        sent,
        "every record is written or counted"
    );
}

#[test]
fn a_broken_output_loses_lines_and_recovers() {
    let output = Output::default();
    output.broken.store(true, Ordering::Release);
    let log = AccessLog::start(LogFormat::Text, Box::new(output.clone()));
    log.log(record());
    thread::sleep(20 * GATHER);
    output.broken.store(false, Ordering::Release);
    log.log(record());
    log.close();
    assert_eq!(output.lines().len(), 1);
}
