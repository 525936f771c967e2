use super::*;

fn ticks(cron: &str, zone: &str) -> Ticks {
    Ticks::of(&schedule(cron, zone)).unwrap()
}

fn schedule(cron: &str, zone: &str) -> Schedule {
    serde_json::from_value(serde_json::json!({ "name": "n", "cron": cron, "timezone": zone, "topic": "t" })).unwrap()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn days(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let ticks = ticks(cron, zone);
    let next = |time: &Timestamp| ticks.after(*time);
    std::iter::successors(next(&at(from)), next).take(count).map(|tick| tick.to_string()).collect()
}

#[test]
fn a_tick_in_the_hour_that_is_skipped_comes_an_hour_later_and_only_once() {
    // On 29 March 2026 at 2:00, clocks in Berlin went to 3:00.
    assert_eq!(
        days("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3),
        ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
    // Asked in the middle of it.
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin").after(at("2026-03-29T01:10:00Z")),
        Some(at("2026-03-29T01:30:00Z"))
    );
}

#[test]
fn a_tick_in_the_hour_that_is_there_twice_comes_the_first_time() {
    // On 25 October 2026 at 3:00, clocks in Berlin went back to 2:00.
    assert_eq!(
        days("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    );
    assert_eq!(
        ticks("30 2 * * *", "Europe/Berlin").after(at("2026-10-25T00:40:00Z")),
        Some(at("2026-10-26T01:30:00Z"))
    );
}

#[test]
fn what_ticks_every_hour_or_minute_follows_the_time_that_passes() {
    assert_eq!(
        days("15 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", 3),
        ["2026-10-25T00:15:00Z", "2026-10-25T01:15:00Z", "2026-10-25T02:15:00Z"]
    );
    assert_eq!(
        days("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 3),
        ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:00:00Z"]
    );
}

#[test]
fn a_day_that_an_island_slept_through_is_no_end() {
    // Samoa had no 30 December 2011.
    let all = days("0 12 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", 3);
    assert!(all.is_sorted() && all.len() == 3, "{all:?}");
}

#[test]
fn after_a_downtime_the_latest_tick_is_made_up_for_or_none() {
    let hourly = ticks("0 * * * *", "UTC");
    let (down, up) = (at("2026-01-01T00:00:00Z"), at("2026-06-01T12:34:00Z"));
    assert_eq!(due(&hourly, Missed::Latest, down, up, up), Some(at("2026-06-01T12:00:00Z")));
    assert_eq!(due(&hourly, Missed::Skip, down, up, up), None);
    // In time, both.
    let now = at("2026-06-01T13:00:00.2Z");
    for missed in [Missed::Latest, Missed::Skip] {
        assert_eq!(due(&hourly, missed, at("2026-06-01T12:00:00Z"), up, now), Some(at("2026-06-01T13:00:00Z")));
        assert_eq!(due(&hourly, missed, at("2026-06-01T13:00:00Z"), up, now), None, "once");
    }
    // The machine slept while the host ran.
    let woke = at("2026-06-01T18:30:00Z");
    assert_eq!(due(&hourly, Missed::Skip, at("2026-06-01T13:00:00Z"), up, woke), None);
    // A clock that was set back.
    assert_eq!(due(&hourly, Missed::Latest, up, up, down), None);
    // Long ago, and rarely.
    let yearly = ticks("0 0 1 1 *", "UTC");
    assert_eq!(due(&yearly, Missed::Latest, at("2020-02-01T00:00:00Z"), up, up), Some(down));
}

mod running {
    use std::sync::{Mutex, OnceLock};

    use super::*;
    use crate::events::fake::{FakeLog, no_queues};
    use crate::events::notes::tests::memory;
    use crate::state::EventLog;

    /// The clock of these tests goes with tokio's.
    fn clock() -> Timestamp {
        static BEGAN: OnceLock<Mutex<Option<tokio::time::Instant>>> = OnceLock::new();
        let began = *BEGAN.get_or_init(Mutex::default).lock().unwrap().get_or_insert_with(tokio::time::Instant::now);
        at("2026-01-01T00:00:30Z") + SignedDuration::try_from(began.elapsed()).unwrap()
    }

    fn config(cron: &str, granted: bool) -> Arc<Config> {
        let mut config = Config::default();
        let mut service =
            crate::config::Service { schedules: vec![schedule(cron, "UTC")], ..crate::config::Service::default() };
        if granted {
            service.grants.publish = vec!["t".parse().unwrap()];
        }
        config.services.insert("orders".to_owned(), service);
        Arc::new(config)
    }

    #[tokio::test(start_paused = true)]
    async fn each_tick_is_published_once_over_restarts_and_reloads() {
        let (log, store) = (Arc::new(FakeLog::default()), memory());
        let bus = Bus::new(Arc::clone(&log) as _, no_queues(), config("* * * * *", true));
        let (sender, receiver) = watch::channel(config("* * * * *", true));
        let start = || {
            let notes = Notes::new(Arc::clone(&store));
            let scheduler = Scheduler { bus: Arc::clone(&bus), notes, config: receiver.clone(), clock };
            tokio::spawn(scheduler.run())
        };
        let task = start();
        // 30 s to the first, then one each minute.
        sleep(Duration::from_secs(185)).await;
        sender.send_replace(config("* * * * *", true));
        sleep(Duration::from_secs(60)).await;
        task.abort();
        let ids = || async {
            let page = log.history(crate::state::Selection::default(), None, 100).await.unwrap();
            let mut ids: Vec<String> = page.events.iter().map(|event| event.event.id.clone()).collect();
            ids.reverse();
            ids
        };
        let four: Vec<String> = (1..=4).map(|minute| format!("orders/n/2026-01-01T00:0{minute}:00Z")).collect();
        assert_eq!(ids().await, four);
        // Two ticks are missed; the latest is made up for, and it goes on.
        sleep(Duration::from_secs(120)).await;
        let task = start();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(ids().await.last().unwrap(), "orders/n/2026-01-01T00:06:00Z");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(ids().await.len(), 6);
        // Without the grant there is nothing more, and with it again the tick comes late.
        sender.send_replace(config("* * * * *", false));
        sleep(Duration::from_secs(65)).await;
        assert_eq!(ids().await.len(), 6);
        sender.send_replace(config("* * * * *", true));
        sleep(Duration::from_secs(65)).await;
        assert!(ids().await.len() >= 7);
        task.abort();
    }
}
