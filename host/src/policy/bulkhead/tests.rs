use super::*;

fn limits(max_concurrent: usize, max_pending: usize) -> BulkheadLimits {
    let (max_wait, adaptive) = (Duration::from_secs(1), config::AdaptiveLimit::default());
    BulkheadLimits { max_concurrent, max_pending, max_wait, reserved: 0, adaptive }
}

fn bulkhead(max_concurrent: usize, max_pending: usize) -> Bulkhead {
    Bulkhead::new(limits(max_concurrent, max_pending))
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_place_and_gets_it() {
    let bulkhead = Arc::new(bulkhead(1, 1));
    let first = bulkhead.admit(Class::Request).await.unwrap();
    let second = tokio::spawn({
        let bulkhead = Arc::clone(&bulkhead);
        async move { bulkhead.admit(Class::Request).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!second.is_finished());
    drop(first);
    assert!(second.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_after_max_wait() {
    let bulkhead = bulkhead(1, 1);
    let _first = bulkhead.admit(Class::Request).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(bulkhead.admit(Class::Request).await.unwrap_err(), BulkheadFull);
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn more_than_max_pending_are_refused_at_once() {
    let bulkhead = bulkhead(1, 0);
    let _first = bulkhead.admit(Class::Request).await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(bulkhead.admit(Class::Request).await.unwrap_err(), BulkheadFull);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_leaves_the_waiting_room() {
    let bulkhead = bulkhead(1, 1);
    let first = bulkhead.admit(Class::Request).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_millis(10), bulkhead.admit(Class::Request)).await;
    drop(first);
    let _second = bulkhead.admit(Class::Request).await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(bulkhead.admit(Class::Request).await.is_err());
    assert_eq!(began.elapsed(), Duration::from_secs(1), "it was let into the waiting room");
}

#[tokio::test(start_paused = true)]
async fn resizing_counts_the_permits_that_are_out() {
    let bulkhead = bulkhead(2, 0);
    let (first, second) =
        (bulkhead.admit(Class::Request).await.unwrap(), bulkhead.admit(Class::Request).await.unwrap());
    bulkhead.resize(limits(1, 0));
    drop(first);
    assert!(bulkhead.admit(Class::Request).await.is_err(), "one place, and the second request has it");
    drop(second);
    let _third = bulkhead.admit(Class::Request).await.unwrap();
    bulkhead.resize(limits(2, 0));
    assert!(bulkhead.admit(Class::Request).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_free_and_who_waits_can_be_asked() {
    let bulkhead = bulkhead(2, 1);
    let (first, _second) =
        (bulkhead.admit(Class::Request).await.unwrap(), bulkhead.admit(Class::Request).await.unwrap());
    assert_eq!((bulkhead.limit(), bulkhead.in_flight(), bulkhead.pending()), (2, 2, 0));
    bulkhead.resize(limits(1, 1));
    assert_eq!((bulkhead.limit(), bulkhead.in_flight()), (1, 2));
    let waited = tokio::join!(bulkhead.admit(Class::Request), async { bulkhead.pending() }).1;
    assert_eq!((waited, bulkhead.pending()), (1, 0));
    drop(first);
    assert_eq!((bulkhead.limit(), bulkhead.in_flight()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_health_check_finds_a_place_in_a_full_bulkhead() {
    let bulkhead = Bulkhead::new(BulkheadLimits { reserved: 1, ..limits(1, 5) });
    let request = bulkhead.admit(Class::Request).await.unwrap();
    let check = bulkhead.admit(Class::Reserved).await.unwrap();
    let began = Instant::now();
    assert!(bulkhead.admit(Class::Reserved).await.is_err(), "only one is reserved");
    assert_eq!(began.elapsed(), Duration::ZERO, "and it does not wait");
    assert!(bulkhead.admit(Class::Request).await.is_err(), "requests never get it");
    drop(request);
    assert!(bulkhead.admit(Class::Reserved).await.is_ok(), "a free place will do");
    drop(check);
    assert!(bulkhead.admit(Class::Reserved).await.is_ok());
    assert_eq!(bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn reserved_places_can_change_too() {
    let bulkhead = Bulkhead::new(BulkheadLimits { reserved: 2, ..limits(1, 0) });
    let _request = bulkhead.admit(Class::Request).await.unwrap();
    let (_first, _second) =
        (bulkhead.admit(Class::Reserved).await.unwrap(), bulkhead.admit(Class::Reserved).await.unwrap());
    bulkhead.resize(BulkheadLimits { reserved: 3, ..limits(1, 0) });
    let third = bulkhead.admit(Class::Reserved).await.unwrap();
    bulkhead.resize(BulkheadLimits { reserved: 2, ..limits(1, 0) });
    drop(third);
    assert!(bulkhead.admit(Class::Reserved).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_begins_small_and_is_lifted_when_it_is_switched_off() {
    let adaptive = config::AdaptiveLimit { enabled: true, ..config::AdaptiveLimit::default() };
    let bulkhead = Bulkhead::new(BulkheadLimits { adaptive, ..limits(100, 0) });
    assert_eq!(bulkhead.limit(), 3);
    let _all: Vec<_> = [bulkhead.admit(Class::Request).await, bulkhead.admit(Class::Request).await].into();
    let third = bulkhead.admit(Class::Request).await.unwrap();
    assert!(bulkhead.admit(Class::Request).await.is_err());
    drop(third);
    // Always as fast as at the beginning: it may grow.
    let _third = bulkhead.admit(Class::Request).await.unwrap();
    let mut now = Instant::now();
    let grown = (0..1000).find_map(|_| {
        now += Duration::from_millis(10);
        bulkhead.observe(Duration::from_millis(5), now)
    });
    assert!(grown.is_some_and(|size| size > 3), "{grown:?}");
    assert_eq!(Some(bulkhead.limit()), grown);
    assert!(bulkhead.admit(Class::Request).await.is_ok());
    bulkhead.resize(limits(50, 0));
    assert_eq!((bulkhead.limit(), bulkhead.observe(Duration::from_millis(5), now)), (50, None));
}
