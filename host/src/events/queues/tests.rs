//! Grants, settings that change live, and what is too old, on queues in files.

use super::*;
use crate::config::Service;
use crate::state::sqlite::SqliteQueues;

fn config(queues: &str) -> Arc<Config> {
    let mut config = Config::default();
    let service = |send: &str, receive: &str| {
        let mut service = Service::default();
        let patterns = |text: &str| text.split_whitespace().map(|one| one.parse().unwrap()).collect::<Vec<_>>();
        service.grants.queues.send = patterns(send);
        service.grants.queues.receive = patterns(receive);
        service
    };
    config.services.insert("orders".into(), service("mails work.*", ""));
    config.services.insert("mail".into(), service("", "mails #.any"));
    config.gateway.queues = serde_json::from_str(queues).unwrap();
    Arc::new(config)
}

fn message(body: &'static str) -> Vec<NewMessage> {
    vec![NewMessage { body: body.into(), ..NewMessage::default() }]
}

#[tokio::test]
async fn each_end_of_a_queue_is_granted_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let room = QueueRoom::new(Arc::new(SqliteQueues::open(dir.path())), &config("{}"));
    room.send("orders", "mails", message("1")).await.unwrap();
    room.send("orders", "work.a", message("1")).await.unwrap();
    let denied = |failure: QueueFailure| matches!(failure, QueueFailure::Denied(_));
    for (service, queue) in [("mail", "mails"), ("orders", "work"), ("orders", "other"), ("nobody", "mails")] {
        assert!(denied(room.send(service, queue, message("1")).await.unwrap_err()), "{service} {queue}");
    }
    let receive = async |service: &str, queue: &str| room.receive(service, queue, 10, None, Duration::ZERO).await;
    assert!(denied(receive("orders", "mails").await.unwrap_err()));
    assert!(denied(room.delete("orders", "mails", "x").await.unwrap_err()));
    assert!(denied(room.extend("orders", "mails", "x", Duration::ZERO).await.unwrap_err()));
    assert!(matches!(receive("mail", "a b.any").await.unwrap_err(), QueueFailure::Invalid(_)));
    let received = receive("mail", "mails").await.unwrap().remove(0);
    assert_eq!(receive("mail", "mails").await, Ok(Vec::new()), "somebody has it");
    room.delete("mail", "mails", &received.receipt).await.unwrap();
    assert_eq!(room.delete("mail", "mails", &received.receipt).await, Err(QueueFailure::Expired));
}

#[tokio::test]
async fn settings_of_a_queue_hold_at_once_and_dead_letters_can_be_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let quick = r#"{ "mails": { "visibilityTimeout": "1s", "maxReceives": 1, "quota": "1MiB" } }"#;
    let room = QueueRoom::new(Arc::new(SqliteQueues::open(dir.path())), &config(quick));
    room.send("orders", "mails", message("1")).await.unwrap();
    let receive =
        async |wait: u64| room.receive("mail", "mails", 10, None, Duration::from_secs(wait)).await.unwrap().len();
    assert_eq!(receive(0).await, 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(receive(0).await, 0, "it was received as often as it may be");
    let dead = room.dead_letters("mails", 0, 10).await.unwrap();
    assert_eq!((dead.dead_letters.len(), dead.dead_letters[0].data.as_deref()), (1, Some("1")));
    // With other settings it may be received again, and stays invisible for longer.
    room.apply(&config("{}"));
    assert_eq!(room.list().await.unwrap().queues[0].quota, config::QueueSettings::default().quota.get());
    assert_eq!(room.revive("mails", None).await, Ok(1));
    assert_eq!(receive(0).await, 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(receive(0).await, 0);
    assert_eq!(room.list().await.unwrap().queues[0].invisible, 1);
    assert_eq!(room.purge("mails").await, Ok(1));
    assert_eq!(room.purge_dead("mails", None).await, Ok(0));
}

#[tokio::test]
async fn what_is_too_old_is_dropped_or_a_dead_letter_as_the_configuration_says_now() {
    let dir = tempfile::tempdir().unwrap();
    let room = QueueRoom::new(Arc::new(SqliteQueues::open(dir.path())), &config("{}"));
    assert_eq!(room.expired(), []);
    room.send("orders", "mails", message("1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(room.expire("mails").await, 0);
    let counts = |dropped, dead| vec![("mails".to_owned(), "dropped", dropped), ("mails".to_owned(), "dead", dead)];
    room.apply(&config(r#"{ "mails": { "retention": { "age": "1s", "expired": "deadLetter" } }, "other": {} }"#));
    assert_eq!(room.expired(), counts(0, 0), "there from the start, and only for queues with a retention");
    assert_eq!(room.expire("mails").await, 1);
    assert_eq!(room.dead_letters("mails", 0, 10).await.unwrap().dead_letters.len(), 1);
    assert_eq!(room.revive("mails", None).await, Ok(1));
    tokio::time::sleep(Duration::from_millis(1050)).await;
    room.apply(&config(r#"{ "mails": { "retention": { "age": "1s" } } }"#));
    // The task that looks again and again does it without being asked.
    let room = Arc::new(room);
    let task = tokio::spawn({
        let room = Arc::clone(&room);
        async move { room.keep_young().await }
    });
    while room.expired() != counts(1, 1) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    task.abort();
    let listed = room.list().await.unwrap().queues.remove(0);
    assert_eq!((listed.visible, listed.dead, listed.bytes, listed.expired), (0, 0, 0, 2));
    assert_eq!(listed.retention.unwrap().age.to_string(), "1s");
    room.apply(&config("{}"));
    assert_eq!(room.expired(), []);
}

#[tokio::test]
async fn messages_that_are_too_old_keep_no_new_one_out_of_a_full_queue() {
    let dir = tempfile::tempdir().unwrap();
    let full = |more: &str| config(&format!(r#"{{ "mails": {{ "quota": "1MiB"{more} }} }}"#));
    let room = QueueRoom::new(Arc::new(SqliteQueues::open(dir.path())), &full(""));
    let large = || vec![NewMessage { body: vec![0; 600_000].into(), ..NewMessage::default() }];
    room.send("orders", "mails", large()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert!(matches!(room.send("orders", "mails", large()).await, Err(QueueFailure::Full(_))));
    room.apply(&full(r#", "retention": { "age": "1s" }"#));
    room.send("orders", "mails", large()).await.unwrap();
    assert_eq!(room.list().await.unwrap().queues[0].visible, 1);
}
