//! Backup and restore with the real binary, beside a running host and against kills.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use wharf_tests::{Wharf, binary, eventually};

/// `wharf WORD ARGUMENTS --state <dir>/state`.
fn wharf(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().unwrap()
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--state").arg(dir.join("state")).current_dir(dir);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn put(wharf: &Wharf, service: &str, bytes: usize) {
    wharf.send("PUT", &format!("/{service}/values/key?bytes={bytes}"), "").await.assert_status(204);
}

async fn value(wharf: &Wharf, service: &str) -> String {
    wharf.get(&format!("/{service}/values/key")).await.text()
}

#[tokio::test]
async fn a_backup_is_made_beside_a_running_host_and_restored_when_it_is_stopped() {
    let running = Wharf::builder().plugin("settings").plugin_as("settings", "neighbour").start().await;
    put(&running, "settings", 10).await;
    put(&running, "neighbour", 20).await;
    let dir = running.dir().to_owned();
    let made = wharf(&dir, &["backup", "one"]);
    assert!(made.status.success() && said(&made).contains(" files, "), "{}", said(&made));
    put(&running, "settings", 11).await;
    put(&running, "neighbour", 21).await;

    let refused = wharf(&dir, &["restore", "one"]);
    assert!(!refused.status.success() && said(&refused).contains("is in use: by a host"), "{}", said(&refused));
    assert_eq!(value(&running, "settings").await, "11 bytes");

    let stopped = running.stop().await;
    let restored = wharf(&dir, &["restore", "one", "--service", "settings"]);
    assert!(restored.status.success() && said(&restored).contains("before-restore-"), "{}", said(&restored));
    let running = stopped.start().await;
    assert_eq!(
        (value(&running, "settings").await, value(&running, "neighbour").await),
        ("10 bytes".into(), "21 bytes".into())
    );

    let stopped = running.stop().await;
    let checked = wharf(&dir, &["restore", "one", "--check"]);
    assert!(checked.status.success() && said(&checked).starts_with("whole: "), "{}", said(&checked));
    for file in ["services/settings/key-value.sqlite3", "services/neighbour/key-value.sqlite3", "events/log.sqlite3"] {
        assert!(said(&checked).contains(file), "{file}: {}", said(&checked));
    }
    std::fs::write(dir.join("one/services/settings/key-value.sqlite3"), "damaged").unwrap();
    for arguments in [&["restore", "one", "--check"][..], &["restore", "one"]] {
        let refused = wharf(&dir, arguments);
        assert!(!refused.status.success() && said(&refused).contains("another size"), "{}", said(&refused));
    }
    let running = stopped.start().await;
    assert_eq!(value(&running, "neighbour").await, "21 bytes");
}

#[tokio::test]
async fn the_admin_api_makes_backups_below_one_folder_and_nowhere_else() {
    let running = Wharf::builder().plugin("settings").gateway("state: { backups: kept/backups }").start().await;
    put(&running, "settings", 10).await;
    let url = format!("http://{}/api/backups", running.admin());
    let post = async |body: &str| {
        running.client().send("POST", &url, &[("content-type", "application/json")], body.to_owned()).await
    };
    let made = post(r#"{ "name": "one" }"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let files = made.json()["manifest"]["files"].as_array().unwrap().clone();
    assert!(files.iter().any(|file| file["path"] == "services/settings/key-value.sqlite3"), "{files:?}");
    assert!(running.dir().join("kept/backups/one/manifest.json").is_file());
    assert_eq!(post("").await.status, 201, "a name of the time");
    let again = post(r#"{ "name": "one" }"#).await;
    assert_eq!((again.status.as_u16(), again.json()["reason"].as_str()), (409, Some("backup_exists")));
    for body in
        [r#"{ "name": "../x" }"#, r#"{ "name": "a/b" }"#, r#"{ "name": ".x" }"#, r#"{ "name": 1 }"#, r#"{ "to": "x" }"#]
    {
        assert_eq!(post(body).await.status, 400, "{body}");
    }
    let names = std::fs::read_dir(running.dir().join("kept/backups")).unwrap().count();
    assert_eq!(names, 2);

    let without = Wharf::builder().start().await;
    let url = format!("http://{}/api/backups", without.admin());
    let refused = without.client().send("POST", &url, &[("content-type", "application/json")], "{}").await;
    assert_eq!((refused.status.as_u16(), refused.json()["reason"].as_str()), (409, Some("no_backups")));
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_backup_or_a_restore_loses_nothing() {
    let running = Wharf::builder().plugin("settings").start().await;
    for number in 0..40 {
        let path = format!("/settings/values/{number}?bytes=1000000");
        running.send("PUT", &path, "").await.assert_status(204);
    }
    put(&running, "settings", 10).await;
    let dir = running.dir().to_owned();
    assert!(wharf(&dir, &["backup", "one"]).status.success());
    put(&running, "settings", 11).await;
    let mut stopped = running.stop().await;
    let mut killed = 0;
    for round in 0..8_u64 {
        for (index, word) in ["backup", "restore"].into_iter().enumerate() {
            let to = format!("round-{round}");
            let target = if word == "backup" { to.as_str() } else { "one" };
            let mut child = command(&dir, &[word, target]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(5 + 25 * round + 10 * index as u64)).await;
            killed += u32::from(child.try_wait().unwrap().is_none());
            let _ = child.kill();
            child.wait().unwrap();
            if word == "backup" && dir.join(&to).exists() {
                let checked = wharf(&dir, &["restore", &to, "--check"]);
                assert!(checked.status.success(), "what has its name is whole: {}", said(&checked));
            }
        }
        let running = stopped.start().await;
        let now = value(&running, "settings").await;
        assert!(now == "11 bytes" || now == "10 bytes", "round {round}: {now}");
        for number in [0, 20, 39] {
            assert_eq!(running.get(&format!("/settings/values/{number}")).await.text(), "1000000 bytes", "{round}");
        }
        put(&running, "settings", 11).await;
        stopped = running.stop().await;
    }
    assert!(killed >= 4, "most were killed before their end: {killed}");
}

#[tokio::test]
async fn nobody_reaches_what_belongs_to_another_service() {
    let running = Wharf::builder()
        .plugin("settings")
        .plugin_as("settings", "neighbour")
        .gateway("secrets: { stripe: { file: stripe.key } }")
        .service("settings", "grants: { secrets: [stripe] }\nconfig: { key: { secret: stripe }, own: mine }");
    std::fs::write(running.dir().join("stripe.key"), "hunter2-hunter2").unwrap();
    let running = running.start().await;
    put(&running, "settings", 10).await;
    assert_eq!(value(&running, "neighbour").await, "missing");
    assert_eq!(running.get("/neighbour/lifetimes/key").await.text(), "missing");
    running.send("PUT", "/neighbour/lifetimes/key?ttl=1", "").await.assert_status(404);
    running.send("DELETE", "/neighbour/values/key", "").await.assert_status(204);
    for key in ["key", "own", "stripe", "", "..%2Fsettings%2Fkey"] {
        assert!(!running.get(&format!("/neighbour/config/{key}")).await.text().contains("hunter2"), "{key}");
        assert!(!running.get(&format!("/neighbour/config/{key}")).await.text().contains("mine"), "{key}");
    }
    for store in ["settings", "Default", "default%20", "services.settings", "key-value.sqlite3", "*"] {
        let answer = running.get(&format!("/neighbour/stores/{store}")).await.text();
        assert!(answer.starts_with("refused: there is no such store"), "{store}: {answer}");
    }
    eventually("nothing has changed", async || (value(&running, "settings").await == "10 bytes").then_some(())).await;
}
