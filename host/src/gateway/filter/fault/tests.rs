use serde_json::json;

use super::*;

/// A draw that hits any share but 0, and one that hits only all.
const HIT: u64 = 0;
const MISS: u64 = 999_999;

fn config(json: serde_json::Value) -> config::Fault {
    serde_json::from_value(json).unwrap()
}

fn fault(json: serde_json::Value) -> Fault {
    Fault::new(&config(json), "rule a", &Kept::default())
}

fn both() -> serde_json::Value {
    json!({ "delay": { "duration": "2s", "percent": 10 }, "abort": { "status": 503, "percent": 10 } })
}

/// What becomes of a request, and after how many milliseconds.
async fn inject(
    fault: &Fault,
    headers: &HeaderMap,
    deadline: Option<Instant>,
    draws: [u64; 2],
) -> (Result<(), GatewayError>, u128) {
    let began = Instant::now();
    (fault.inject(headers, deadline, draws).await, began.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn delay_and_abort_are_drawn_apart_and_the_delay_comes_first() {
    let fault = fault(both());
    let aborted = || Err(GatewayError::FaultInjected(503));
    for (draws, becomes) in [
        ([MISS, MISS], (Ok(()), 0)),
        ([HIT, MISS], (Ok(()), 2000)),
        ([MISS, HIT], (aborted(), 0)),
        ([HIT, HIT], (aborted(), 2000)),
    ] {
        assert_eq!(inject(&fault, &HeaderMap::new(), None, draws).await, becomes, "{draws:?}");
    }
    let FaultState { delayed, not_delayed, aborted, .. } = &*fault.state;
    assert_eq!([delayed, not_delayed, aborted].map(|count| count.load(Ordering::Relaxed)), [2, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_share_is_a_share_of_draws() {
    for (percent, hits) in [(json!(0), 0), (json!(12.5), 125), (json!(100), 1000)] {
        let delay = fault(json!({ "delay": { "duration": "1ms", "percent": percent } }));
        let abort = fault(json!({ "abort": { "status": 500, "percent": percent } }));
        let (mut delayed, mut aborted) = (0, 0);
        for draw in (0..1000).map(|thousandth| thousandth * 1000) {
            delayed += inject(&delay, &HeaderMap::new(), None, [draw, MISS]).await.1;
            aborted += u32::from(inject(&abort, &HeaderMap::new(), None, [MISS, draw]).await.0.is_err());
        }
        assert_eq!((delayed, aborted), (hits, u32::try_from(hits).unwrap()), "{percent}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_requests_with_the_header_take_part_and_its_value_chooses_nothing() {
    let mut json = both();
    json["header"] = json!("X-Fault");
    let fault = fault(json);
    let with = |name: &'static str, value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    };
    assert_eq!(inject(&fault, &HeaderMap::new(), None, [HIT, HIT]).await, (Ok(()), 0));
    assert_eq!(inject(&fault, &with("x-faults", "1"), None, [HIT, HIT]).await, (Ok(()), 0));
    for value in ["", "no", "delay=9h", "abort=200", "abort=999"] {
        let becomes = inject(&fault, &with("x-fault", value), None, [HIT, HIT]).await;
        assert_eq!(becomes, (Err(GatewayError::FaultInjected(503)), 2000), "{value}");
        assert_eq!(inject(&fault, &with("x-fault", value), None, [MISS, MISS]).await, (Ok(()), 0), "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_delay() {
    let fault = fault(both());
    for (limit, becomes) in [
        (Some(500), (Err(GatewayError::RequestTimeout), 500)),
        (Some(2000), (Err(GatewayError::RequestTimeout), 2000)),
        (Some(2001), (Ok(()), 2000)),
        (None, (Ok(()), 2000)),
    ] {
        let deadline = limit.map(|limit| Instant::now() + Duration::from_millis(limit));
        assert_eq!(inject(&fault, &HeaderMap::new(), deadline, [HIT, MISS]).await, becomes, "{limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_than_max_active_wait_and_whoever_leaves_makes_room() {
    let mut json = both();
    json["maxActive"] = json!(2);
    let (states, headers) = (Kept::default(), HeaderMap::new());
    let fault = Fault::new(&config(json.clone()), "rule a", &states);
    let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(fault.inject(&headers, None, [HIT, MISS]))).collect();
    for waiting in &mut waiting {
        assert!(futures_util::poll!(waiting).is_pending());
    }
    assert_eq!(inject(&fault, &headers, None, [HIT, MISS]).await, (Ok(()), 0), "a third goes on at once");
    let failed = inject(&fault, &headers, None, [HIT, HIT]).await;
    assert_eq!(failed, (Err(GatewayError::FaultInjected(503)), 0), "and fails if it is to");
    // The same filter after a change of the configuration knows who waits.
    json["maxActive"] = json!(3);
    let changed = Fault::new(&config(json), "rule a", &states);
    let mut third = Box::pin(changed.inject(&headers, None, [HIT, MISS]));
    assert!(futures_util::poll!(&mut third).is_pending());
    assert_eq!(inject(&changed, &headers, None, [HIT, MISS]).await, (Ok(()), 0));
    drop((waiting, third));
    assert_eq!(inject(&fault, &headers, None, [HIT, MISS]).await, (Ok(()), 2000));
    assert_eq!(fault.state.not_delayed.load(Ordering::Relaxed), 3);
}
