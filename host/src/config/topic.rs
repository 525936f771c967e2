//! Names of topics, and patterns of them.
//!
//! A topic is words with dots between them, `order.created`. In a pattern, as in the topic exchange of AMQP 0-9-1, `*`
//! stands for one word and `#` for any number of them, none too: `order.*` is every event of an order, `#.failed`
//! everything that failed, `#` all there is.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Longest name of a topic, and longest pattern, in bytes; a word of AMQP's routing keys is bounded by the same.
pub const MAX_TOPIC_BYTES: usize = 255;

/// A topic or a pattern of topics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPattern(String);

/// Why a text names no topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Empty or longer than [`MAX_TOPIC_BYTES`].
    #[error("a topic has 1 to {MAX_TOPIC_BYTES} bytes")]
    Length,
    /// A word that is empty or has other characters.
    #[error("`{}` is no word of a topic: letters, digits, `-` and `_`, with dots between the words", word.escape_debug())]
    Word {
        /// The word.
        word: String,
    },
}

impl TopicError {
    /// The message for something else that is named like a topic.
    pub(crate) fn of(&self, what: &str) -> String {
        self.to_string().replace("a topic", &format!("a {what}"))
    }
}

/// Checks the name of a topic.
///
/// # Errors
/// When it is none.
pub fn check_topic(name: &str) -> Result<(), TopicError> {
    check(name, |_| false)
}

fn check(name: &str, is_wildcard: impl Fn(&str) -> bool) -> Result<(), TopicError> {
    if name.is_empty() || name.len() > MAX_TOPIC_BYTES {
        return Err(TopicError::Length);
    }
    let is_plain = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match name.split('.').find(|word| !is_plain(word) && !is_wildcard(word)) {
        Some(word) => Err(TopicError::Word { word: word.to_owned() }),
        None => Ok(()),
    }
}

#[expect(clippy::indexing_slicing, reason = "every place is below the lengths that the vectors were made with")]
impl TopicPattern {
    /// Whether the topic fits.
    pub fn matches(&self, topic: &str) -> bool {
        let pattern: Vec<&str> = self.0.split('.').collect();
        let topic: Vec<&str> = topic.split('.').collect();
        // Dynamic programming over words: at most 128 by 128, and no pattern can make it slower.
        let mut fits = vec![false; topic.len() + 1];
        fits[0] = true;
        for word in pattern {
            if word == "#" {
                for place in 1..fits.len() {
                    fits[place] |= fits[place - 1];
                }
            } else {
                for place in (1..fits.len()).rev() {
                    fits[place] = fits[place - 1] && (word == "*" || word == topic[place - 1]);
                }
                fits[0] = false;
            }
        }
        fits[topic.len()]
    }

    /// Whether there is a topic that fits both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (one, other): (Vec<&str>, Vec<&str>) = (self.0.split('.').collect(), other.0.split('.').collect());
        // `fits[n]`: some text fits what was seen of `one` and the first n words of `other`.
        let begin = |fits: &mut Vec<bool>| {
            for (place, word) in other.iter().enumerate() {
                fits[place + 1] |= fits[place] && *word == "#";
            }
        };
        let mut fits = vec![false; other.len() + 1];
        fits[0] = true;
        begin(&mut fits);
        for word in one {
            let mut next = vec![false; fits.len()];
            if word == "#" {
                next.clone_from(&fits);
            }
            for (place, theirs) in other.iter().enumerate() {
                // Either one takes a word of the other, or both take the same.
                let both = *theirs == "*" || word == "*" || word == *theirs;
                next[place + 1] |= match (word, *theirs) {
                    ("#", _) => next[place],
                    (_, "#") => fits[place + 1] || next[place],
                    _ => fits[place] && both,
                };
                // A `#` of theirs that has begun goes on.
                next[place + 1] |= *theirs == "#" && fits[place + 1];
            }
            fits = next;
        }
        fits[other.len()]
    }

    /// Whether it names one topic.
    pub fn is_plain(&self) -> bool {
        check_topic(&self.0).is_ok()
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicPattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        check(text, |word| matches!(word, "*" | "#"))?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = TopicError;

    fn try_from(text: String) -> Result<Self, TopicError> {
        text.parse()
    }
}

impl From<TopicPattern> for String {
    fn from(pattern: TopicPattern) -> Self {
        pattern.0
    }
}

impl JsonSchema for TopicPattern {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TopicPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^([A-Za-z0-9_-]+|\*|#)(\.([A-Za-z0-9_-]+|\*|#))*$",
            "maxLength": MAX_TOPIC_BYTES,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        pattern.parse::<TopicPattern>().unwrap().matches(topic)
    }

    #[test]
    fn wildcards_stand_for_words() {
        for (pattern, topic, expected) in [
            ("order.created", "order.created", true),
            ("order.created", "order", false),
            ("order.*", "order.created", true),
            ("order.*", "order", false),
            ("order.*", "order.item.added", false),
            ("order.#", "order", true),
            ("order.#", "order.item.added", true),
            ("#.failed", "failed", true),
            ("#.failed", "payment.card.failed", true),
            ("#.failed", "failed.payment", false),
            ("*.#.*", "a", false),
            ("*.#.*", "a.b", true),
            ("#", "anything.at.all", true),
        ] {
            assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
        }
    }

    #[test]
    fn names_have_words() {
        for name in ["order", "order.created", "A-b_c.0"] {
            assert_eq!(check_topic(name), Ok(()), "{name}");
        }
        for name in ["", ".", "order.", ".order", "a..b", "a b", "ö", "order.*", "#", "a/b", "a\0", &"a".repeat(256)] {
            assert!(check_topic(name).is_err(), "{name}");
        }
        for pattern in ["", "order.**", "or*", "a..#"] {
            assert!(pattern.parse::<TopicPattern>().is_err(), "{pattern}");
        }
    }

    fn naive(pattern: &[&str], topic: &[&str]) -> bool {
        match pattern {
            [] => topic.is_empty(),
            ["#", rest @ ..] => (0..=topic.len()).any(|skipped| naive(rest, &topic[skipped..])),
            [word, rest @ ..] => {
                topic.split_first().is_some_and(|(first, topic)| (word == &"*" || word == first) && naive(rest, topic))
            }
        }
    }

    proptest! {
        #[test]
        fn two_patterns_overlap_if_a_topic_fits_both(one in "[ab*#](\\.[ab*#]){0,2}", other in "[ab*#](\\.[ab*#]){0,2}") {
            // `c` is in no pattern, so it stands for all other words; no two patterns of three words need more than six.
            let words = ["a", "b", "c"];
            let mut topics: Vec<String> = words.map(str::to_owned).to_vec();
            for from in 0.. {
                let Some(topic) = topics.get(from).cloned() else { break };
                if topic.len() < 11 {
                    topics.extend(words.map(|word| format!("{topic}.{word}")));
                }
            }
            let fits_both = topics.iter().any(|topic| matches(&one, topic) && matches(&other, topic));
            let overlaps = one.parse::<TopicPattern>().unwrap().overlaps(&other.parse().unwrap());
            prop_assert_eq!(overlaps, fits_both);
        }

        #[test]
        fn as_the_naive_reading(pattern in "[ab*#](\\.[ab*#]){0,4}", topic in "[ab](\\.[ab]){0,4}") {
            let (words, names): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), topic.split('.').collect());
            prop_assert_eq!(matches(&pattern, &topic), naive(&words, &names));
        }
    }
}
