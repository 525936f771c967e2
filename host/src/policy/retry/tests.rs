use super::*;
use crate::config::{Duration as Span, RetryBudget};

fn terms(codes: &[u16], attempts: u32) -> RuleRetry {
    RuleRetry { attempts, codes: codes.to_vec(), ..RuleRetry::default() }
}

fn budget() -> Budget {
    Budget::new(&RetryBudget::default())
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn status(code: u16) -> Tried {
    Tried::Status { code, retry_after: None }
}

fn get(tried: Tried) -> Failed {
    let request = RequestFacts { idempotent: true, body: Body::Replayable };
    Failed { attempt: 0, tried, request, deadline: None, now: Instant::now() }
}

fn post(tried: Tried) -> Failed {
    Failed { request: RequestFacts { idempotent: false, body: Body::Replayable }, ..get(tried) }
}

/// With default terms and the shortest waits.
fn decide(failed: &Failed) -> Decision {
    RetryPolicy::new(&RuleRetry::default()).decide(failed, &budget(), 0.0)
}

const AGAIN: Decision = Decision::Retry { after: Duration::from_millis(25) };

#[test]
fn what_was_never_delivered_is_tried_again_whatever_the_method() {
    assert_eq!(decide(&get(Tried::NotDelivered)), AGAIN);
    assert_eq!(decide(&post(Tried::NotDelivered)), AGAIN);
}

#[test]
fn what_may_have_been_done_is_only_done_again_when_that_is_as_good() {
    for tried in [Tried::Broken, status(503)] {
        assert_eq!(decide(&get(tried)), AGAIN);
        assert_eq!(decide(&post(tried)), Decision::GiveUp(Reason::NotIdempotent));
        let all = RetryPolicy::new(&RuleRetry { retry_non_idempotent: true, ..RuleRetry::default() });
        assert_eq!(all.decide(&post(tried), &budget(), 0.0), AGAIN);
    }
}

#[test]
fn methods_are_idempotent_as_the_standard_has_it() {
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        assert!(is_idempotent(method), "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT", "get", "PURGE", ""] {
        assert!(!is_idempotent(method), "{method}");
    }
}

#[test]
fn only_listed_statuses_are_tried_again_and_429_never() {
    let policy = RetryPolicy::new(&terms(&[404, 429, 500, 599, 900, 65_535], 2));
    let again: Vec<u16> =
        (0..=u16::MAX).filter(|code| policy.decide(&get(status(*code)), &budget(), 0.0) == AGAIN).collect();
    assert_eq!(again, [404, 500, 599, 900]);
    assert_eq!(decide(&get(status(429))), Decision::GiveUp(Reason::NotRetryable));
    assert_eq!(decide(&get(status(500))), Decision::GiveUp(Reason::NotRetryable));
}

#[test]
fn our_own_refusals_are_final() {
    assert_eq!(decide(&get(Tried::Refused)), Decision::GiveUp(Reason::NotRetryable));
}

#[test]
fn attempts_are_tries_after_the_first() {
    let attempts = |attempts, attempt| {
        let policy = RetryPolicy::new(&terms(&[503], attempts));
        (policy.is_on(), policy.decide(&Failed { attempt, ..get(status(503)) }, &budget(), 0.0))
    };
    assert_eq!(attempts(0, 0), (false, Decision::GiveUp(Reason::Exhausted)));
    assert_eq!(attempts(1, 0), (true, AGAIN));
    assert_eq!(attempts(3, 2), (true, AGAIN));
    assert_eq!(attempts(3, 3), (true, Decision::GiveUp(Reason::Exhausted)));
}

#[test]
fn a_body_that_is_gone_cannot_be_sent_again() {
    let request = RequestFacts { idempotent: true, body: Body::TooLarge };
    for tried in [Tried::Broken, Tried::NotDelivered] {
        assert_eq!(decide(&Failed { request, ..get(tried) }), Decision::GiveUp(Reason::BodyTooLarge));
    }
    assert_eq!(RetryPolicy::new(&RuleRetry::default()).max_body(), 64 << 10);
}

#[test]
fn a_wait_that_does_not_end_before_the_deadline_is_not_begun() {
    let failed = get(Tried::Broken);
    let until = |millis| decide(&Failed { deadline: Some(failed.now + ms(millis)), ..failed });
    assert_eq!(until(26), AGAIN);
    assert_eq!(until(25), Decision::GiveUp(Reason::Deadline));
    assert_eq!(until(0), Decision::GiveUp(Reason::Deadline));
}

#[test]
fn retry_after_is_waited_for_or_the_response_is_given_at_once() {
    let asked = |wait, deadline: Option<u64>| {
        let failed = get(Tried::Status { code: 503, retry_after: Some(wait) });
        decide(&Failed { deadline: deadline.map(|millis| failed.now + ms(millis)), ..failed })
    };
    assert_eq!(asked(ms(2000), Some(2001)), Decision::Retry { after: ms(2000) });
    assert_eq!(asked(ms(2000), Some(2000)), Decision::GiveUp(Reason::Deadline));
    assert_eq!(asked(ms(2000), None), Decision::Retry { after: ms(2000) });
    assert_eq!(asked(ms(0), Some(2000)), AGAIN, "the wait of its own is the least");
    assert_eq!(asked(Duration::MAX, Some(2000)), Decision::GiveUp(Reason::Deadline));
}

#[test]
fn only_tries_that_happen_are_paid_for() {
    let budget = Budget::new(&RetryBudget { percent: 100, min_retries_per_second: 0 });
    let policy = RetryPolicy::new(&RuleRetry::default());
    let failed = get(Tried::Broken);
    budget.deposit(failed.now);
    let late = Failed { deadline: Some(failed.now), ..failed };
    for refused in [get(Tried::Refused), post(Tried::Broken), late, Failed { attempt: 2, ..failed }] {
        assert!(matches!(policy.decide(&refused, &budget, 0.0), Decision::GiveUp(_)));
    }
    assert_eq!(policy.decide(&failed, &budget, 0.0), AGAIN);
    assert_eq!(policy.decide(&failed, &budget, 0.0), Decision::GiveUp(Reason::BudgetExhausted));
}

#[test]
fn waits_follow_the_configuration() {
    let terms = RuleRetry { backoff: Span::millis(100), max_backoff: Span::millis(200), ..terms(&[], 9) };
    let policy = RetryPolicy::new(&terms);
    let wait = |attempt, random| policy.decide(&Failed { attempt, ..get(Tried::Broken) }, &budget(), random);
    assert_eq!(wait(0, 0.0), Decision::Retry { after: ms(100) });
    assert_eq!(wait(0, 1.0), Decision::Retry { after: ms(200) });
    assert_eq!(wait(8, 0.5), Decision::Retry { after: ms(150) });
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::word).into();
    assert_eq!(words.len(), Reason::ALL.len());
}

/// What a simulated callee does with one try.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answers(u16),
    AnswersAfter(u64, u16),
    Resets,
    CannotBeReached,
}

/// Times in milliseconds.
struct Simulated {
    terms: RuleRetry,
    request: Option<u64>,
    backend_request: Option<u64>,
    budget: Budget,
    now: Instant,
    random: fastrand::Rng,
    /// From the end of one try to the begin of the next.
    gaps: Vec<Duration>,
}

impl Simulated {
    fn new(codes: &[u16], attempts: u32) -> Self {
        let (budget, now, random) = (budget(), Instant::now(), fastrand::Rng::with_seed(3));
        let terms = terms(codes, attempts);
        Self { terms, request: None, backend_request: None, budget, now, random, gaps: Vec::new() }
    }

    /// One request: what the client gets, and how often it was sent.
    fn send(&mut self, method: &str, mut callee: impl FnMut(u32) -> Does) -> (u16, u32) {
        let policy = RetryPolicy::new(&self.terms);
        let deadline = self.request.map(|millis| self.now + ms(millis));
        let request = RequestFacts { idempotent: is_idempotent(method), body: Body::Replayable };
        self.budget.deposit(self.now);
        let mut attempt = 0;
        loop {
            let (takes, tried, code) = match callee(attempt) {
                Does::Answers(code) => (0, status(code), code),
                Does::AnswersAfter(takes, _) if self.backend_request.is_some_and(|most| takes > most) => {
                    (self.backend_request.unwrap(), Tried::Broken, 504)
                }
                Does::AnswersAfter(takes, code) => (takes, status(code), code),
                Does::Resets => (0, Tried::Broken, 502),
                Does::CannotBeReached => (0, Tried::NotDelivered, 503),
            };
            let done = self.now + ms(takes);
            if let Some(deadline) = deadline.filter(|deadline| done >= *deadline) {
                self.now = deadline;
                return (504, attempt + 1);
            }
            self.now = done;
            if code < 400 {
                return (code, attempt + 1);
            }
            let failed = Failed { attempt, tried, request, deadline, now: self.now };
            match policy.decide(&failed, &self.budget, self.random.f64()) {
                Decision::Retry { after } => {
                    self.now += after;
                    self.gaps.push(after);
                    attempt += 1;
                }
                // At the end of the time the answer is that it is over.
                Decision::GiveUp(Reason::Deadline) if tried == Tried::Broken => return (504, attempt + 1),
                Decision::GiveUp(_) => return (code, attempt + 1),
            }
        }
    }
}

/// Fails so often, then all is well.
fn fails(times: u32, how: Does) -> impl Fn(u32) -> Does {
    move |attempt| if attempt < times { how } else { Does::Answers(200) }
}

/// Port of the Gateway API's conformance tests `HTTPRouteRetry`.
#[test]
fn statuses_are_tried_again_as_the_gateway_api_has_it() {
    let mut one = Simulated::new(&[500], 3);
    assert_eq!(one.send("GET", fails(2, Does::Answers(500))), (200, 3));
    assert_eq!(one.send("GET", fails(4, Does::Answers(500))), (500, 4));
    assert_eq!(one.send("GET", fails(1, Does::Answers(503))), (503, 1), "not listed");
    let mut four = Simulated::new(&[500, 502, 503, 504], 2);
    for code in [500, 502, 503, 504] {
        assert_eq!(four.send("GET", fails(1, Does::Answers(code))), (200, 2));
        assert_eq!(four.send("GET", fails(3, Does::Answers(code))), (code, 3));
    }
}

/// Port of the Gateway API's conformance tests `HTTPRouteRetryConnectionError`.
#[test]
fn broken_connections_are_tried_again_as_the_gateway_api_has_it() {
    let mut simulated = Simulated::new(&[500], 3);
    assert_eq!(simulated.send("GET", fails(2, Does::Resets)), (200, 3));
    assert_eq!(simulated.send("GET", fails(4, Does::Resets)).1, 4);
    assert_eq!(simulated.send("GET", fails(4, Does::CannotBeReached)), (503, 4));
    assert_eq!(simulated.send("POST", fails(2, Does::CannotBeReached)), (200, 3));
    assert_eq!(simulated.send("POST", fails(1, Does::Resets)).1, 1, "sent exactly once");
}

/// Port of the Gateway API's conformance tests `HTTPRouteRetryBackendTimeout`.
#[test]
fn timeouts_are_tried_again_as_the_gateway_api_has_it() {
    let slow = |times| fails(times, Does::AnswersAfter(300, 200));
    let mut tries = Simulated { backend_request: Some(200), ..Simulated::new(&[500, 504], 2) };
    assert_eq!(tries.send("GET", slow(2)), (200, 3));
    assert_eq!(tries.send("GET", slow(3)), (504, 3));
    let mut all = Simulated { request: Some(400), ..Simulated::new(&[500], 5) };
    let (began, (code, sent)) = (all.now, all.send("GET", fails(9, Does::AnswersAfter(100, 500))));
    assert!(sent <= 4 && all.now <= began + ms(400), "{sent}");
    assert!(code == 504 || code == 500);
    let answers_late = all.send("GET", |_| Does::AnswersAfter(500, 200));
    assert_eq!(answers_late, (504, 1));
}

#[test]
fn tries_are_never_closer_than_the_backoff_and_never_in_step() {
    let mut simulated = Simulated::new(&[503], 1);
    for _ in 0..500 {
        simulated.now += ms(100);
        simulated.send("GET", |_| Does::Answers(503));
    }
    let (least, most) = (simulated.gaps.iter().min().unwrap(), simulated.gaps.iter().max().unwrap());
    assert!(simulated.gaps.len() > 300, "{}", simulated.gaps.len());
    assert!(*least >= ms(25) && *most <= ms(75));
    assert!((*most - *least).as_secs_f64() > 0.5 * most.as_secs_f64(), "{least:?} to {most:?}");
}

/// Sends one request through gateways in a row to a callee that always fails, and counts what the callee gets.
fn storm(policies: &RetryPolicy, budgets: &[Budget], now: Instant, sent: &mut u64) {
    let Some((budget, behind)) = budgets.split_first() else {
        *sent += 1;
        return;
    };
    budget.deposit(now);
    for attempt in 0.. {
        storm(policies, behind, now, sent);
        let failed = Failed { attempt, now, ..get(status(503)) };
        if !matches!(policies.decide(&failed, budget, 0.5), Decision::Retry { .. }) {
            return;
        }
    }
}

#[test]
fn a_callee_that_fails_altogether_gets_a_fifth_more_however_many_gateways_there_are() {
    let policy = RetryPolicy::new(&terms(&[503], 5));
    for depth in 1..=3 {
        let (budgets, begun) = ((0..depth).map(|_| budget()).collect::<Vec<_>>(), Instant::now());
        let mut sent = 0;
        for request in 0..10_000 {
            storm(&policy, &budgets, begun + ms(request), &mut sent);
        }
        // 1000 requests a second for ten seconds; each gateway adds a fifth of what it gets, and 10 a second.
        let bound = (0..depth).fold(10_000.0, |load, _| load * 1.2 + 100.0);
        assert!(sent as f64 <= bound, "{sent} through {depth}");
        assert!(sent as f64 > 10_000.0 * 1.1f64.powi(depth), "{sent}: the budget is there to be used");
    }
}
