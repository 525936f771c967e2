use std::thread;

use proptest::prelude::*;

use super::Outcome::{Failure, Ignored, Overloaded, Success};
use super::*;
use crate::config;

/// Instances of one service with a clock of their own.
struct Bench {
    group: Group,
    instances: Vec<Arc<Outlier>>,
    begun: Instant,
    now: Instant,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn rules() -> OutlierDetection {
    OutlierDetection::default()
}

impl Bench {
    fn new(rules: &OutlierDetection, instances: usize) -> Self {
        let now = Instant::now();
        let group = Group::with_random(rules, fastrand::Rng::with_seed(7));
        let instances: Vec<_> = (0..instances).map(|_| Arc::new(Outlier::new(now))).collect();
        group.set_members(instances.clone(), now);
        Self { group, instances, begun: now, now }
    }

    fn pass(&mut self, millis: u64) {
        self.now += ms(millis);
    }

    fn record(&self, instance: usize, outcomes: &[Outcome]) -> Option<Ejected> {
        outcomes.iter().filter_map(|outcome| self.instances[instance].record(*outcome, self.now, &self.group)).last()
    }

    fn out(&self) -> Vec<usize> {
        (0..self.instances.len()).filter(|index| self.instances[*index].is_ejected(self.now)).collect()
    }
}

#[test]
fn an_instance_goes_after_exactly_so_many_failures_in_a_row() {
    let bench = Bench::new(&rules(), 2);
    assert_eq!(bench.record(0, &[Failure; 4]), None);
    assert!(bench.out().is_empty());
    let ejected = bench.record(0, &[Failure]).unwrap();
    assert_eq!((ejected.sickness, ejected.ejections), (Sickness::ConsecutiveFailures(5), 1));
    assert!((ms(22_500)..=ms(30_000)).contains(&ejected.time), "{ejected:?}");
    assert_eq!((bench.out(), bench.group.ejected(bench.now)), (vec![0], (1, 2)));
    assert_eq!(bench.instances[0].ejected_for(bench.now), ejected.time);
}

#[test]
fn what_is_between_failures_ends_the_row_or_does_not() {
    for (between, goes) in [(Success, false), (Overloaded, true), (Ignored, true)] {
        let bench = Bench::new(&rules(), 2);
        assert_eq!(bench.record(0, &[Failure, Failure, Failure, Failure, between]), None, "{between:?}");
        assert_eq!(bench.record(0, &[Failure]).is_some(), goes, "{between:?}");
    }
}

/// gateway.md §5 no. 6: an instance that sheds load is not sick.
#[test]
fn nothing_but_429_never_ejects_by_the_row() {
    let bench = Bench::new(&rules(), 2);
    assert_eq!(bench.record(0, &[Overloaded; 10_000]), None);
    let some = OutlierDetection { failure_rate_threshold: 100, ..rules() };
    let bench = Bench::new(&some, 2);
    let ejected = bench.record(0, &[Overloaded; 50]).unwrap();
    assert_eq!(ejected.sickness, Sickness::FailureRate(Counts { calls: 50, failures: 50, slow: 0 }), "asked for");
}

#[test]
fn no_row_is_too_long_when_it_is_not_looked_at() {
    let bench = Bench::new(&OutlierDetection { consecutive_failures: 0, ..rules() }, 2);
    assert_eq!(bench.record(0, &[Failure; 1000]), None);
}

#[test]
fn the_rate_ejects_when_there_were_enough_calls_and_enough_of_them_failed() {
    let rules = OutlierDetection {
        consecutive_failures: 0,
        failure_rate_threshold: 60,
        minimum_number_of_calls: 10,
        ..rules()
    };
    for (good, bad, goes) in [(0, 9, false), (0, 10, true), (4, 6, true), (5, 6, false), (400, 599, false)] {
        let bench = Bench::new(&rules, 2);
        bench.record(0, &vec![Success; good]);
        let ejected = bench.record(0, &vec![Failure; bad]);
        assert_eq!(ejected.is_some(), goes, "{good} good, {bad} bad");
    }
    let mut bench = Bench::new(&rules, 2);
    bench.record(0, &[Failure; 9]);
    bench.pass(10_000);
    assert_eq!(bench.record(0, &[Failure]), None, "what is longer ago than the interval does not count");
    bench.record(0, &[Ignored; 100]);
    assert_eq!(bench.record(0, &[Failure; 8]), None, "and what is ignored never did");
    bench.group.reconfigure(&OutlierDetection { interval: config::Duration::secs(60), ..rules.clone() }, bench.now);
    assert_eq!(bench.record(0, &[Failure; 9]), None, "another interval begins anew");
    assert!(bench.record(0, &[Failure]).is_some());
}

#[test]
fn an_instance_comes_back_by_itself_and_goes_again_after_exactly_as_many_failures() {
    for early in [false, true] {
        let mut bench = Bench::new(&rules(), 2);
        bench.record(0, &[Failure; 3]);
        let first = bench.record(0, &[Failure; 2]).unwrap();
        // The last calls end while it is out: they say nothing new.
        assert_eq!(bench.record(0, &[Failure; 100]), None);
        if early {
            assert!(bench.instances[0].passed_check(bench.now));
        } else {
            bench.now += first.time - ms(1);
            assert_eq!(bench.out(), [0]);
            bench.pass(1);
        }
        assert!(bench.out().is_empty());
        assert_eq!(bench.record(0, &[Failure; 4]), None, "early: {early}");
        let second = bench.record(0, &[Failure]).unwrap();
        assert_eq!(second.ejections, 2);
        assert!((ms(45_000)..=ms(60_000)).contains(&second.time), "{second:?}");
    }
}

#[test]
fn ejections_get_longer_up_to_the_longest_and_shorter_when_it_stays_well() {
    let mut bench = Bench::new(&rules(), 2);
    for ejection in 1..=20_u64 {
        let ejected = bench.record(0, &[Failure; 5]).unwrap();
        let most = (ejection * 30_000).min(300_000);
        assert!((ms(most / 4 * 3)..=ms(most)).contains(&ejected.time), "{ejection}: {ejected:?}");
        assert_eq!(u64::from(ejected.ejections), ejection);
        bench.now += ejected.time;
    }
    // Three intervals well, then almost one.
    bench.pass(30_000);
    let ejected = bench.record(0, &[Failure; 5]).unwrap();
    assert_eq!(ejected.ejections, 18);
    bench.now += ejected.time + ms(9999);
    assert_eq!(bench.record(0, &[Failure; 5]).unwrap().ejections, 19);
    bench.pass(3_600_000);
    assert_eq!(bench.record(0, &[Failure; 5]).unwrap().ejections, 1);
}

#[test]
fn a_passing_check_ends_an_ejection_and_nothing_else() {
    let mut bench = Bench::new(&rules(), 2);
    assert!(!bench.instances[0].passed_check(bench.now));
    bench.record(0, &[Failure; 4]);
    assert!(!bench.instances[0].passed_check(bench.now));
    assert!(bench.record(0, &[Failure]).is_some(), "the row is what calls say");
    bench.pass(100);
    assert!(bench.instances[0].passed_check(bench.now));
    assert!(!bench.instances[0].passed_check(bench.now));
    assert!(bench.out().is_empty());
}

/// gateway.md §5 no. 5: all fail, and some are left.
#[test]
fn never_more_than_the_share_goes_and_never_the_last() {
    for (instances, percent, most) in [
        (1, 100, 0),
        (2, 100, 1),
        (2, 50, 1),
        (3, 50, 1),
        (10, 50, 5),
        (10, 100, 9),
        (10, 0, 0),
        (9, 10, 0),
        (7, 99, 6),
    ] {
        let bench = Bench::new(&OutlierDetection { max_ejection_percent: percent, ..rules() }, instances);
        for _ in 0..20 {
            for instance in 0..instances {
                bench.record(instance, &[Failure; 5]);
            }
        }
        assert_eq!(bench.out().len(), most, "{percent} % of {instances}");
    }
}

#[test]
fn one_that_could_not_go_goes_when_there_is_room() {
    let mut bench = Bench::new(&rules(), 2);
    let first = bench.record(0, &[Failure; 5]).unwrap();
    assert_eq!(bench.record(1, &[Failure; 50]), None);
    bench.now += first.time;
    assert_eq!(bench.record(1, &[Failure; 4]), None, "it is looked at again after as many failures");
    assert_eq!(bench.record(1, &[Failure]).unwrap().ejections, 1);
}

#[test]
fn the_group_stays_right_when_instances_come_and_go() {
    let mut bench = Bench::new(&rules(), 4);
    bench.record(0, &[Failure; 5]);
    bench.pass(1000);
    bench.record(1, &[Failure; 5]);
    assert_eq!(bench.group.ejected(bench.now), (2, 4));
    // Out and gone: the healthy ones and one more may go.
    let without_first = bench.instances[1..].to_vec();
    bench.group.set_members(without_first.clone(), bench.now);
    assert_eq!((bench.group.ejected(bench.now), bench.out()), ((1, 3), vec![0, 1]));
    assert_eq!(bench.record(0, &[Failure; 50]), None, "no member");
    assert_eq!(bench.record(2, &[Failure; 5]), None, "half of three are one");
    // Back again, and still out: it was known all the time.
    bench.group.set_members(bench.instances.clone(), bench.now);
    assert_eq!(bench.group.ejected(bench.now), (2, 4));
    // The healthy ones go: of those who are left, the one that would come back first does so at once.
    bench.group.set_members(bench.instances[..2].to_vec(), bench.now);
    let left: Vec<_> = bench.instances[..2].iter().map(|instance| instance.ejected_for(bench.now)).collect();
    assert_eq!(bench.group.ejected(bench.now), (1, 2), "{left:?}");
    bench.group.set_members(bench.instances[..1].to_vec(), bench.now);
    assert_eq!(bench.group.ejected(bench.now), (0, 1), "the last one is never out");
}

#[test]
fn of_too_many_those_come_back_whose_time_is_up_first() {
    let mut bench = Bench::new(&rules(), 6);
    for instance in 0..3 {
        assert!(bench.record(instance, &[Failure; 5]).is_some());
        bench.pass(10_000);
    }
    bench.group.reconfigure(&OutlierDetection { max_ejection_percent: 34, ..rules() }, bench.now);
    assert_eq!(bench.out(), [1, 2]);
    bench.group.reconfigure(&OutlierDetection { max_ejection_percent: 0, ..rules() }, bench.now);
    assert!(bench.out().is_empty());
}

#[test]
fn new_rules_keep_rows_and_ejections() {
    let bench = Bench::new(&rules(), 4);
    let ejected = bench.record(0, &[Failure; 5]).unwrap();
    bench.record(1, &[Failure; 2]);
    bench.group.reconfigure(&OutlierDetection { consecutive_failures: 3, ..rules() }, bench.now);
    assert_eq!(bench.instances[0].ejected_for(bench.now), ejected.time);
    assert!(bench.record(1, &[Failure]).is_some());
}

/// gateway.md §5 no. 23.
#[test]
fn a_hundred_that_went_together_do_not_come_back_together() {
    let bench = Bench::new(&OutlierDetection { max_ejection_percent: 100, ..rules() }, 101);
    let times: Vec<_> = (0..100).map(|instance| bench.record(instance, &[Failure; 5]).unwrap().time).collect();
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    let base = rules().base_ejection_time.get();
    assert!(*last - *first >= base / 5, "{first:?} to {last:?}");
    // Nor in bunches: in no tenth of that time more than a quarter of them.
    for tenth in 0..10 {
        let from = *first + (*last - *first) / 10 * tenth;
        let bunch = times.iter().filter(|time| (from..from + (*last - *first) / 10).contains(*time)).count();
        assert!(bunch <= 25, "{bunch} within a tenth: {times:?}");
    }
}

#[test]
fn threads_that_eject_at_once_leave_one() {
    let bench = Bench::new(&OutlierDetection { max_ejection_percent: 100, ..rules() }, 8);
    let ejections: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|at| {
                let bench = &bench;
                scope.spawn(move || {
                    let rounds = (0..200).map(|round| bench.record((at + round) % 8, &[Failure; 5]));
                    rounds.flatten().count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((ejections, bench.out().len()), (7, 7));
}

#[test]
fn each_reason_reads_as_a_sentence() {
    assert_eq!(Sickness::ConsecutiveFailures(5).to_string(), "5 failures in a row");
    let counts = Counts { calls: 50, failures: 43, slow: 0 };
    assert_eq!(Sickness::FailureRate(counts).to_string(), "43 of 50 calls failed");
}

proptest! {
    /// Whatever happens: who is out is who a plain list says is out, the bounds hold, and time brings all back.
    #[test]
    fn who_is_out_is_what_a_plain_model_says(
        percent in 0_u32..=100,
        steps in prop::collection::vec((0_usize..6, 0_u8..20, 0_u64..4000), 1..400),
    ) {
        let rules = OutlierDetection { max_ejection_percent: percent, consecutive_failures: 3, ..rules() };
        let mut bench = Bench::new(&rules, 6);
        // For each instance: its row, and until when it is out.
        let mut rows = [0; 6];
        let mut until = [bench.begun; 6];
        let allowed = (6 * percent as usize / 100).min(5);
        for (instance, what, millis) in steps {
            bench.pass(millis);
            let out = until.iter().filter(|until| **until > bench.now).count();
            let in_use = until[instance] <= bench.now;
            let outcome = match what {
                0..=11 => Failure,
                12..=15 => Success,
                16 => Overloaded,
                17 => Ignored,
                _ => {
                    prop_assert_eq!(bench.instances[instance].passed_check(bench.now), !in_use);
                    until[instance] = until[instance].min(bench.now);
                    continue;
                }
            };
            let ejected = bench.record(instance, &[outcome]);
            if in_use {
                rows[instance] = match outcome {
                    Failure => rows[instance] + 1,
                    Success => 0,
                    Overloaded | Ignored => rows[instance],
                };
            }
            let sick = rows[instance] == 3;
            if sick {
                rows[instance] = 0;
            }
            prop_assert_eq!(ejected.is_some(), sick && out < allowed);
            if let Some(ejected) = ejected {
                until[instance] = bench.now + ejected.time;
            }
            let model: Vec<_> = (0..6).filter(|index| until[*index] > bench.now).collect();
            prop_assert!(model.len() <= allowed);
            prop_assert_eq!(bench.out(), model);
        }
        bench.pass(300_000);
        prop_assert_eq!(bench.out(), Vec::<usize>::new());
    }
}
