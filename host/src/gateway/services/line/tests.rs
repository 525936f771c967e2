use super::*;
use crate::config;
use crate::policy::Outcome;

/// A version that is only a name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named([u8; 32], Arc<str>);

impl Content for Named {
    fn digest(&self) -> &[u8; 32] {
        &self.0
    }

    fn label(&self) -> &Arc<str> {
        &self.1
    }
}

fn v(n: u8) -> Named {
    Named([n; 32], n.to_string().into())
}

fn settings(retain: u32, canary: bool) -> Rollout {
    Rollout { retain, canary: canary.then(config::Canary::default) }
}

/// A line on which these came one after the other.
fn line(contents: &[u8], rollout: &Rollout, now: Instant) -> Line<Named> {
    let mut line = Line::default();
    for n in contents {
        line.arrive(v(*n), rollout, now);
    }
    line
}

/// stable, candidate, retained
fn stands(line: &Line<Named>) -> (Option<u8>, Option<u8>, Vec<u8>) {
    let number = |version: &Named| version.0[0];
    let candidate = line.candidate().map(|candidate| number(&candidate.version));
    (line.stable().map(number), candidate, line.retained().map(number).collect())
}

#[tokio::test(start_paused = true)]
async fn without_a_canary_new_content_serves_at_once_and_the_old_stays_within_reach() {
    let (now, rollout) = (Instant::now(), settings(2, false));
    let mut line = line(&[1, 2, 3], &rollout, now);
    let done = line.arrive(v(4), &rollout, now);
    assert_eq!((done.what, done.leaving, done.forgotten), (RolloutWord::Serving, vec![v(3)], vec![v(1)]));
    assert_eq!(stands(&line), (Some(4), None, vec![3, 2]));
}

#[tokio::test(start_paused = true)]
async fn the_first_content_is_never_on_trial() {
    let line = line(&[1], &settings(1, true), Instant::now());
    assert_eq!(stands(&line), (Some(1), None, vec![]));
}

#[tokio::test(start_paused = true)]
async fn newer_content_takes_the_place_of_a_candidate() {
    let (now, rollout) = (Instant::now(), settings(1, true));
    let mut line = line(&[1, 2], &rollout, now);
    assert_eq!(stands(&line), (Some(1), Some(2), vec![]));
    let done = line.arrive(v(3), &rollout, now);
    assert_eq!((done.what, done.percent, done.leaving), (RolloutWord::Canary, Some(5), vec![v(2)]));
    assert_eq!(stands(&line), (Some(1), Some(3), vec![]));
    // What was only superseded may be tried again.
    assert!(!line.knows(v(2).digest()));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_walks_all_steps_serves_and_the_old_one_is_retained() {
    let (began, rollout) = (Instant::now(), settings(1, true));
    let mut line = line(&[1, 2], &rollout, began);
    let mut percents = Vec::new();
    for second in 1..=120 {
        for _ in 0..2 {
            let canary = &line.candidate().unwrap().canary;
            canary.candidate().record(Outcome::Success, std::time::Duration::ZERO);
        }
        let Some(done) = line.decide(1, began + std::time::Duration::from_secs(second)) else { continue };
        percents.extend(done.percent);
        if done.what == RolloutWord::Promoted {
            assert_eq!(done.leaving, [v(1)]);
        }
    }
    assert_eq!(percents, [25, 50, 100]);
    assert_eq!(stands(&line), (Some(2), None, vec![1]));
    let words: Vec<_> = line.history().map(|event| event.what).collect();
    let advanced = RolloutWord::Advanced;
    let expected = [RolloutWord::Promoted, advanced, advanced, advanced, RolloutWord::Canary, RolloutWord::Serving];
    assert_eq!(words, expected);
}

#[tokio::test(start_paused = true)]
async fn a_bad_candidate_goes_and_its_content_is_not_tried_again_until_the_file_holds_another() {
    let (now, rollout) = (Instant::now(), settings(1, true));
    let mut line = line(&[1, 2], &rollout, now);
    for _ in 0..5 {
        line.candidate().unwrap().canary.candidate().record(Outcome::Failure, std::time::Duration::ZERO);
    }
    let done = line.decide(1, now).unwrap();
    assert_eq!((done.what, &done.leaving), (RolloutWord::RolledBack, &vec![v(2)]));
    assert_eq!(line.refused(), Some("rolled back: its first 5 requests failed"));
    assert_eq!(stands(&line), (Some(1), None, vec![]));
    assert!(line.knows(v(2).digest()));
    line.arrive(v(3), &rollout, now);
    assert_eq!((line.refused(), line.knows(v(2).digest())), (None, false));
}

#[tokio::test(start_paused = true)]
async fn the_serving_content_put_back_ends_a_trial_and_a_refusal() {
    let (now, rollout) = (Instant::now(), settings(1, true));
    let mut line = line(&[1, 2], &rollout, now);
    assert_eq!(line.seen_again(v(2).digest()), None, "it goes on");
    let done = line.seen_again(v(1).digest()).unwrap();
    assert_eq!((done.what, done.leaving), (RolloutWord::Replaced, vec![v(2)]));
    line.arrive(v(2), &rollout, now);
    line.end_trial(RolloutWord::Aborted, "why".to_owned()).unwrap();
    assert_eq!(line.seen_again(v(2).digest()), None);
    assert_eq!(line.refused(), Some("aborted: why"));
    assert_eq!(line.seen_again(v(1).digest()), None, "nothing leaves");
    assert_eq!((line.refused(), line.knows(v(2).digest())), (None, false));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_goes_back_one_version_each_time_and_never_forth() {
    let (now, rollout) = (Instant::now(), settings(2, false));
    let mut line = line(&[1, 2, 3], &rollout, now);
    let done = line.roll_back("because").unwrap();
    assert_eq!((done.version, done.back, done.leaving), (v(3), Some(v(2)), vec![v(3)]));
    assert_eq!(line.refused(), Some("rolled back: because, version 2 serves again"));
    assert!(line.knows(v(3).digest()), "its content still lies in the folder");
    assert_eq!(line.roll_back("because").unwrap().back, Some(v(1)));
    assert_eq!(line.roll_back("because"), None);
    assert_eq!(stands(&line), (Some(1), None, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_rollback_during_a_trial_ends_the_trial_and_nothing_else() {
    let now = Instant::now();
    let mut line = line(&[1, 2], &settings(1, false), now);
    line.arrive(v(3), &settings(1, true), now);
    let done = line.roll_back("because").unwrap();
    assert_eq!((done.version, done.back), (v(3), None));
    assert_eq!(stands(&line), (Some(2), None, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn content_that_comes_back_by_its_file_is_not_retained_twice() {
    let (now, rollout) = (Instant::now(), settings(5, false));
    let line = line(&[1, 2, 1], &rollout, now);
    assert_eq!(stands(&line), (Some(1), None, vec![2]));
}

#[tokio::test(start_paused = true)]
async fn other_settings_take_effect_in_the_middle() {
    let now = Instant::now();
    let mut line = line(&[1, 2, 3], &settings(2, false), now);
    let (done, forgotten) = line.reconfigure(&settings(1, true));
    assert_eq!((done, forgotten), (None, vec![v(1)]));
    line.arrive(v(4), &settings(1, true), now);
    assert_eq!(line.reconfigure(&settings(1, true)), (None, vec![]), "a trial goes on");
    let (done, forgotten) = line.reconfigure(&settings(0, false));
    let done = done.unwrap();
    assert_eq!((done.what, done.leaving), (RolloutWord::Promoted, vec![v(3)]));
    assert_eq!([done.forgotten, forgotten].concat(), [v(3), v(2)]);
    assert_eq!(stands(&line), (Some(4), None, vec![]));
}

#[tokio::test(start_paused = true)]
async fn only_the_last_decisions_are_remembered() {
    let contents: Vec<u8> = (0..100).collect();
    let line = line(&contents, &settings(3, false), Instant::now());
    assert_eq!(line.history().count(), HISTORY);
    assert!(line.decided().iter().sum::<u64>() > HISTORY as u64, "what is forgotten is counted still");
    assert_eq!(line.history().next().unwrap().version, "99");
    assert_eq!(line.retained().count(), 3);
}
