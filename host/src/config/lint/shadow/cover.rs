//! Whether one match holds whenever another does.

use std::collections::BTreeMap;

use super::super::super::route::{Match, PathMatch, ValueMatch, compile_pattern};

/// What has a meaning in a regular expression.
const META: [char; 14] = ['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'];

/// Whether `wide` holds for every request for which `narrow` does; false where that is hard to say.
pub(super) fn covers(wide: &Match, narrow: &Match) -> bool {
    let Match { path, method, headers, query_params, cookies, client_ips } = wide;
    let method = method.is_none() || *method == narrow.method;
    let inside = |net: &ipnet::IpNet| client_ips.iter().any(|mine| mine.contains(net));
    let clients = client_ips.is_empty() || (!narrow.client_ips.is_empty() && narrow.client_ips.iter().all(inside));
    method
        && clients
        && values(query_params, &narrow.query_params, |one, other| one == other)
        && values(cookies, &narrow.cookies, |one, other| one == other)
        && values(headers, &narrow.headers, str::eq_ignore_ascii_case)
        && path_covers(path.as_ref(), narrow.path.as_ref())
}

/// Whether everything that is asked for here is asked for there as strictly.
fn values(
    wide: &BTreeMap<String, ValueMatch>,
    narrow: &BTreeMap<String, ValueMatch>,
    same: impl Fn(&str, &str) -> bool,
) -> bool {
    wide.iter()
        .all(|(name, value)| narrow.iter().any(|(other, narrow)| same(name, other) && value_covers(value, narrow)))
}

fn value_covers(wide: &ValueMatch, narrow: &ValueMatch) -> bool {
    match (wide, narrow) {
        (wide, narrow) if wide == narrow => true,
        // A value that is asked for must be there.
        (ValueMatch::Present(true), ValueMatch::Exact(_) | ValueMatch::Regex(_)) => true,
        (ValueMatch::Regex(pattern), ValueMatch::Exact(text)) => matches(pattern, text),
        _ => false,
    }
}

fn path_covers(wide: Option<&PathMatch>, narrow: Option<&PathMatch>) -> bool {
    let root = PathMatch::Prefix("/".to_owned());
    match (wide.unwrap_or(&root), narrow.unwrap_or(&root)) {
        (PathMatch::Exact(wide), PathMatch::Exact(narrow)) => wide == narrow,
        (PathMatch::Prefix(wide), PathMatch::Exact(narrow) | PathMatch::Prefix(narrow)) => {
            let rest = narrow.strip_prefix(wide.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (PathMatch::Prefix(wide), PathMatch::Regex(narrow)) => wide == "/" && begins_with_slash(narrow),
        (PathMatch::Regex(wide), PathMatch::Regex(narrow)) => {
            wide == narrow
                || plain_start(wide) == Some("")
                || plain_start(wide) == Some("/") && begins_with_slash(narrow)
        }
        (PathMatch::Regex(wide), PathMatch::Prefix(narrow)) => {
            let start = narrow.trim_end_matches('/');
            plain_start(wide).is_some_and(|plain| plain == "/" || start.starts_with(plain))
        }
        (PathMatch::Regex(wide), PathMatch::Exact(narrow)) => matches(wide, narrow),
        (PathMatch::Exact(_), _) => false,
    }
}

/// Whether a pattern matches only what begins with `/`: not all does, the path of `OPTIONS *` is `*`.
fn begins_with_slash(pattern: &str) -> bool {
    let rest = pattern.strip_prefix('/');
    rest.is_some_and(|rest| !rest.starts_with(['?', '*', '{']) && !rest.contains('|'))
}

/// `/api/` of `/api/.*`.
fn plain_start(pattern: &str) -> Option<&str> {
    pattern.strip_suffix(".*").filter(|start| !start.contains(META))
}

fn matches(pattern: &str, text: &str) -> bool {
    compile_pattern(pattern).is_ok_and(|regex| regex.is_match(text.as_bytes()))
}
