//! What a day amounts to in words.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wish::{Mode, Placed, Wish};

/// How a part of the day went: how many answers of which kind in which mode, and what repeating was good for.
pub(super) fn part(placed: &[(Wish, Placed)], took: Duration) -> Vec<String> {
    let mut lines = Vec::new();
    for mode in [Mode::Saga, Mode::Sync] {
        let mut statuses = BTreeMap::<u16, usize>::new();
        for (_, placed) in placed.iter().filter(|(wish, _)| wish.mode == mode) {
            *statuses.entry(placed.status).or_default() += 1;
        }
        let words: Vec<_> = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect();
        let words = if words.is_empty() { "nothing".to_owned() } else { words.join(", ") };
        lines.push(format!("{:9} {words}", mode.name()));
    }
    let again = placed.iter().filter(|(_, placed)| placed.tries > 1).count();
    let longest = placed.iter().map(|(_, placed)| placed.took).max().unwrap_or_default();
    lines.push(format!(
        "{} orders in {}; {again} were asked for more than once, with the same key; the longest took {}",
        placed.len(),
        span(took),
        span(longest)
    ));
    lines
}

/// A time for people.
pub(super) fn span(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// An amount for people.
pub(super) fn money(amount: i64, currency: &str) -> String {
    format!("{}.{:02} {currency}", amount / 100, amount % 100)
}
