//! Places that are given out and come back, as many as were last asked for.
//!
//! A semaphore alone cannot shrink below what is out. What is too much is a debt: who gives a place back pays it first,
//! and so does whoever asks for more places. What is free plus what is out less the debt is always the size, however
//! often it changes and whatever happens meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use tokio::sync::Semaphore;

/// See the module.
#[derive(Debug)]
pub(super) struct Places {
    free: Semaphore,
    debt: AtomicUsize,
}

/// One of them, given back by `Drop`.
#[derive(Debug)]
pub(super) struct Place(Arc<Places>);

impl Places {
    pub(super) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self { free: Semaphore::new(size.min(Semaphore::MAX_PERMITS)), debt: AtomicUsize::new(0) })
    }

    /// A place, if one is free and nobody waits for it.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<Place> {
        self.free.try_acquire().ok()?.forget();
        Some(Place(Arc::clone(self)))
    }

    /// The next place that comes free.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Place> {
        // Never closed.
        self.free.acquire().await.ok()?.forget();
        Some(Place(Arc::clone(self)))
    }

    /// Changes the size. Calls must not overlap; giving and taking places may.
    pub(super) fn resize(&self, old: usize, new: usize) {
        if new < old {
            self.debt.fetch_add(old - new, Ordering::SeqCst);
            self.settle();
            return;
        }
        let mut more = new - old;
        while more > 0 && self.pay() {
            more -= 1;
        }
        self.free.add_permits(more);
    }

    /// Places that are out, given the size.
    pub(super) fn out(&self, size: usize) -> usize {
        (size + self.debt.load(Ordering::SeqCst)).saturating_sub(self.free.available_permits())
    }

    /// Pays what can be paid with free places.
    fn settle(&self) {
        // Either we see a place that was given back, or whoever did sees the debt.
        fence(Ordering::SeqCst);
        while self.debt.load(Ordering::SeqCst) > 0 && self.free.forget_permits(1) == 1 {
            if !self.pay() {
                self.free.add_permits(1);
            }
        }
    }

    /// Takes one from the debt, if there is any.
    fn pay(&self) -> bool {
        self.debt.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |debt| debt.checked_sub(1)).is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.pay() {
            return;
        }
        self.0.free.add_permits(1);
        fence(Ordering::SeqCst);
        if self.0.debt.load(Ordering::SeqCst) > 0 {
            self.0.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As many as can be taken, all given back.
    fn free(places: &Arc<Places>) -> usize {
        let taken: Vec<_> = std::iter::from_fn(|| places.try_take()).collect();
        taken.len()
    }

    proptest! {
        /// Against two numbers: the size and how many are out.
        #[test]
        fn the_size_is_what_was_asked_for_last(
            begin in 0usize..20,
            steps in prop::collection::vec(prop_oneof![
                Just(None), Just(None), (0usize..20).prop_map(Some),
            ], 1..100),
            gives_back in prop::collection::vec(any::<bool>(), 100),
        ) {
            let (places, mut size, mut out) = (Places::new(begin), begin, Vec::new());
            for (step, gives_back) in steps.into_iter().zip(gives_back) {
                match step {
                    Some(new) => {
                        places.resize(size, new);
                        size = new;
                    }
                    None if gives_back => drop(out.pop()),
                    None => {
                        let place = places.try_take();
                        prop_assert_eq!(place.is_some(), out.len() < size);
                        out.extend(place);
                    }
                }
                prop_assert_eq!(places.out(size), out.len());
                prop_assert_eq!(free(&places), size.saturating_sub(out.len()));
            }
            out.clear();
            prop_assert_eq!(free(&places), size);
        }
    }

    #[test]
    fn no_place_is_lost_or_made_while_threads_take_and_give_back() {
        let places = Places::new(8);
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let places = Arc::clone(&places);
                std::thread::spawn(move || {
                    let mut taken = 0;
                    while taken < 20_000 {
                        taken += (0..3).filter_map(|_| places.try_take()).collect::<Vec<_>>().len();
                    }
                })
            })
            .collect();
        let (mut random, mut size) = (fastrand::Rng::with_seed(1), 8);
        while !takers.iter().all(std::thread::JoinHandle::is_finished) {
            let new = random.usize(1..12);
            places.resize(size, new);
            size = new;
        }
        places.resize(size, 5);
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert_eq!((free(&places), places.out(5)), (5, 0));
    }

    #[test]
    fn a_place_that_comes_back_during_a_change_is_counted_once() {
        for _ in 0..3_000 {
            let (places, ready) = (Places::new(1), std::sync::Barrier::new(2));
            let place = places.try_take().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    ready.wait();
                    drop(place);
                });
                ready.wait();
                places.resize(1, 0);
            });
            assert_eq!((free(&places), places.out(0)), (0, 0));
            places.resize(0, 1);
            assert_eq!(free(&places), 1);
        }
    }

    #[tokio::test]
    async fn who_waits_gets_a_place_only_when_there_are_fewer_out_than_the_size() {
        let places = Places::new(2);
        let (first, second) = (places.try_take().unwrap(), places.try_take().unwrap());
        places.resize(2, 1);
        let mut waiting = polled(places.take());
        drop(first);
        assert!(!waiting.is_ready().await, "one place, and the second has it");
        drop(second);
        assert!(waiting.is_ready().await);
    }

    /// A future that is polled now and then.
    struct Polled<F>(std::pin::Pin<Box<F>>);

    fn polled<F: Future>(future: F) -> Polled<F> {
        Polled(Box::pin(future))
    }

    impl<F: Future> Polled<F> {
        async fn is_ready(&mut self) -> bool {
            std::future::poll_fn(|cx| std::task::Poll::Ready(self.0.as_mut().poll(cx).is_ready())).await
        }
    }
}
