//! Publishers of numbered batches, and a subscriber that handles, waits and gives up by the place of an event.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::Connection;

use super::{Subject, say};
use crate::state::event_log::*;
use crate::state::sqlite::SqliteEventLog;

const PUBLISHERS: usize = 3;

pub(super) struct Events;

#[derive(Debug, Default)]
pub(super) struct Said {
    /// For each publisher, the batches that were answered, and the place of their first event.
    published: [Vec<u64>; PUBLISHERS],
    /// The position that was answered, and the one before it.
    position: u64,
    before: u64,
    answers: usize,
}

fn id() -> SubscriptionId {
    SubscriptionId { service: "audit".to_owned(), name: "s".to_owned() }
}

fn size(publisher: usize, batch: usize) -> usize {
    1 + (publisher + batch) % 4
}

fn event(publisher: usize, batch: usize, index: usize) -> Event {
    Event {
        id: format!("{batch}.{index}"),
        source: format!("/services/p{publisher}"),
        kind: "k".to_owned(),
        topic: format!("t.{}", batch % 3),
        subject: Some(batch.to_string()),
        key: None,
        time: SystemTime::UNIX_EPOCH,
        content_type: None,
        schema: None,
        extensions: BTreeMap::new(),
        data: vec![b'x'; batch * 37 % 3000].into(),
    }
}

fn batch_of(publisher: usize, batch: usize) -> Vec<Event> {
    (0..size(publisher, batch)).map(|index| event(publisher, batch, index)).collect()
}

fn is_given_up(place: u64) -> bool {
    place.is_multiple_of(5)
}

fn has_to_wait(place: u64) -> bool {
    place.is_multiple_of(3) && !is_given_up(place)
}

/// Uses the log until it is killed.
pub(super) async fn child(root: &Path, next: &str) {
    let log: Arc<dyn EventLog> = Arc::new(SqliteEventLog::open(root));
    let publishers: Vec<_> = next
        .split(',')
        .map(|next| next.parse::<usize>().unwrap())
        .enumerate()
        .map(|(publisher, first)| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for batch in first.. {
                    let published = log.publish(batch_of(publisher, batch)).await.unwrap();
                    let (Published::New(first) | Published::Duplicate(first)) = published[0];
                    say(&format!("p {publisher} {batch} {}", first.0));
                }
            })
        })
        .collect();
    let state = log.subscribe(&id(), vec![], Start::Earliest).await.unwrap();
    let mut position = state.position;
    let mut newest = log.newest();
    loop {
        let page = log.read(Selection::default(), position, 10, 1 << 20).await.unwrap();
        if page.events.is_empty() {
            newest.changed().await.unwrap();
            continue;
        }
        let waited = log.waiting(&id(), Offset(0), 1000).await.unwrap();
        let places: Vec<u64> = page.events.iter().map(|stored| stored.offset.0).collect();
        let wait =
            |place: u64| Waiting { offset: Offset(place), lane: None, attempts: 1, due: None, error: String::new() };
        let progress = Progress {
            position: Some(page.read_to),
            waiting: places.iter().filter(|place| has_to_wait(**place)).map(|place| wait(*place)).collect(),
            handled: waited.iter().map(|(waiting, _)| waiting.offset).collect(),
            dead: places
                .iter()
                .filter(|place| is_given_up(**place))
                .map(|place| (Offset(*place), 1, String::new()))
                .collect(),
        };
        log.progress(&id(), progress).await.unwrap();
        say(&format!("d {} {}", page.read_to.0, position.0));
        position = page.read_to;
        assert!(publishers.iter().all(|publisher| !publisher.is_finished()));
    }
}

impl Subject for Events {
    const ROLE: &'static str = "events";
    type Said = Said;

    fn next(said: &Said) -> String {
        said.published.iter().map(|batches| batches.len().to_string()).collect::<Vec<_>>().join(",")
    }

    fn hear(said: &mut Said, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |place: usize| words[place].parse::<u64>().unwrap();
        match words[0] {
            "p" => {
                let batches = &mut said.published[words[1].parse::<usize>().unwrap()];
                assert_eq!(number(2), batches.len() as u64);
                batches.push(number(3));
            }
            "d" => (said.position, said.before) = (number(1), number(2)),
            other => panic!("{other}"),
        }
        said.answers += 1;
    }

    fn count(said: &Said) -> usize {
        said.answers
    }

    fn check(root: &Path, said: &Said) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(root, said));
        check_sums(root);
    }
}

async fn check(root: &Path, said: &Said) {
    let log = SqliteEventLog::open(root);
    let (mut events, mut after) = (Vec::new(), Offset(0));
    loop {
        let page = log.read(Selection::default(), after, 1000, 1 << 24).await.unwrap();
        events.extend(page.events);
        after = page.read_to;
        if !page.more {
            break;
        }
    }
    assert!(events.iter().zip(1..).all(|(stored, place)| stored.offset == Offset(place)), "no gaps");
    // Every publisher's events in its order, each once, whole batches, at least those that were answered.
    let mut published: [Vec<(u64, usize)>; PUBLISHERS] = Default::default();
    let mut rest = &events[..];
    while let Some(first) = rest.first() {
        let publisher: usize = first.event.source.strip_prefix("/services/p").unwrap().parse().unwrap();
        let batches = &mut published[publisher];
        let expected = batch_of(publisher, batches.len());
        let (whole, others) = rest.split_at_checked(expected.len()).expect("a batch is whole");
        assert!(whole.iter().zip(&expected).all(|(stored, event)| *stored.event == *event), "{publisher} {whole:?}");
        batches.push((first.offset.0, expected.len()));
        rest = others;
    }
    for (said, found) in said.published.iter().zip(&published) {
        let found: Vec<_> = found.iter().map(|(first, _)| *first).collect();
        assert!(found.starts_with(said), "what was answered is there: {said:?} {found:?}");
        assert!(found.len() <= said.len() + 1, "and one that was not, at most");
    }

    let states = log.subscriptions().await.unwrap();
    let Some(state) = states.first() else {
        assert_eq!(said.position, 0);
        return;
    };
    let position = state.position.0;
    assert!(position >= said.position, "{position} {said:?}");
    let dead = log.dead_letters(None, 0, 1_000_000).await.unwrap();
    let dead: Vec<u64> = dead.iter().map(|letter| letter.event.offset.0).collect();
    assert_eq!(dead, (1..=position).filter(|place| is_given_up(*place)).collect::<Vec<_>>());
    let waiting = log.waiting(&id(), Offset(0), 1_000_000).await.unwrap();
    let waiting: Vec<u64> = waiting.iter().map(|(waiting, _)| waiting.offset.0).collect();
    // What waits is of the last step only, all of it.
    let oldest = waiting.first().copied().unwrap_or(position + 1);
    assert!(oldest > said.before, "{oldest} was handled: {said:?}");
    assert_eq!(waiting, (oldest..=position).filter(|place| has_to_wait(*place)).collect::<Vec<_>>());
    if position == said.position {
        let step = (said.before + 1..=position).filter(|place| has_to_wait(*place));
        assert_eq!(waiting, step.collect::<Vec<_>>());
    }
}

/// The sums are those of the rows, and SQLite finds nothing wrong.
fn check_sums(root: &Path) {
    let file = Connection::open(root.join("events/log.sqlite3")).unwrap();
    let text = |sql: &str| file.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    if text("SELECT format('%d', count(*)) FROM sqlite_schema WHERE name = 'log'") == "0" {
        return;
    }
    assert_eq!(
        text("SELECT format('%d %d %d %d', last, events, bytes, dead_bytes) FROM log"),
        text(
            "SELECT format('%d %d %d %d', ifnull(max(offset), 0), count(*), ifnull(sum(bytes), 0),
                (SELECT ifnull(sum(bytes), 0) FROM dead)) FROM events"
        )
    );
    assert_eq!(
        text("SELECT ifnull(group_concat(format('%s %d %d', topic, events, bytes) ORDER BY topic), '') FROM topics"),
        text(
            "SELECT ifnull(group_concat(format('%s %d %d', topic, events, sum) ORDER BY topic), '')
             FROM (SELECT topic, count(*) AS events, sum(bytes) AS sum FROM events GROUP BY topic)"
        )
    );
}
