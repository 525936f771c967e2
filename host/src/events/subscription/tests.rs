//! Deliveries against a log and a service in memory, with a paused clock.

mod crashes;

use std::sync::atomic::Ordering;

use super::super::deliver::Answer;
use super::super::fake::{FakeLog, FakeService, event, status};
use super::*;
use crate::state::SubscriptionId;

const NOW: Duration = Duration::ZERO;

struct Running {
    log: Arc<FakeLog>,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn terms() -> Terms {
    Terms {
        id: SubscriptionId { service: "mail".into(), name: "all".into() },
        service: "mail".into(),
        name: "all".into(),
        topics: vec!["#".parse().unwrap()],
        start: Start::Earliest,
        path: "/events".into(),
        attempts: 3,
        backoff: Backoff::new(Duration::from_secs(10), Duration::from_secs(10)),
        longest_wait: Duration::from_secs(3600),
        ordered: true,
        max_in_flight: 4,
        timeout: None,
    }
}

fn start(log: &Arc<FakeLog>, service: &Arc<FakeService>, terms: Terms) -> Running {
    let (sender, commands) = mpsc::channel(1);
    let (shared, stop) = (Arc::<Shared>::default(), CancellationToken::new());
    let subscription = Subscription {
        terms: Arc::new(terms),
        log: Arc::clone(log) as _,
        deliver: Arc::clone(service) as _,
        shared: Arc::clone(&shared),
        commands,
        stop: stop.clone(),
    };
    let task = tokio::spawn(subscription.run());
    Running { log: Arc::clone(log), shared, commands: sender, stop, task }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// The state that a restart would find.
    async fn noted(&self) -> (u64, u64, u64) {
        let state = self.log.subscriptions().await.unwrap().remove(0);
        (state.position.0, state.waiting, state.dead)
    }

    fn count(&self, what: &str) -> u64 {
        self.shared.outcomes().into_iter().find(|(word, _)| *word == what).unwrap().1
    }
}

async fn pass(time: Duration) {
    sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn events_are_delivered_once_and_the_place_is_kept() {
    let (log, service) = (Arc::new(FakeLog::default()), FakeService::statuses(&[]));
    log.put((0..500).map(|n| event("a.b", None, &n.to_string())));
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(1)).await;
    assert_eq!(running.noted().await, (500, 0, 0));
    running.stop().await;
    let running = start(&log, &service, terms());
    log.put([event("a.b", None, "last")]);
    pass(Duration::from_secs(1)).await;
    let mut ids = service.ids();
    assert_eq!(ids.len(), 501);
    assert_eq!(ids.pop().unwrap(), "last");
    assert_eq!(running.count("handled"), 1);
    // Not one note for each.
    assert!(log.notes.lock().unwrap().len() < 50, "{}", log.notes.lock().unwrap().len());
}

#[tokio::test(start_paused = true)]
async fn an_event_is_tried_again_after_the_backoff_and_given_up_after_the_last_attempt() {
    let (log, service) = (Arc::new(FakeLog::default()), FakeService::statuses(&[500, 503, 504]));
    log.put([event("a", None, "1")]);
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(60)).await;
    let arrived: Vec<_> = service.arrived.lock().unwrap().iter().map(|a| (a.attempt, a.at.as_secs())).collect();
    assert_eq!(arrived, [(1, 0), (2, 10), (3, 20)]);
    assert_eq!(running.noted().await, (1, 0, 1));
    let dead = log.dead_letters(None, 0, 10).await.unwrap().remove(0);
    assert_eq!((dead.attempts, dead.error.as_str()), (3, "status 504 Gateway Timeout"));
    assert_eq!((running.count("retried"), running.count("dead")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_dead_at_once_and_retry_after_is_waited_for() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|arrived| match (arrived.id.as_str(), arrived.attempt) {
        ("bad", _) => (NOW, status(422)),
        ("slow", 1) => {
            let response = http::Response::builder().status(503).header("retry-after", "120");
            (NOW, Answer::Response(response.body(bytes::Bytes::new()).unwrap()))
        }
        _ => (NOW, status(200)),
    });
    log.put([event("a", None, "bad"), event("a", None, "slow")]);
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(119)).await;
    assert_eq!(running.noted().await, (2, 1, 1));
    assert_eq!(service.ids(), ["bad", "slow"]);
    pass(Duration::from_secs(2)).await;
    assert_eq!(service.ids(), ["bad", "slow", "slow"]);
    assert_eq!(running.noted().await, (2, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_tried_again_holds_back_its_key_and_nothing_else() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|arrived| match (arrived.id.as_str(), arrived.attempt) {
        ("k1", 1) => (NOW, status(500)),
        _ => (NOW, status(200)),
    });
    log.put([
        event("a", Some("k"), "k1"),
        event("a", Some("k"), "k2"),
        event("a", Some("l"), "l1"),
        event("b", Some("k"), "other topic"),
        event("a", None, "none"),
        event("a", Some("k"), "k3"),
    ]);
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(5)).await;
    let mut handled = service.handled_ids();
    handled.sort();
    assert_eq!(handled, ["l1", "none", "other topic"]);
    // The rest waits in the log: the place has gone on.
    assert_eq!(running.noted().await, (6, 3, 0));
    log.put([event("a", Some("k"), "k4")]);
    pass(Duration::from_secs(6)).await;
    assert_eq!(service.handled_ids()[3..], ["k1", "k2", "k3", "k4"]);
    assert_eq!(running.noted().await, (7, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_found_again_after_a_restart_in_its_order() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|arrived| (NOW, status(if arrived.id == "k1" { 500 } else { 200 })));
    log.put((1..=5).map(|n| event("a", Some("k"), &format!("k{n}"))));
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(1)).await;
    running.stop().await;
    assert_eq!(service.ids(), ["k1"]);
    service.script(|_| (NOW, status(200)));
    let _running = start(&log, &service, terms());
    pass(Duration::from_secs(60)).await;
    assert_eq!(service.handled_ids(), ["k1", "k2", "k3", "k4", "k5"]);
    assert_eq!(service.arrived.lock().unwrap()[1].attempt, 2, "attempts are not forgotten");
}

#[tokio::test(start_paused = true)]
async fn without_order_a_key_holds_nothing_back() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|arrived| (NOW, status(if arrived.id == "k1" { 500 } else { 200 })));
    log.put([event("a", Some("k"), "k1"), event("a", Some("k"), "k2")]);
    let _running = start(&log, &service, Terms { ordered: false, ..terms() });
    pass(Duration::from_secs(1)).await;
    assert_eq!(service.handled_ids(), ["k2"]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_max_in_flight_are_on_their_way() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|_| (Duration::from_millis(10), status(200)));
    log.put((0..100).map(|n| event("a", None, &n.to_string())));
    let _running = start(&log, &service, terms());
    pass(Duration::from_secs(2)).await;
    assert_eq!(service.handled_ids().len(), 100);
    assert_eq!(service.at_once.lock().unwrap().1, 4);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_there_costs_no_attempts_and_is_asked_less_and_less() {
    let log = Arc::new(FakeLog::default());
    let probes = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&probes);
    let service = FakeService::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        (NOW, Answer::NotThere { reason: "no_instance", after: None })
    });
    log.put((0..10).map(|n| event("a", Some(&n.to_string()), &n.to_string())));
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(600)).await;
    let asked = probes.load(Ordering::SeqCst);
    assert!((40..200).contains(&asked), "{asked}");
    assert_eq!(running.shared.standing(), (Standing::Paused, "no_instance".to_owned()));
    assert_eq!(running.noted().await, (0, 0, 0));
    assert!(running.count("deferred") > 40 && running.count("retried") == 0);
    // Somebody comes: it goes on at once, not at the next probe.
    service.script(|_| (NOW, status(200)));
    service.news.send_modify(|news| *news += 1);
    pass(Duration::from_millis(100)).await;
    assert_eq!(service.handled_ids().len(), 10);
    assert!(service.arrived.lock().unwrap().iter().all(|arrived| arrived.attempt == 1));
    assert_eq!(running.shared.standing().0, Standing::Active);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_waited_for() {
    let log = Arc::new(FakeLog::default());
    let mut refused = false;
    let service = FakeService::new(move |_| match std::mem::replace(&mut refused, true) {
        false => (NOW, Answer::NotThere { reason: "circuit_open", after: Some(Duration::from_secs(40)) }),
        true => (NOW, status(200)),
    });
    log.put([event("a", None, "1")]);
    let _running = start(&log, &service, terms());
    pass(Duration::from_secs(39)).await;
    assert!(service.handled_ids().is_empty());
    pass(Duration::from_secs(2)).await;
    assert_eq!(service.handled_ids(), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn when_too_many_wait_nothing_more_is_read() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|arrived| (NOW, status(if arrived.key.is_some() { 500 } else { 200 })));
    log.put([event("a", Some("k"), "first")]);
    log.put((0..15_000).map(|n| event("a", Some("k"), &n.to_string())));
    log.put([event("a", None, "last")]);
    let day = Duration::from_secs(86_400);
    let patient = Terms { attempts: 100, backoff: Backoff::new(day, day), longest_wait: day, ..terms() };
    let running = start(&log, &service, patient);
    pass(Duration::from_secs(60)).await;
    let (position, waiting, _) = running.noted().await;
    assert!(waiting >= book::MAX_WAITING as u64 && waiting <= (book::MAX_WAITING + book::WINDOW) as u64, "{waiting}");
    assert!(position < 15_000, "{position}");
    assert_eq!(service.ids(), ["first"]);
    service.script(|_| (NOW, status(200)));
    pass(day * 2).await;
    assert_eq!(service.handled_ids().len(), 15_002);
    assert_eq!(running.noted().await, (15_002, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_slow_event_does_not_have_thousands_delivered_again_after_a_crash() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|arrived| {
        (if arrived.id == "slow" { Duration::from_secs(3600) } else { Duration::from_millis(1) }, status(200))
    });
    log.put([event("a", None, "slow")]);
    log.put((0..5000).map(|n| event("a", None, &n.to_string())));
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(60)).await;
    let (position, waiting, _) = running.noted().await;
    assert!(position > 3900 && waiting == 1, "{position} {waiting}");
    running.task.abort();
    service.arrived.lock().unwrap().clear();
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(4000)).await;
    assert!(service.ids().len() < 1100 && service.ids().contains(&"slow".to_owned()));
    assert_eq!(running.noted().await, (5001, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_what_is_selected_is_delivered_and_what_goes_by_moves_the_place() {
    let (log, service) = (Arc::new(FakeLog::default()), FakeService::statuses(&[]));
    log.put([event("order.created", None, "1"), event("user.created", None, "2"), event("order.paid", None, "3")]);
    let topics = vec!["order.created".parse().unwrap(), "*.paid".parse().unwrap()];
    let running = start(&log, &service, Terms { topics, ..terms() });
    pass(Duration::from_secs(1)).await;
    log.put((0..1000).map(|n| event("user.created", None, &n.to_string())));
    pass(Duration::from_secs(3)).await;
    assert_eq!(service.ids(), ["1", "3"]);
    assert_eq!((running.noted().await.0, running.shared.lag()), (1003, 0));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_does_not_answer_for_a_while_loses_nothing() {
    let (log, service) = (Arc::new(FakeLog::slow(Duration::from_millis(1))), FakeService::statuses(&[500]));
    log.put([event("a", Some("k"), "1"), event("a", Some("k"), "2")]);
    let running = start(&log, &service, terms());
    pass(Duration::from_millis(5)).await;
    log.broken.store(true, Ordering::SeqCst);
    pass(Duration::from_secs(120)).await;
    log.put([event("a", None, "3")]);
    log.broken.store(false, Ordering::SeqCst);
    pass(Duration::from_secs(60)).await;
    assert_eq!(service.handled_ids().len(), 3);
    assert_eq!(running.noted().await, (3, 0, 0));
    running.stop().await;
    // And one that does not answer at the start.
    log.broken.store(true, Ordering::SeqCst);
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(5)).await;
    assert_eq!(running.shared.standing().0, Standing::Failing);
    log.broken.store(false, Ordering::SeqCst);
    pass(Duration::from_secs(60)).await;
    assert_eq!(running.shared.standing().0, Standing::Active);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_due_again_before_its_row_is_noted_is_delivered_all_the_same() {
    let log = Arc::new(FakeLog::slow(Duration::from_millis(200)));
    let service = FakeService::statuses(&[500, 500]);
    log.put([event("a", Some("k"), "1"), event("a", Some("k"), "2")]);
    let quick = Backoff::new(Duration::from_millis(10), Duration::from_millis(10));
    let running = start(&log, &service, Terms { backoff: quick, ..terms() });
    pass(Duration::from_secs(30)).await;
    assert_eq!(service.ids(), ["1", "1", "1", "2"]);
    assert_eq!(running.noted().await, (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_seek_delivers_again_from_there_and_forgets_what_waits() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|arrived| (NOW, status(if arrived.id == "2" { 500 } else { 200 })));
    log.put((1..=4).map(|n| event("a", None, &n.to_string())));
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(1)).await;
    assert_eq!(running.noted().await, (4, 1, 0));
    service.script(|_| (NOW, status(200)));
    let (reply, answer) = oneshot::channel();
    running.commands.send(Command::Seek(Start::Offset(Offset(3)), reply)).await.unwrap();
    assert_eq!(answer.await.unwrap(), Ok(Offset(2)));
    pass(Duration::from_secs(60)).await;
    assert_eq!(service.handled_ids(), ["1", "3", "4", "3", "4"]);
    assert_eq!(running.noted().await, (4, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_at_the_end_is_waited_for() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|_| (Duration::from_secs(5), status(200)));
    log.put([event("a", None, "1")]);
    let running = start(&log, &service, terms());
    pass(Duration::from_secs(1)).await;
    let shared = Arc::clone(&running.shared);
    running.stop().await;
    assert_eq!(shared.standing().0, Standing::Stopped);
    assert_eq!(log.subscriptions().await.unwrap()[0].position, Offset(1));
}
