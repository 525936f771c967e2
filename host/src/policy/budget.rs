//! Retry budget: how many tries all requests of a service together may add.
//!
//! A limit per request is none at all when everything fails: three tries each are three times the load, at the worst
//! moment, and gateways in a row multiply. So tries are paid for. Each request deposits a share of one (20 percent), a
//! try again withdraws a whole one, and both are forgotten after ten seconds; a floor (10 a second) lets services with
//! few requests try again at all. In any ten seconds there are at most `percent` of the requests plus ten times the
//! floor of them. Numbers and meaning are the Gateway API's `retryConstraint` and tower's `TpsBudget`.
//!
//! The ten seconds are ten slots of one; a slot holds which second it is for and that second's balance in one word.
//! Deposits, made for every request, are a compare-and-swap. Withdrawals are rare and take turns, so that two of them
//! never spend the same share. The clock is passed in; whoever read it a little too early counts for the slot's newer
//! second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::time::Instant;

use crate::config;

/// Seconds that count.
const SLOTS: u32 = 10;
/// What one try costs. A request deposits as many as the budget has percent.
const TRY: i64 = 100;

/// See the module.
#[derive(Debug)]
pub struct Budget {
    /// When seconds begin to count: with the first request.
    begun: OnceLock<Instant>,
    terms: AtomicU64,
    slots: [AtomicU64; SLOTS as usize],
    withdrawing: Mutex<()>,
}

/// A second, counted from 1 so that an empty slot is for none, and its balance in hundredths of a try.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Slot {
    second: u32,
    balance: i32,
}

impl Budget {
    /// A budget of which nothing was used yet.
    pub fn new(config: &config::RetryBudget) -> Self {
        Self {
            begun: OnceLock::new(),
            terms: AtomicU64::new(terms(config)),
            slots: std::array::from_fn(|_| AtomicU64::new(0)),
            withdrawing: Mutex::new(()),
        }
    }

    /// Other numbers from now on. What was deposited and withdrawn still counts as it was.
    pub fn reconfigure(&self, config: &config::RetryBudget) {
        self.terms.store(terms(config), Ordering::Relaxed);
    }

    /// A request is tried for the first time.
    pub fn deposit(&self, now: Instant) {
        let percent = self.terms.load(Ordering::Relaxed) >> 32;
        self.add(self.second(now), i32::try_from(percent).unwrap_or(i32::MAX));
    }

    /// Pays for a try again, if there is enough.
    #[must_use]
    pub fn withdraw(&self, now: Instant) -> bool {
        let second = self.second(now);
        // What is inside is nothing; it only keeps others out.
        let _turn = self.withdrawing.lock().unwrap_or_else(PoisonError::into_inner);
        let paid = self.balance(second) >= TRY;
        if paid {
            self.add(second, -(TRY as i32));
        }
        paid
    }

    /// How many tries it would pay for now.
    pub fn left(&self, now: Instant) -> u64 {
        // Before the first request nothing was deposited, and looking does not begin it.
        let second = self.begun.get().map_or(1, |_| self.second(now));
        u64::try_from(self.balance(second) / TRY).unwrap_or(0)
    }

    /// What there is, in hundredths of a try.
    fn balance(&self, second: u32) -> i64 {
        let floor = self.terms.load(Ordering::Relaxed) & u64::from(u32::MAX);
        let reserve = i64::try_from(floor).unwrap_or(0) * i64::from(SLOTS) * TRY;
        let balances = self.slots.iter().map(|slot| Slot::from(slot.load(Ordering::Acquire)));
        // Also newer ones than this clock knows of.
        let balance: i64 =
            balances.filter(|slot| slot.second + SLOTS > second).map(|slot| i64::from(slot.balance)).sum();
        balance + reserve
    }

    fn add(&self, second: u32, amount: i32) {
        let Some(slot) = self.slots.get((second % SLOTS) as usize) else { return };
        let _ = slot.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            let slot = Slot::from(word);
            let balance = if slot.second < second { 0 } else { slot.balance };
            let added = Slot { second: slot.second.max(second), balance: balance.saturating_add(amount) };
            Some(added.into())
        });
    }

    fn second(&self, now: Instant) -> u32 {
        let begun = *self.begun.get_or_init(|| now);
        // 136 years.
        u32::try_from(now.saturating_duration_since(begun).as_secs()).unwrap_or(u32::MAX / 2) + 1
    }
}

/// Percent and floor in one word, so that they change together.
fn terms(config: &config::RetryBudget) -> u64 {
    u64::from(config.percent) << 32 | u64::from(config.min_retries_per_second)
}

impl From<u64> for Slot {
    fn from(word: u64) -> Self {
        Self { second: (word >> 32) as u32, balance: word as u32 as i32 }
    }
}

impl From<Slot> for u64 {
    fn from(slot: Slot) -> Self {
        Self::from(slot.second) << 32 | Self::from(slot.balance as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn budget(percent: u32, floor: u32) -> Budget {
        Budget::new(&config::RetryBudget { percent, min_retries_per_second: floor })
    }

    fn withdrawn(budget: &Budget, now: Instant) -> usize {
        (0..10_000).take_while(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn a_share_of_the_requests_may_be_tried_again() {
        let (budget, now) = (budget(20, 0), Instant::now());
        assert!(!budget.withdraw(now), "nothing was deposited");
        (0..4).for_each(|_| budget.deposit(now));
        assert!(!budget.withdraw(now), "80 percent of a try");
        (0..96).for_each(|_| budget.deposit(now));
        assert_eq!(withdrawn(&budget, now), 20);
    }

    #[test]
    fn the_floor_is_ten_seconds_worth_and_comes_back_after_ten_seconds() {
        let (budget, now) = (budget(0, 10), Instant::now());
        budget.deposit(now);
        assert_eq!(withdrawn(&budget, now), 100);
        assert_eq!(withdrawn(&budget, now + Duration::from_millis(9_999)), 0);
        assert_eq!(withdrawn(&budget, now + Duration::from_secs(10)), 100);
    }

    #[test]
    fn deposits_are_forgotten_after_ten_seconds() {
        let (budget, now) = (budget(100, 0), Instant::now());
        (0..5).for_each(|_| budget.deposit(now));
        assert!(budget.withdraw(now + Duration::from_secs(9)));
        assert!(!budget.withdraw(now + Duration::from_secs(10)));
        // What was withdrawn counts ten seconds of its own.
        budget.deposit(now + Duration::from_secs(10));
        assert!(!budget.withdraw(now + Duration::from_secs(10)));
        assert_eq!(withdrawn(&budget, now + Duration::from_secs(19)), 1);
    }

    #[test]
    fn what_is_left_is_what_can_be_withdrawn() {
        let (budget, now) = (budget(20, 1), Instant::now());
        assert_eq!(budget.left(now), 10, "before the first request");
        (0..14).for_each(|_| budget.deposit(now));
        assert_eq!(budget.left(now), 12);
        assert_eq!(withdrawn(&budget, now), 12);
        assert_eq!(budget.left(now), 0);
        assert_eq!(budget.left(now + Duration::from_secs(10)), 10);
    }

    #[test]
    fn a_new_configuration_keeps_what_was_used() {
        let (budget, now) = (budget(0, 10), Instant::now());
        assert_eq!(withdrawn(&budget, now), 100);
        budget.reconfigure(&config::RetryBudget { percent: 50, min_retries_per_second: 12 });
        assert_eq!(withdrawn(&budget, now), 20, "120 less those that were used");
        (0..10).for_each(|_| budget.deposit(now));
        assert_eq!(withdrawn(&budget, now), 5);
    }

    #[test]
    fn a_clock_read_too_early_counts_for_the_newer_second() {
        let (budget, begun) = (budget(100, 0), Instant::now());
        let later = begun + Duration::from_secs(10);
        budget.deposit(begun);
        budget.deposit(later);
        budget.deposit(begun);
        assert_eq!(withdrawn(&budget, later), 2, "the first is forgotten, the third is not");
    }

    #[test]
    fn threads_together_spend_no_more_than_there_is() {
        const ROUNDS: usize = 3_000;
        let now = Instant::now();
        let budgets: Vec<_> = (0..ROUNDS).map(|_| budget(100, 0)).collect();
        budgets.iter().for_each(|budget| budget.deposit(now));
        let arrived = std::sync::atomic::AtomicUsize::new(0);
        let spend = || {
            let mut spent = 0;
            for (round, budget) in budgets.iter().enumerate() {
                // Both at the same time, each round.
                arrived.fetch_add(1, Ordering::SeqCst);
                while arrived.load(Ordering::SeqCst) < 2 * (round + 1) {
                    std::thread::yield_now();
                }
                spent += usize::from(budget.withdraw(now));
            }
            spent
        };
        let spent = std::thread::scope(|scope| {
            let other = scope.spawn(spend);
            spend() + other.join().unwrap()
        });
        assert_eq!(spent, ROUNDS, "each has one to spend");
    }

    #[test]
    fn no_deposit_is_lost_between_threads() {
        let (budget, now) = (budget(20, 0), Instant::now());
        let spend = || {
            (0..5_000)
                .filter(|_| {
                    budget.deposit(now);
                    budget.withdraw(now)
                })
                .count()
        };
        let spent: usize = std::thread::scope(|scope| {
            let threads = [scope.spawn(spend), scope.spawn(spend), scope.spawn(spend), scope.spawn(spend)];
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert_eq!(spent + withdrawn(&budget, now), 4_000);
    }

    proptest! {
        /// Against a list of everything that happened.
        #[test]
        fn it_pays_what_a_full_record_would_pay(
            percent in 0u32..=100, floor in 0u32..5,
            steps in prop::collection::vec((0u64..1_500, prop::bool::weighted(0.6)), 1..400),
        ) {
            let (budget, begun) = (budget(percent, floor), Instant::now());
            let mut record: Vec<(u64, i64)> = Vec::new();
            let mut millis = 0;
            // A second starts with the first event.
            let mut first = None;
            for (step, is_request) in steps {
                millis += step;
                let second = (millis - *first.get_or_insert(millis)) / 1000;
                let now = begun + Duration::from_millis(millis);
                if is_request {
                    budget.deposit(now);
                    record.push((second, i64::from(percent)));
                    continue;
                }
                let recent = record.iter().filter(|(at, _)| at + 10 > second).map(|(_, amount)| amount);
                let balance = recent.sum::<i64>() + i64::from(floor) * 1000;
                prop_assert_eq!(budget.withdraw(now), balance >= 100);
                if balance >= 100 {
                    record.push((second, -100));
                }
            }
        }

        /// What it is for: whatever the load, and when everything fails, the callee sees little more than that.
        #[test]
        fn load_grows_by_a_fifth_and_ten_a_second_at_most(
            rates in prop::collection::vec(0u64..300, 10..60), tries in 1u32..6,
        ) {
            let (budget, begun) = (budget(20, 10), Instant::now());
            let (mut requests, mut retries) = (0u64, 0u64);
            for (second, rate) in rates.iter().enumerate() {
                for number in 0..*rate {
                    let now = begun + Duration::from_secs(second as u64) + Duration::from_micros(number);
                    budget.deposit(now);
                    requests += 1;
                    retries += (0..tries).filter(|_| budget.withdraw(now)).count() as u64;
                }
            }
            // Of a last window that is not over, the floor is there as a whole.
            let windows = (rates.len() as u64).div_ceil(10);
            prop_assert!(retries <= requests / 5 + 100 * windows, "{requests} {retries}");
        }
    }
}
