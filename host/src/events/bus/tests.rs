use std::sync::atomic::Ordering as AtomicOrdering;

use super::*;
use crate::capability::http::Trace;
use crate::config::Service;
use crate::events::fake::{FakeLog, no_queues};
use crate::state::Selection;

fn config(publish: &[&str], rate: u32) -> Arc<Config> {
    let mut service = Service::default();
    service.grants.publish = publish.iter().map(|pattern| pattern.parse().unwrap()).collect();
    service.limits.publish_rate = rate;
    let mut config = Config::default();
    config.services.insert("orders".to_owned(), service);
    Arc::new(config)
}

fn publisher(service: &str) -> Publisher {
    Publisher {
        service: service.into(),
        correlation: Some("c".into()),
        causation: None,
        depth: 0,
        trace: Trace::default(),
    }
}

fn new(topic: &str) -> NewEvent {
    NewEvent { topic: topic.to_owned(), ..NewEvent::default() }
}

#[tokio::test]
async fn a_service_publishes_what_it_was_granted_in_its_own_name_and_nothing_else() {
    let log = Arc::new(FakeLog::default());
    let bus = Bus::new(Arc::clone(&log) as _, no_queues(), config(&["order.*"], 1000));
    let orders = publisher("orders");
    let receipts = bus.publish(&orders, vec![new("order.created"), new("order.paid")]).await.unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.offset).collect::<Vec<_>>(), [1, 2]);
    let page = log.history(Selection::default(), None, 10).await.unwrap();
    assert_eq!(page.events[0].event.source, "/services/orders");
    assert_eq!(page.events[0].event.extensions["correlationid"], "c");
    // One of a batch is not granted: none is published.
    for topics in [["order.created", "user.created"], ["order", "order.created"], ["order.a.b", "order.x"]] {
        let error = bus.publish(&orders, topics.map(new).to_vec()).await.unwrap_err();
        assert!(matches!(&error, PublishError::Denied(why) if why.contains("grants.publish")), "{error:?}");
    }
    let denied = bus.publish(&publisher("users"), vec![new("order.created")]).await.unwrap_err();
    assert!(matches!(denied, PublishError::Denied(_)));
    assert_eq!(log.usage().await.unwrap().events, 2);
    // By the configuration in force at that moment.
    bus.apply(&config(&["user.*"], 1000));
    assert!(matches!(bus.publish(&orders, vec![new("order.created")]).await, Err(PublishError::Denied(_))));
    bus.publish(&orders, vec![new("user.created")]).await.unwrap();
    assert_eq!(bus.published(), [("orders".to_owned(), 3)]);
    assert_eq!(bus.publish(&orders, Vec::new()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_service_that_publishes_too_fast_is_told_when_it_may_again() {
    let bus = Bus::new(Arc::new(FakeLog::default()), no_queues(), config(&["a"], 2));
    let orders = publisher("orders");
    let batch = |count: usize| vec![new("a"); count];
    bus.publish(&orders, batch(15)).await.unwrap();
    bus.publish(&orders, batch(5)).await.unwrap();
    let error = bus.publish(&orders, batch(4)).await.unwrap_err();
    let PublishError::TooFast(wait) = error else { panic!("{error:?}") };
    assert!(wait > Duration::from_secs(1) && wait <= Duration::from_secs(2), "{wait:?}");
    // One that can never pass is told so.
    assert!(matches!(bus.publish(&orders, batch(21)).await, Err(PublishError::Invalid(_))));
    // What is refused uses nothing up, and another rate holds at once.
    bus.apply(&config(&["a"], 1000));
    tokio::time::sleep(Duration::from_millis(100)).await;
    bus.publish(&orders, batch(50)).await.unwrap();
    assert!(matches!(bus.publish(&orders, batch(1001)).await, Err(PublishError::Invalid(_))));
}

#[tokio::test]
async fn a_chain_of_events_ends_where_the_configuration_says() {
    let log = Arc::new(FakeLog::default());
    let bus = Bus::new(Arc::clone(&log) as _, no_queues(), config(&["a"], 1000));
    let forged = || NewEvent { extensions: vec![("wharfdepth".into(), "0".into())], ..new("a") };
    let at = |depth| Publisher { depth, causation: Some("e".into()), ..publisher("orders") };
    for depth in [0, 1, 32] {
        bus.publish(&at(depth), vec![forged()]).await.unwrap();
    }
    let page = log.history(Selection::default(), None, 10).await.unwrap();
    let depths: Vec<_> = page.events.iter().map(|event| event.event.extensions.get("wharfdepth").cloned()).collect();
    assert_eq!(depths, [Some("32".into()), Some("1".into()), None], "by the host, whatever the service says");
    assert_eq!(bus.publish(&at(33), vec![forged()]).await, Err(PublishError::ChainTooLong(32)));
    assert_eq!(bus.prepare(&at(33), vec![new("a")]), Err(PublishError::ChainTooLong(32)), "an outbox neither");
    assert_eq!(bus.publish(&at(33), vec![new("b")]).await.unwrap_err().to_string().find("grants.publish"), Some(14));
    assert_eq!((bus.cut(), bus.published()), (vec![("orders".into(), 2)], vec![("orders".into(), 3)]));
    let mut longer = Config::clone(&config(&["a"], 1000));
    longer.gateway.events.max_chain = 33;
    bus.apply(&Arc::new(longer));
    bus.publish(&at(33), vec![new("a")]).await.unwrap();
    let event = bus.publish_as_operator(forged()).await.unwrap();
    let page = log.history(Selection::default(), None, 1).await.unwrap();
    assert_eq!((page.events[0].offset.0, page.events[0].event.extensions.get("wharfdepth")), (event.offset, None));
}

#[tokio::test]
async fn the_same_id_is_published_once_and_a_log_that_fails_says_no_more_than_that() {
    let log = Arc::new(FakeLog::default());
    let bus = Bus::new(Arc::clone(&log) as _, no_queues(), config(&["a"], 1000));
    let with_id = || vec![NewEvent { id: Some("1".into()), ..new("a") }];
    let first = bus.publish(&publisher("orders"), with_id()).await.unwrap().remove(0);
    let again = bus.publish(&publisher("orders"), with_id()).await.unwrap().remove(0);
    assert_eq!((first.duplicate, again.duplicate, first.offset), (false, true, again.offset));
    assert_eq!(bus.published(), [("orders".to_owned(), 1)]);
    log.broken.store(true, AtomicOrdering::SeqCst);
    let error = bus.publish(&publisher("orders"), vec![new("a")]).await.unwrap_err();
    assert_eq!(error, PublishError::Unavailable("the event log is not available".into()), "nothing about insides");
}

#[tokio::test]
async fn a_full_log_is_told_to_the_service_and_to_the_upkeep() {
    let bus = Bus::new(Arc::new(FakeLog::default()), no_queues(), config(&["a"], 1000));
    let refused = bus.refused(EventLogError::Full { quota: 1, behind: "mail/all is behind".into() });
    assert_eq!(refused, PublishError::Full("the event log is full".into()), "nothing about other services");
    tokio::time::timeout(Duration::from_secs(1), bus.full()).await.unwrap();
}
