//! With the clocks of the machine. A thread that sleeps in a poll is to them what one is that waits for a core: time goes
//! by and it does not run.

use super::*;

/// Runs for so long, however long that takes.
fn burn(time: Duration) {
    let before = thread_ran();
    while thread_ran() - before < nanos(time) {
        std::hint::spin_loop();
    }
}

/// Others have the core for so long.
fn lose_the_core(time: Duration) {
    #[allow(clippy::disallowed_methods, reason = "a thread of the test's own")]
    std::thread::sleep(time);
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn only_time_inside_polls_counts() {
    let meter = Meter::new(millis(20));
    burn(millis(30));
    // Others may have the core for that long, but not always.
    assert!((0..100).any(|_| meter.measure(|| meter.verdict()) == Verdict::Continue));
    assert!(!meter.is_heavy());
    burn(millis(30));
    meter.measure(|| burn(millis(3)));
    assert!(meter.is_heavy());
    assert!(meter.used() < millis(20), "the 60 ms outside did not count: {:?}", meter.used());
}

#[test]
fn a_poll_longer_than_a_tick_yields_and_one_over_the_budget_is_stopped() {
    let meter = Meter::new(millis(50));
    let verdict = meter.measure(|| {
        burn(millis(2));
        meter.verdict()
    });
    assert_eq!(verdict, Verdict::Yield);
    let verdict = meter.measure(|| {
        burn(millis(60));
        meter.verdict()
    });
    assert_eq!(verdict, Verdict::Stop);
}

#[test]
fn a_light_poll_that_lost_the_core_is_not_charged_with_it() {
    let meter = Meter::new(millis(20));
    // The thread has read its clock, and ran for others since.
    meter.measure(|| ());
    burn(millis(10));
    let verdict = meter.measure(|| {
        lose_the_core(millis(60));
        meter.verdict()
    });
    assert_eq!(verdict, Verdict::Yield, "its time is not over, and others want to run");
    assert!(!meter.is_heavy(), "it used {:?}", meter.used());
}

#[test]
fn a_light_poll_is_charged_with_all_that_it_ran() {
    let meter = Meter::new(millis(50));
    for _ in 0..10 {
        meter.measure(|| burn(Duration::from_micros(100)));
    }
    assert!(meter.used() >= millis(1), "{:?}", meter.used());
    meter.measure(|| {
        burn(millis(3));
        lose_the_core(millis(3));
        burn(millis(3));
    });
    assert!(meter.used() >= millis(7), "{:?}", meter.used());
    assert!(meter.used() < millis(10), "no more than 2 ms too much: {:?}", meter.used());
}

#[test]
fn a_heavy_guest_on_a_busy_machine_ends_when_it_has_used_its_budget_and_not_before() {
    let (budget, began) = (millis(60), Instant::now());
    let meter = Meter::new(budget);
    let mut ran = Duration::ZERO;
    while meter.measure(|| {
        burn(millis(1));
        lose_the_core(millis(4));
        ran += millis(1);
        meter.verdict()
    }) != Verdict::Stop
    {
        assert!(ran < budget * 2, "it goes on after {ran:?}");
    }
    assert!(ran >= budget - HEAVY - LOOSE, "it was ended after {ran:?}");
    assert!(began.elapsed() > budget * 4, "the core was somebody else's most of the time");
}

/// The same with threads that really compete; the harder they do, the more the test says.
#[test]
fn competitors_take_the_core_and_not_the_budget() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..cores * 3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let (meter, began, before) = (Meter::new(millis(100)), Instant::now(), thread_ran());
        // What the loop itself takes between the polls is on no meter, so less than this is charged.
        while thread_ran() - before < nanos(millis(80)) {
            let verdict = meter.measure(|| {
                burn(Duration::from_micros(300));
                meter.verdict()
            });
            if verdict == Verdict::Stop {
                over.store(true, Ordering::Relaxed);
                panic!(
                    "it ran {} ns in {:?} and was charged {:?}",
                    thread_ran() - before,
                    began.elapsed(),
                    meter.used()
                );
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(meter.used() < millis(84), "{:?}", meter.used());
    });
}
