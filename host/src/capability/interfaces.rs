//! Every interface that this host gives to guests, and what an import of it means in plain words.
//!
//! The import list of a component is what it wants; this table says what it gets. It is used when a component is loaded
//! (an import that the host doesn't have becomes a sentence that says what to do) and by `wharf inspect`. It decides
//! nothing: the linker does, and a test holds the table against it.
//!
//! Versions follow the linker's rule: releases of one line (0.2.x, 1.x) stand for each other, and a component built for a
//! newer one of the line works as long as it uses nothing that is newer; drafts and release candidates only match
//! themselves, letter for letter.

use std::fmt;

use semver::Version;

/// An interface of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostInterface {
    /// Name without version, such as `wasi:cli/environment`.
    pub name: &'static str,
    /// The versions that are implemented.
    pub versions: &'static [&'static str],
    /// What a component that imports it can do here.
    pub meaning: &'static str,
}

const BOTH: &[&str] = &["0.2.12", "0.3.0"];
const P2: &[&str] = &["0.2.12"];
const P3: &[&str] = &["0.3.0"];
const OWN: &[&str] = &["0.1.0"];
const KEYVALUE: &[&str] = &["0.2.0-draft", "0.2.0-draft2"];

const fn row(name: &'static str, versions: &'static [&'static str], meaning: &'static str) -> HostInterface {
    HostInterface { name, versions, meaning }
}

const NO_FILES: &str = "files: none are granted, there is nothing to open";
const NO_SOCKETS: &str = "sockets: none are granted, every use is refused";
const NO_TERMINAL: &str = "terminal: there is none";
const CALLS: &str =
    "outgoing HTTP: to the services in grants.calls, as http://<service>.internal/; all else is refused";
const TYPES: &str = "types that other interfaces use, nothing by themselves";

/// All interfaces of this host, by name.
pub const HOST_INTERFACES: &[HostInterface] = &[
    row("wasi:cli/environment", BOTH, "environment: no variables, no arguments, no directory"),
    row("wasi:cli/exit", BOTH, "exit: ends the instance that serves the request, nothing else"),
    row("wasi:cli/stderr", BOTH, "standard error: becomes lines in the log of the service"),
    row("wasi:cli/stdin", BOTH, "standard input: always empty"),
    row("wasi:cli/stdout", BOTH, "standard output: becomes lines in the log of the service"),
    row("wasi:cli/terminal-input", BOTH, NO_TERMINAL),
    row("wasi:cli/terminal-output", BOTH, NO_TERMINAL),
    row("wasi:cli/terminal-stderr", BOTH, NO_TERMINAL),
    row("wasi:cli/terminal-stdin", BOTH, NO_TERMINAL),
    row("wasi:cli/terminal-stdout", BOTH, NO_TERMINAL),
    row("wasi:cli/types", P3, TYPES),
    row("wasi:clocks/monotonic-clock", BOTH, "clock: measures time and waits, up to the deadline of the request"),
    row("wasi:clocks/system-clock", P3, "clock: the date and time of the host"),
    row("wasi:clocks/types", P3, TYPES),
    row("wasi:clocks/wall-clock", P2, "clock: the date and time of the host"),
    row(
        "wasi:config/store",
        &["0.2.0-draft-2024-09-27", "0.2.0-rc.1"],
        "configuration: the values under config in the service's file, read-only",
    ),
    row("wasi:filesystem/preopens", BOTH, NO_FILES),
    row("wasi:filesystem/types", BOTH, NO_FILES),
    row("wasi:http/client", P3, CALLS),
    row("wasi:http/outgoing-handler", P2, CALLS),
    row("wasi:http/types", BOTH, "HTTP requests, responses, headers and bodies"),
    row("wasi:io/error", P2, TYPES),
    row("wasi:io/poll", P2, "waits for input, output and time, up to the deadline of the request"),
    row("wasi:io/streams", P2, "reads and writes bodies and standard streams"),
    row("wasi:keyvalue/atomics", KEYVALUE, "key-value: counters and compare-and-swap in the service's own store"),
    row("wasi:keyvalue/batch", KEYVALUE, "key-value: several keys at once in the service's own store"),
    row(
        "wasi:keyvalue/store",
        KEYVALUE,
        "key-value: the service's own store, named default, up to its quota; no other service sees it",
    ),
    row("wasi:logging/logging", &["0.1.0-draft"], "log: lines with a level in the log of the service"),
    row("wasi:random/insecure", BOTH, "random numbers, not for secrets"),
    row("wasi:random/insecure-seed", BOTH, "random numbers, not for secrets"),
    row("wasi:random/random", BOTH, "random numbers, fit for secrets"),
    row("wasi:sockets/instance-network", P2, NO_SOCKETS),
    row("wasi:sockets/ip-name-lookup", BOTH, "names of hosts: no lookup is granted, every one is refused"),
    row("wasi:sockets/network", P2, NO_SOCKETS),
    row("wasi:sockets/tcp", P2, NO_SOCKETS),
    row("wasi:sockets/tcp-create-socket", P2, NO_SOCKETS),
    row("wasi:sockets/types", P3, NO_SOCKETS),
    row("wasi:sockets/udp", P2, NO_SOCKETS),
    row("wasi:sockets/udp-create-socket", P2, NO_SOCKETS),
    row("wharf:service/events", &["0.1.0"], "events: publishes to the topics in grants.publish; all else is denied"),
    row("wharf:service/expiry", OWN, "key-value: keys of the service's own store that end by themselves"),
    row(
        "wharf:service/queues",
        &["0.1.0"],
        "queues: sends and receives in the queues in grants.queues; all else is denied",
    ),
    row("wharf:service/sql", &["0.1.0"], "SQL: the service's own database, up to its quota; no other service sees it"),
];

/// What an import means on this host. Shown as a sentence that fits behind the name of the import and a colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explained {
    /// The host has it.
    Provided {
        /// What the component can do with it.
        meaning: &'static str,
        /// The host's version, when the component was built for a later one of the same line.
        older: Option<&'static str>,
    },
    /// The host has the interface, but no version that fits.
    OtherVersion {
        /// The versions that it has.
        have: Vec<&'static str>,
    },
    /// The host does not have the interface.
    Unknown {
        /// An interface of the host with a similar name.
        suggestion: Option<&'static str>,
    },
}

impl Explained {
    /// Whether a component with this import can be linked, as far as the name decides it.
    pub fn is_provided(&self) -> bool {
        matches!(self, Self::Provided { .. })
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provided { meaning, older: None } => f.write_str(meaning),
            Self::Provided { meaning, older: Some(version) } => {
                write!(f, "{meaning} (this host has {version}, anything newer in it is missing)")
            }
            Self::OtherVersion { have } => {
                write!(f, "this host has it in version {}; build the component for that", have.join(" or "))
            }
            Self::Unknown { suggestion: Some(name) } => {
                write!(f, "this host has no such interface, did you mean {name}?")
            }
            Self::Unknown { suggestion: None } => f.write_str(
                "this host has no such interface; build the component without it, or compose it with a component that \
                 exports it",
            ),
        }
    }
}

/// Explains an import of a component, such as `wasi:cli/environment@0.2.3`.
pub fn explain(import_name: &str) -> Explained {
    let (name, version) =
        import_name.split_once('@').map_or((import_name, None), |(name, version)| (name, Some(version)));
    let Some(interface) = HOST_INTERFACES.iter().find(|interface| interface.name == name) else {
        return Explained::Unknown { suggestion: similar(name) };
    };
    let wanted = version.unwrap_or_default();
    if interface.versions.contains(&wanted) {
        return Explained::Provided { meaning: interface.meaning, older: None };
    }
    match interface.versions.iter().find_map(|have| Some((have, stands_for(have, wanted)?))) {
        Some((have, is_older)) => Explained::Provided { meaning: interface.meaning, older: is_older.then_some(*have) },
        None => Explained::OtherVersion { have: interface.versions.to_vec() },
    }
}

/// Whether the linker takes the host's version for the wanted one, and if so, whether the host's is the older one.
fn stands_for(have: &str, wanted: &str) -> Option<bool> {
    let (have, wanted) = (Version::parse(have).ok()?, Version::parse(wanted).ok()?);
    let line = |version: &Version| match (version.major, version.minor) {
        _ if !version.pre.is_empty() => None,
        (0, 0) => None,
        (0, minor) => Some((0, minor)),
        (major, _) => Some((major, 0)),
    };
    (line(&have)? == line(&wanted)?).then_some(have < wanted)
}

/// The host's interface that this name was probably meant to be: a slip of the pen, or the right interface in another
/// package.
fn similar(name: &str) -> Option<&'static str> {
    let names = HOST_INTERFACES.iter().map(|interface| interface.name);
    names
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 3.min(candidate.len() / 5))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_a_line_stand_for_each_other() {
        let meaning = "exit: ends the instance that serves the request, nothing else";
        for version in ["0.2.0", "0.2.3", "0.2.12", "0.3.0"] {
            let explained = explain(&format!("wasi:cli/exit@{version}"));
            assert_eq!(explained, Explained::Provided { meaning, older: None }, "{version}");
        }
        assert_eq!(explain("wasi:cli/exit@0.2.13"), Explained::Provided { meaning, older: Some("0.2.12") });
        assert_eq!(explain("wasi:cli/exit@0.3.2"), Explained::Provided { meaning, older: Some("0.3.0") });
        assert!(explain("wasi:cli/exit@0.3.2").to_string().contains("this host has 0.3.0"));
    }

    #[test]
    fn other_lines_and_drafts_only_match_themselves() {
        let have = vec!["0.2.12", "0.3.0"];
        for version in
            ["@0.1.0", "@0.4.0", "@1.0.0", "@0.2.0-rc-2023-11-10", "@0.3.0-rc-2026-03-15", "", "@", "@x", "@0.2"]
        {
            let explained = explain(&format!("wasi:cli/exit{version}"));
            assert_eq!(explained, Explained::OtherVersion { have: have.clone() }, "{version}");
        }
        assert!(explain("wasi:keyvalue/store@0.2.0-draft").is_provided());
        assert!(explain("wasi:keyvalue/store@0.2.0-draft2").is_provided());
        assert_eq!(
            explain("wasi:keyvalue/store@0.2.0").to_string(),
            "this host has it in version 0.2.0-draft or 0.2.0-draft2; build the component for that"
        );
        assert_eq!(explain("wasi:http/client@0.2.12"), Explained::OtherVersion { have: vec!["0.3.0"] });
    }

    #[test]
    fn unknown_interfaces_get_a_suggestion_only_if_one_is_near() {
        let suggestion = |name: &str| match explain(name) {
            Explained::Unknown { suggestion } => suggestion,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(suggestion("wasi:key-value/store@0.2.0-draft"), Some("wasi:keyvalue/store"));
        assert_eq!(suggestion("wasi:http/outgoing-handlers@0.2.0"), Some("wasi:http/outgoing-handler"));
        assert_eq!(suggestion("wasi:cli/stdot"), Some("wasi:cli/stdout"));
        for name in
            ["wasi:nn/graph@0.2.0", "env", "", "@", "acme:shop/prices@1.0.0", "wasi:blobstore/container@0.2.0-draft"]
        {
            assert_eq!(suggestion(name), None, "{name}");
        }
        assert!(explain("env").to_string().starts_with("this host has no such interface; build"));
        assert!(explain("wasi:cli/stdot").to_string().ends_with("did you mean wasi:cli/stdout?"));
    }

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(HOST_INTERFACES.is_sorted_by(|one, next| one.name < next.name));
    }
}
