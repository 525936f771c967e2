//! What the pages of the documentation say in Rust, compiled and run as tests: a page that shows what does not work fails
//! `cargo test`. Only there when tests of documentation are collected.

#[doc = include_str!("../../../docs/calls.md")]
struct Calls;

#[doc = include_str!("../../../docs/events-guests.md")]
struct Events;

#[doc = include_str!("../../../docs/key-value.md")]
struct KeyValue;

#[doc = include_str!("../../../docs/languages.md")]
struct Languages;

#[doc = include_str!("../../../docs/rollouts.md")]
struct Rollouts;

#[doc = include_str!("../../../docs/settings.md")]
struct Settings;

#[doc = include_str!("../../../docs/sql.md")]
struct Sql;

#[doc = include_str!("../../README.md")]
struct Plugins;
