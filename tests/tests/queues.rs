//! Queues as an operator sees them: `wharf queues`, through the real binary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use serde_json::{Value, json};
use wharf_tests::{Wharf, binary, eventually};

const SERVICE: &str = "grants: { queues: { send: ['mails', 'other'], receive: ['#'] } }\n";

/// Exit code, standard output and standard error of `wharf queues …`.
async fn cli(wharf: &Wharf, arguments: &[&str]) -> (i32, String, String) {
    let admin = wharf.admin().to_string();
    let mut command = tokio::process::Command::new(binary());
    let output = command.arg("queues").args(arguments).args(["--admin", &admin]).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The same, for what must succeed.
async fn prints(wharf: &Wharf, arguments: &[&str]) -> String {
    let (code, out, errors) = cli(wharf, arguments).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

async fn with_json(wharf: &Wharf, arguments: &[&str]) -> Value {
    let text = prints(wharf, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
}

async fn post(wharf: &Wharf, path: &str, body: &str) -> Value {
    let answer = wharf.send("POST", &format!("/subscriber/queue/{path}"), body.to_owned()).await;
    answer.assert_status(200);
    answer.json()
}

/// Receives everything and gives it back, until it is dead.
async fn wear_out(wharf: &Wharf, queue: &str, times: usize) {
    for _ in 0..times {
        post(wharf, &format!("{queue}/receive?max=100&visibility=0"), "").await;
    }
    eventually("they are dead", async || {
        let received = post(wharf, &format!("{queue}/receive?max=100&visibility=0"), "").await;
        received.as_array()?.is_empty().then_some(())
    })
    .await;
}

async fn started() -> Wharf {
    let builder = Wharf::builder().plugin("subscriber").service("subscriber", SERVICE);
    builder.gateway("queues: { mails: { maxReceives: 2, quota: 1MiB } }").start().await
}

#[tokio::test]
async fn messages_and_dead_letters_are_listed_put_back_and_deleted() {
    let wharf = started().await;
    assert_eq!(prints(&wharf, &["list"]).await, "no queue has anything in it\n");
    assert_eq!(prints(&wharf, &["dead-letters", "mails"]).await, "no dead letters\n");
    for body in ["one", "two \u{1b}[31m", "three"] {
        post(&wharf, "mails/send", body).await;
    }
    post(&wharf, "other/send", "x").await;
    let text = prints(&wharf, &["list"]).await;
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows[0],
        ["QUEUE", "VISIBLE", "DELAYED", "RECEIVED", "DEAD", "EXPIRED", "BYTES", "QUOTA", "RETENTION", "OLDEST"]
    );
    assert_eq!(
        (rows[1][..6].to_vec(), rows[1][7], rows[1][8]),
        (vec!["mails", "3", "0", "0", "0", "0"], "1048576", "-"),
        "{text}"
    );
    assert_eq!((rows.len(), rows[2][..5].to_vec()), (3, vec!["other", "1", "0", "0", "0"]), "{text}");
    post(&wharf, "mails/receive?max=1&visibility=60000", "").await;
    let list = with_json(&wharf, &["list"]).await;
    assert_eq!((&list["queues"][0]["visible"], &list["queues"][0]["invisible"]), (&json!(2), &json!(1)), "{list}");

    wear_out(&wharf, "mails", 2).await;
    let text = prints(&wharf, &["dead-letters", "mails"]).await;
    assert!(text.lines().count() == 3 && text.contains("three") && !text.contains('\u{1b}'), "{text:?}");
    let letters = with_json(&wharf, &["dead-letters", "mails"]).await;
    let ids: Vec<String> = letters["deadLetters"].as_array().unwrap().iter().map(|one| one["id"].to_string()).collect();
    assert_eq!((ids.len(), &letters["deadLetters"][1]["attempts"]), (2, &json!(2)), "{letters}");

    assert_eq!(prints(&wharf, &["revive", "mails", &ids[0]]).await, "1 put back\n");
    let again = post(&wharf, "mails/receive?max=10&visibility=60000", "").await;
    assert_eq!((again.as_array().unwrap().len(), &again[0]["attempt"]), (1, &json!(1)), "as if it was new: {again}");
    assert_eq!(prints(&wharf, &["revive", "mails", "999"]).await, "0 put back\n");
    assert_eq!(prints(&wharf, &["purge", "mails", "--dead", &ids[1]]).await, "1 deleted\n");
    assert_eq!(prints(&wharf, &["dead-letters", "mails"]).await, "no dead letters\n");

    // All others, also those that somebody has received.
    assert_eq!(with_json(&wharf, &["purge", "mails"]).await, json!({ "purged": 2 }));
    let list = with_json(&wharf, &["list"]).await;
    assert_eq!((&list["queues"][0]["visible"], &list["queues"][0]["invisible"]), (&json!(0), &json!(0)), "{list}");
    assert_eq!(list["queues"][1]["visible"], 1, "another queue keeps its own: {list}");
    wear_out(&wharf, "other", 5).await;
    assert_eq!(prints(&wharf, &["revive", "other"]).await, "1 put back\n");
    wear_out(&wharf, "other", 5).await;
    assert_eq!(prints(&wharf, &["purge", "other"]).await, "0 deleted\n", "dead letters stay");
    assert_eq!(prints(&wharf, &["purge", "other", "--dead"]).await, "1 deleted\n");
}

#[tokio::test]
async fn what_is_not_understood_is_said_and_changes_nothing() {
    let wharf = started().await;
    post(&wharf, "mails/send", "kept").await;
    for (arguments, code, says) in [
        (&["list", "mails"][..], 2, "unexpected argument"),
        (&["purge"], 2, "<QUEUE>"),
        (&["purge", "mails", "1"], 2, "--dead"),
        (&["revive", "mails", "x"], 2, "invalid value"),
        (&["revive", "mails", "-1"], 2, "unexpected argument"),
        (&["dead-letters", "mails.*"], 1, "is no word of a queue"),
        (&["purge", "../mails"], 1, "is no word of a queue"),
        (&["purge", ""], 1, "queue"),
        (&["revive", "a\u{1b}[31mb"], 1, "is no word of a queue"),
        (&["delete", "mails"], 2, "unrecognized subcommand"),
    ] {
        let (found, out, errors) = cli(&wharf, arguments).await;
        assert!(found == code && errors.contains(says) && out.is_empty(), "{arguments:?}: {found} {out} {errors}");
        assert!(!errors.contains('\u{1b}'), "{arguments:?}: {errors:?}");
    }
    // Nobody there.
    let mut command = tokio::process::Command::new(binary());
    let output = command.args(["queues", "list", "--admin", "127.0.0.1:1"]).output().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && errors.contains("127.0.0.1:1"), "{errors}");
    assert_eq!(with_json(&wharf, &["list"]).await["queues"][0]["visible"], 1);
}

/// What the metrics page says about a queue's messages that were too old.
async fn expired(wharf: &Wharf, queue: &str, outcome: &str) -> Option<f64> {
    let page = wharf.admin_get("/metrics").await.text();
    let series = format!("wharf_queue_messages_expired_total{{queue=\"{queue}\",outcome=\"{outcome}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

#[tokio::test]
async fn a_message_goes_when_it_lies_in_its_queue_for_longer_than_the_configuration_says() {
    let wharf = started().await;
    post(&wharf, "mails/send", "old").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(expired(&wharf, "mails", "dropped").await, None, "without a retention messages stay");
    let peek = async || post(&wharf, "mails/receive?max=10&visibility=0", "").await.as_array().unwrap().len();
    assert_eq!(peek().await, 1);

    // A change comes into force live, and a wrong one not at all.
    wharf.configure("gateway.yaml", "queues: { mails: { retention: { age: 1s, expired: deadLetter } } }");
    eventually("it is a dead letter", async || (expired(&wharf, "mails", "dead").await == Some(1.0)).then_some(()))
        .await;
    assert_eq!(peek().await, 0);
    let text = prints(&wharf, &["list"]).await;
    let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((&row[..6], row[8], row[9]), (&["mails", "0", "0", "0", "1", "1"][..], "1s", "-"), "{text}");
    let line = wharf.logged("messages were too old").await;
    assert!(line.contains(r#""queue":"mails","messages":1"#) && line.contains("dead letters"), "{line}");
    wharf.configure("gateway.yaml", "queues: { mails: { retention: { age: 0s } } }");
    let refused = wharf.logged("out of bounds").await;
    assert!(refused.contains("1s to 99999h"), "{refused}");

    wharf.configure("gateway.yaml", "queues: { mails: { retention: { age: 1s, expired: drop } } }");
    eventually("the change is in force", async || {
        (with_json(&wharf, &["list"]).await["queues"][0]["retention"]["expired"] == "drop").then_some(())
    })
    .await;
    assert_eq!(prints(&wharf, &["revive", "mails"]).await, "1 put back\n");
    eventually("it is gone", async || (expired(&wharf, "mails", "dropped").await == Some(1.0)).then_some(())).await;
    let list = with_json(&wharf, &["list"]).await;
    let queue = &list["queues"][0];
    assert_eq!(
        (&queue["dead"], &queue["visible"], &queue["bytes"], &queue["expired"]),
        (&json!(0), &json!(0), &json!(0), &json!(2)),
        "{list}"
    );
}
