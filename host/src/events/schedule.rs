//! Events at certain times: when the next tick is, and that each is published once.
//!
//! A tick has an id of its own, `<service>/<schedule>/<time>`, and the log takes an id once within a day; the last tick of
//! each schedule is noted after it was published. So a crash between the two, a restart or a reload publishes nothing
//! twice, and a schedule that is new begins with its next tick. Ticks that nobody was there for are one event, or none,
//! as `missed` says; a minute late is still in time.
//!
//! When clocks are put forward, a tick that falls into the hour that is not there comes an hour later by the clock; when
//! they are put back, a tick of the hour that is there twice comes the first time. A schedule whose minute or hour is a
//! `*` (every minute, every hour, `*/15`) follows the time that passes instead, in that hour as in any other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cronexpr::{Crontab, MakeTimestamp};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::sleep;

use super::bus::Bus;
use super::notes::Notes;
use crate::capability::bus::PublishError;
use crate::config::{Config, Missed, Schedule};
use crate::policy::Backoff;
use crate::state::Event;

/// A tick that is later is one that was missed.
const IN_TIME: SignedDuration = SignedDuration::from_secs(60);
/// Clocks are changed; so often is looked at them at least.
const LOOK: Duration = Duration::from_secs(30);
/// A tick that could not be published is tried again.
const AGAIN: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// No change of clocks is longer: once an island slept through a whole day.
const LONGEST_GAP: SignedDuration = SignedDuration::from_hours(25);

/// When a schedule ticks.
#[derive(Debug, Clone)]
pub(super) struct Ticks {
    times: Crontab,
    zone: TimeZone,
    /// Whether it follows the time that passes.
    steady: bool,
}

impl Ticks {
    /// Those of a schedule that was checked.
    pub(super) fn of(schedule: &Schedule) -> Option<Self> {
        let (times, zone) = schedule.times().ok()?;
        let steady = schedule.cron.split_ascii_whitespace().take(2).any(|field| field.starts_with('*'));
        if !steady {
            return Some(Self { times, zone, steady });
        }
        let times = cronexpr::parse_crontab(&format!("{} {}", schedule.cron, schedule.timezone)).ok()?;
        Some(Self { times, zone, steady })
    }

    /// The first tick after this time.
    pub(super) fn after(&self, time: Timestamp) -> Option<Timestamp> {
        if self.steady {
            return Some(self.times.find_next(MakeTimestamp(time)).ok()?.timestamp());
        }
        // On the wall: the times are asked as if the wall's clock were UTC, and each is then looked up on the wall.
        let begin = time.checked_sub(LONGEST_GAP).ok()?.to_zoned(self.zone.clone()).datetime();
        let mut on_wall = TimeZone::UTC.to_timestamp(begin).ok()?;
        loop {
            let next = self.times.find_next(MakeTimestamp(on_wall)).ok()?;
            on_wall = next.timestamp();
            let tick = self.zone.to_ambiguous_timestamp(next.datetime()).compatible().ok()?;
            if tick > time {
                return Some(tick);
            }
        }
    }

    /// The last tick after one time and not after another.
    fn last_between(&self, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let first = self.after(after).filter(|tick| *tick <= now)?;
        // Not tick by tick through a year of downtime: look at shorter and shorter ends of it.
        let mut back = SignedDuration::from_mins(2);
        loop {
            let from = now.checked_sub(back).ok().filter(|from| *from > after).unwrap_or(after);
            let mut last = if from == after { Some(first) } else { self.after(from).filter(|tick| *tick <= now) };
            while let Some(next) = last.and_then(|last| self.after(last)).filter(|tick| *tick <= now) {
                last = Some(next);
            }
            if last.is_some() {
                return last;
            }
            back = back.saturating_mul(4);
        }
    }
}

/// Which tick is to be published now, if any. `since` is when the host began to keep this schedule.
pub(super) fn due(
    ticks: &Ticks,
    missed: Missed,
    last: Timestamp,
    since: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let tick = ticks.last_between(last, now)?;
    match missed {
        Missed::Latest => Some(tick),
        Missed::Skip => (tick > since && now.duration_since(tick) <= IN_TIME).then_some(tick),
    }
}

/// A schedule at work.
#[derive(Debug)]
struct Kept {
    schedule: Schedule,
    ticks: Ticks,
    /// The last tick that is done with.
    last: Timestamp,
    since: Timestamp,
    failed: u32,
    /// It could not be published, and is left alone until then.
    again: Timestamp,
}

/// Publishes ticks until dropped.
pub(super) struct Scheduler {
    pub(super) bus: Arc<Bus>,
    pub(super) notes: Notes,
    pub(super) config: watch::Receiver<Arc<Config>>,
    /// What time it is.
    pub(super) clock: fn() -> Timestamp,
}

impl Scheduler {
    pub(super) async fn run(mut self) {
        let mut kept = BTreeMap::new();
        loop {
            let config = Arc::clone(&self.config.borrow_and_update());
            self.take_on(&mut kept, &config).await;
            let now = (self.clock)();
            for ((service, _), schedule) in &mut kept {
                if schedule.again <= now {
                    self.tick(&config, service, schedule, now).await;
                }
            }
            let wait = |schedule: &Kept| {
                let next = schedule.ticks.after(schedule.last.max((self.clock)()))?.max(schedule.again);
                Duration::try_from(next.duration_since((self.clock)())).ok().or(Some(Duration::ZERO))
            };
            let again = |schedule: &Kept| {
                let until = schedule.again.duration_since((self.clock)());
                (schedule.failed > 0).then(|| Duration::try_from(until).unwrap_or_default())
            };
            let waits = kept.values().flat_map(|schedule| [wait(schedule), again(schedule)]).flatten();
            let next = waits.min().unwrap_or(LOOK).min(LOOK).max(Duration::from_millis(1));
            tokio::select! {
                () = sleep(next) => {}
                changed = self.config.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Those of the configuration: new ones begin now, or where they stood.
    async fn take_on(&self, kept: &mut BTreeMap<(String, String), Kept>, config: &Config) {
        let mut wanted = BTreeMap::new();
        for (service, settings) in &config.services {
            for schedule in &settings.schedules {
                wanted.insert((service.clone(), schedule.name.clone()), schedule);
            }
        }
        kept.retain(|id, _| wanted.contains_key(id));
        for (id, schedule) in wanted {
            if kept.get(&id).is_some_and(|kept| kept.schedule == *schedule) {
                continue;
            }
            // Checked with the configuration.
            let Some(ticks) = Ticks::of(schedule) else { continue };
            let now = (self.clock)();
            let since = kept.get(&id).map_or(now, |kept| kept.since);
            let last = match kept.get(&id) {
                Some(kept) => kept.last.max(now),
                None => match self.notes.read(&note(&id)).await {
                    Ok(Some(last)) => last,
                    Ok(None) => {
                        self.note(&id, now).await;
                        now
                    }
                    // Asked again with the next look.
                    Err(()) => continue,
                },
            };
            let schedule = schedule.clone();
            kept.insert(id, Kept { schedule, ticks, last, since, failed: 0, again: Timestamp::MIN });
        }
    }

    async fn tick(&self, config: &Config, service: &str, kept: &mut Kept, now: Timestamp) {
        let Kept { schedule, ticks, last, since, failed, again } = kept;
        let Some(latest) = ticks.last_between(*last, now) else { return };
        let id = (service.to_owned(), schedule.name.clone());
        if let Some(tick) = due(ticks, schedule.missed, *last, *since, now) {
            match self.publish(config, service, schedule, tick).await {
                Ok(()) => *failed = 0,
                Err(error) => {
                    if *failed == 0 {
                        tracing::warn!(service, schedule = schedule.name, %tick, %error, "a tick is not published yet");
                    }
                    let wait = SignedDuration::try_from(AGAIN.wait(*failed, fastrand::f64())).unwrap_or_default();
                    *again = now.saturating_add(wait).unwrap_or(now);
                    *failed = failed.saturating_add(1);
                    return;
                }
            }
        }
        *last = latest;
        self.note(&id, latest).await;
    }

    async fn publish(
        &self,
        config: &Config,
        service: &str,
        schedule: &Schedule,
        tick: Timestamp,
    ) -> Result<(), PublishError> {
        let Schedule { name, topic, key, subject, data, content_type, .. } = schedule;
        if !config.services.get(service).is_some_and(|service| service.grants.may_publish(topic)) {
            return Err(PublishError::Denied(format!("`{topic}` is not in grants.publish of the service")));
        }
        let event = Event {
            id: format!("{service}/{name}/{tick}"),
            source: format!("/services/{service}"),
            kind: topic.clone(),
            topic: topic.clone(),
            subject: subject.clone(),
            key: key.clone(),
            time: tick.into(),
            content_type: Some(content_type.clone()),
            schema: None,
            extensions: [("schedule".to_owned(), name.clone())].into(),
            data: Bytes::from(data.clone().unwrap_or_default()),
        };
        self.bus.publish_for(service, vec![event]).await.map(drop)
    }

    async fn note(&self, id: &(String, String), last: Timestamp) {
        self.notes.write(note(id), last).await;
    }
}

/// Where the last tick is noted.
fn note((service, name): &(String, String)) -> String {
    format!("schedule/{service}/{name}")
}

#[cfg(test)]
mod tests;
