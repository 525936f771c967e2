//! The room as a whole, with a log and a service in memory: configurations come and go, operators give orders.

use bytes::Bytes;
use tokio::time::sleep;

use super::fake::{FakeLog, FakeService, event, no_queues, status};
use super::notes::tests::memory;
use super::*;
use crate::config::Service;
use crate::state::{Start, StoredEvent};

const NOW: Duration = Duration::ZERO;

fn config(subscriptions: &str) -> Arc<Config> {
    let mut config = Config::default();
    let subscriptions = serde_json::from_str(subscriptions).unwrap();
    config.services.insert("mail".to_owned(), Service { subscriptions, ..Service::default() });
    Arc::new(config)
}

fn start(log: &Arc<FakeLog>, service: &Arc<FakeService>, config: Arc<Config>) -> Arc<Events> {
    let parts = Parts {
        log: Arc::clone(log) as _,
        bus: Bus::new(Arc::clone(log) as _, no_queues(), Arc::clone(&config)),
        deliver: Arc::clone(service) as _,
        outboxes: None,
        notes: memory(),
    };
    Events::start(parts, config)
}

fn id(name: &str) -> SubscriptionId {
    SubscriptionId { service: "mail".into(), name: name.into() }
}

#[tokio::test(start_paused = true)]
async fn changed_terms_take_over_when_what_was_on_its_way_has_ended() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|_| (Duration::from_secs(3), status(200)));
    let events = start(&log, &service, config(r##"[{ "name": "s", "topic": "#", "from": "earliest" }]"##));
    log.put([event("a", None, "1")]);
    sleep(Duration::from_secs(1)).await;
    events.apply(&config(r#"[{ "name": "s", "topic": "b" }]"#));
    log.put([event("a", None, "2"), event("b", None, "3")]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(service.ids(), ["1"], "two at once would deliver the same");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(service.handled_ids(), ["1", "3"]);
    // The same terms again change nothing.
    let task = events.lock().known[&id("s")].task.id();
    events.apply(&config(r#"[{ "name": "s", "topic": "b" }]"#));
    assert_eq!(events.lock().known[&id("s")].task.id(), task);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_goes_and_comes_back_delivers_nothing_twice() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|_| (Duration::from_secs(3), status(200)));
    let with = config(r##"[{ "name": "s", "topic": "#", "from": "earliest" }]"##);
    let events = start(&log, &service, Arc::clone(&with));
    log.put([event("a", None, "1")]);
    sleep(Duration::from_secs(1)).await;
    events.apply(&Arc::default());
    let list = events.subscriptions().await.unwrap();
    assert_eq!(list.subscriptions[0].state, "gone");
    events.apply(&with);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(service.ids(), ["1"]);
    assert_eq!(events.subscriptions().await.unwrap().subscriptions[0].state, "active");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_is_on_its_way_but_not_for_ever() {
    let log = Arc::new(FakeLog::default());
    let service =
        FakeService::new(|arrived| (Duration::from_secs(if arrived.id == "slow" { 3600 } else { 2 }), status(200)));
    let events = start(&log, &service, config(r##"[{ "name": "s", "topic": "#", "from": "earliest" }]"##));
    log.put([event("a", None, "1"), event("a", None, "slow")]);
    sleep(Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    events.stop(Duration::from_secs(5)).await;
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!(service.handled_ids(), ["1"]);
    log.put([event("a", None, "late")]);
    events.apply(&config(r##"[{ "name": "t", "topic": "#", "from": "earliest" }]"##));
    sleep(Duration::from_secs(60)).await;
    assert!(!service.ids().contains(&"late".to_owned()), "nothing begins any more");
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_replayed_when_it_is_handled_and_stays_when_not() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::new(|_| (NOW, status(422)));
    let events = start(&log, &service, config(r##"[{ "name": "s", "topic": "#", "from": "earliest" }]"##));
    log.put([event("a", None, "1"), event("a", None, "2")]);
    sleep(Duration::from_secs(1)).await;
    let list = events.dead_letters(Some(&id("s")), 0, 10).await.unwrap();
    let numbers: Vec<u64> = list.dead_letters.iter().map(|dead| dead.id).collect();
    assert_eq!((numbers.len(), list.next), (2, numbers.last().copied()));
    assert!(list.dead_letters[0].event.data.is_none(), "lists have no data");
    assert_eq!(events.dead_letter(numbers[0]).await.unwrap().event.data.as_deref(), Some("1"));
    let replayed = events.replay(numbers[0]).await.unwrap();
    assert!(!replayed.handled && replayed.error.contains("422"), "{replayed:?}");
    service.script(|_| (NOW, Answer::NotThere { reason: "no_instance", after: None }));
    assert_eq!(events.replay(numbers[0]).await.unwrap().error, "no_instance");
    service.script(|_| (NOW, status(200)));
    assert!(events.replay(numbers[0]).await.unwrap().handled);
    assert_eq!(events.replay(numbers[0]).await, Err(OperateError::Unknown("dead letter")));
    assert_eq!(service.handled.lock().unwrap()[0].attempt, 2);
    // Nobody knows where it goes once its subscription is in no file.
    events.apply(&Arc::default());
    assert_eq!(events.replay(numbers[1]).await, Err(OperateError::Gone));
    assert_eq!(events.purge(&id("s")).await, Ok(1));
    assert_eq!(events.purge_one(numbers[1]).await, Err(OperateError::Unknown("dead letter")));
}

#[tokio::test(start_paused = true)]
async fn history_is_searched_page_by_page_and_data_that_is_no_text_is_base64() {
    let log = Arc::new(FakeLog::default());
    let events = start(&log, &FakeService::statuses(&[]), Arc::default());
    log.put((1..=10).map(|n| event(if n % 2 == 0 { "even" } else { "odd" }, None, &n.to_string())));
    let asked = |before, limit| {
        let topics = vec!["even".parse().unwrap()];
        History { selection: crate::state::Selection { topics, ..Default::default() }, before, limit }
    };
    let page = events.history(asked(None, 3)).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.offset).collect::<Vec<_>>(), [10, 8, 6]);
    let page = events.history(asked(page.next, 3)).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.offset).collect::<Vec<_>>(), [4, 2]);
    assert_eq!(page.next, None);
    assert_eq!(events.event(3).await.unwrap().data.as_deref(), Some("3"));
    assert_eq!(events.event(11).await, Err(OperateError::Unknown("event")));
    let binary = crate::state::Event { data: Bytes::from_static(&[0xff]), ..event("a", None, "b") };
    let stored = StoredEvent {
        offset: crate::state::Offset(1),
        published: std::time::SystemTime::now(),
        event: Arc::new(binary),
    };
    assert_eq!(EventRecord::whole(&stored).data_base64.as_deref(), Some("/w=="));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_at_work_and_one_that_is_gone_can_be_set_elsewhere() {
    let log = Arc::new(FakeLog::default());
    let service = FakeService::statuses(&[]);
    let events = start(&log, &service, config(r##"[{ "name": "s", "topic": "#", "from": "earliest" }]"##));
    log.put([event("a", None, "1"), event("a", None, "2")]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(events.seek(&id("s"), Start::Earliest).await, Ok(0));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(service.ids(), ["1", "2", "1", "2"]);
    events.apply(&Arc::default());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(events.seek(&id("s"), Start::Offset(crate::state::Offset(2))).await, Ok(1));
    assert_eq!(events.seek(&id("x"), Start::Latest).await, Err(OperateError::Unknown("subscription")));
}
