//! One row per mistake: exactly where it is found, what is said, and whether an editor with the schema sees it too.

use super::agreement::{as_json, refused_by_schema};
use super::*;

/// Whether the JSON Schema can express the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Schema {
    Refuses,
    CannotTell,
}
use Schema::{CannotTell, Refuses};

/// Text, then line, column, a piece of the message, a piece of the help.
type Row = (&'static str, usize, usize, &'static str, &'static str, Schema);

const GATEWAY: &[Row] = &[
    ("events: { quota: 1KiB }", 1, 18, "`1KiB` is out of bounds: 1MiB to", "", CannotTell),
    ("events: { maxEventSize: 2MiB }", 1, 25, "`2MiB` is out of bounds: 64KiB to 1MiB", "", CannotTell),
    ("events: { retention: { age: 0s } }", 1, 29, "`0s` is out of bounds", "", CannotTell),
    ("events: { maxChain: 0 }", 1, 21, "`0` is out of bounds: 1 to 100000", "", Refuses),
    ("events: { forgetAfter: 0s }", 1, 24, "`0s` is out of bounds", "", CannotTell),
    ("events: { topics: [{ topic: a..b }] }", 1, 29, "`` is no word of a topic", "", Refuses),
    ("events: { topics: [{ topic: 'ab*' }] }", 1, 29, "`ab*` is no word of a topic", "", Refuses),
    ("events: { topics: [{ retention: { age: 1h } }] }", 1, 20, "`topic` is missing", "", Refuses),
    ("queues: { 'a.*': {} }", 1, 11, "`*` is no word of a queue", "", CannotTell),
    ("queues: { a: { visibilityTimeout: 13h } }", 1, 35, "`13h` is out of bounds: 1s to 12h", "", CannotTell),
    ("queues: { a: { maxReceives: 0 } }", 1, 29, "`0` is out of bounds: 1 to 1000", "", Refuses),
    ("queues: { a: { retention: { age: 0s } } }", 1, 34, "`0s` is out of bounds: 1s to 99999h", "", CannotTell),
    (
        "queues: { a: { retention: { age: 1h, expired: bury } } }",
        1,
        47,
        "unknown value `bury`",
        "allowed here: drop, deadLetter",
        Refuses,
    ),
    ("queues: { a: { retention: { age: 1h, size: 1MiB } } }", 1, 38, "unknown field `size`", "", Refuses),
    ("queues: { a: { retention: { expired: drop } } }", 1, 27, "`age` is missing", "", Refuses),
    ("openapi: { path: api }", 1, 18, "`api` is no path: it must begin with `/`", "", Refuses),
    ("health: { path: health }", 1, 17, "`health` is no path: it must begin with `/`", "", Refuses),
    ("calls: { maxDepth: 0 }", 1, 20, "`0` is out of bounds: 1 to 64", "", Refuses),
    // Fields and types.
    (
        "listn: 127.0.0.1:80",
        1,
        1,
        "unknown field `listn`",
        "did you mean `listen`?; allowed here: listen, listeners",
        Refuses,
    ),
    ("zebra: 1", 1, 1, "unknown field `zebra`", "allowed here: listen, listeners", Refuses),
    ("listen: 8080", 1, 9, "`8080` is no address: write an IP and a port, like 127.0.0.1:8080", "", Refuses),
    ("listen: localhost:8080", 1, 9, "`localhost:8080` is no address", "", CannotTell),
    ("listen: [127.0.0.1:80]", 1, 9, "expected an address such as 127.0.0.1:8080, found a list", "", Refuses),
    ("admin: 127.0.0.1:9090", 1, 8, "expected a map of settings, found text `127.0.0.1:9090`", "", Refuses),
    ("plugins:\n  pollInterval: 5 parsecs", 2, 17, "`5 parsecs` is no duration: write it like 250ms", "", Refuses),
    ("plugins: { pollInterval: }", 1, 12, "expected a duration such as 250ms, 5s, 1m30s, found nothing", "", Refuses),
    ("plugins: { pollInterval: 5 }", 1, 26, "`5` is no duration", "", Refuses),
    ("plugins: { dir: [a] }", 1, 17, "expected path string, found a list", "", Refuses),
    (
        "engine: { maxSlots: lots }",
        1,
        21,
        "expected a whole number from 0 to 4294967295, found text `lots`",
        "",
        Refuses,
    ),
    ("engine: { maxSlots: '5' }", 1, 21, "expected a whole number from 0 to 4294967295, found text `5`", "", Refuses),
    ("engine: { maxSlots: -1 }", 1, 21, "expected a whole number from 0 to 4294967295, found `-1`", "", Refuses),
    ("engine: { maxSlots: 1.5 }", 1, 21, "expected a whole number from 0 to 4294967295, found `1.5`", "", Refuses),
    ("engine: { maxSlots: 4294967296 }", 1, 21, "expected a whole number from 0 to 4294967295", "", Refuses),
    ("engine: { compileCache: yes }", 1, 25, "expected true or false, found text `yes`", "", Refuses),
    ("engine: { compileCache: 1 }", 1, 25, "expected true or false, found `1`", "", Refuses),
    (
        "accessLog: { format: jsn }",
        1,
        22,
        "unknown value `jsn`",
        "did you mean `json`?; allowed here: auto, json, text",
        Refuses,
    ),
    ("accessLog: { format: [json] }", 1, 22, "expected one of auto, json, text, found a list", "", Refuses),
    ("accessLog: { format: { json: 1 } }", 1, 24, "`json` takes no value: write `json` alone", "", Refuses),
    ("trustedProxies: 10.0.0.0/8", 1, 17, "expected a list, found text `10.0.0.0/8`", "", Refuses),
    ("trustedProxies: [10.0.0.0/8, 10.1]", 1, 30, "`10.1` is no network: write it like 10.0.0.0/8", "", Refuses),
    ("routes: { a: 1 }", 1, 9, "expected a list, found a map", "", Refuses),
    ("- 5", 1, 1, "expected a map of settings, found a list", "", Refuses),
    ("just words", 1, 1, "expected a map of settings, found text `just words`", "", Refuses),
    // YAML.
    (
        "listen: 127.0.0.1:80\nlisten: 127.0.0.1:81",
        2,
        1,
        "`listen` is given twice",
        "the first is in line 1",
        CannotTell,
    ),
    (
        "admin: {\n  listen: '[::1]:80', listen: '[::1]:81' }",
        2,
        23,
        "`listen` is given twice",
        "the first is in line 2",
        CannotTell,
    ),
    ("drain: [", 1, 8, "not valid YAML: ", "", CannotTell),
    ("drain:\n\ttimeout: 1s", 2, 2, "not valid YAML: ", "", CannotTell),
    (
        "listen: 127.0.0.1:80\n---\nlisten: 127.0.0.1:81",
        2,
        1,
        "a second document in one file",
        "remove the `---`",
        CannotTell,
    ),
    ("drain: !secret { timeout: 1s }", 1, 16, "tag `!secret` has no meaning here", "remove the tag", CannotTell),
    ("listen: *x", 1, 9, "not valid YAML: ", "", CannotTell),
    ("[a, b]: 1", 1, 1, "a key must be a word", "", CannotTell),
    // Bounds.
    (
        "admin: { listen: 0.0.0.0:9090 }",
        1,
        18,
        "the admin API cannot listen on 0.0.0.0:9090: it asks for no credentials",
        "",
        CannotTell,
    ),
    ("admin: { listen: 127.0.0.1:8080 }", 1, 18, "127.0.0.1:8080 is the public listener's address", "", CannotTell),
    ("plugins: { pollInterval: 99ms }", 1, 26, "`99ms` is too little: at least 100ms", "", CannotTell),
    ("plugins: { dir: '' }", 1, 17, "an empty path", "", CannotTell),
    ("state: { path: '' }", 1, 16, "an empty path", "", CannotTell),
    ("engine: { maxSlots: 0 }", 1, 21, "`0` is out of bounds: 1 to 10000", "", Refuses),
    ("engine: { maxSlots: 10001 }", 1, 21, "`10001` is out of bounds: 1 to 10000", "", Refuses),
    ("engine: { compileConcurrency: 0 }", 1, 31, "`0` is out of bounds: 1 to 64", "", Refuses),
    ("engine: { compileConcurrency: 65 }", 1, 31, "`65` is out of bounds: 1 to 64", "", Refuses),
    ("engine: { compileTimeout: 999ms }", 1, 27, "`999ms` is too little: at least 1s", "", CannotTell),
    ("registry: { heartbeatInterval: 10ms }", 1, 32, "`10ms` is out of bounds: 100ms to 1h", "", CannotTell),
    ("registry: { unhealthyAfter: 9s }", 1, 29, "at least two times heartbeatInterval (5s)", "", CannotTell),
    ("registry: { removeAfter: 15s }", 1, 26, "more than unhealthyAfter (15s)", "", CannotTell),
    ("registry: { maxInstances: 0 }", 1, 27, "`0` is out of bounds: 1 to 100000", "", Refuses),
    ("defaults: { limits: { memory: 1GiB } }", 1, 31, "`1GiB` is out of bounds: 64KiB to 512MiB", "", CannotTell),
    ("defaults: { retry: { attempts: 11 } }", 1, 32, "`11` is out of bounds: 0 to 10", "", Refuses),
    ("defaults: { timeouts: { connect: 0s } }", 1, 34, "`0s` is too little: at least 1ms", "", CannotTell),
    ("defaults: { bulkhead: { reserved: 1001 } }", 1, 35, "`1001` is out of bounds: 0 to 1000", "", Refuses),
    ("defaults: { expose: /x }", 1, 13, "unknown field `expose`", "allowed here: limits, timeouts", Refuses),
];

const SERVICE: &[Row] = &[
    ("grants: { publish: [order created] }", 1, 21, "`order created` is no word of a topic", "", Refuses),
    ("grants: { queues: { sned: [a] } }", 1, 21, "unknown field `sned`", "did you mean `send`?", Refuses),
    ("limits: { publishRate: 0 }", 1, 24, "`0` is out of bounds: 1 to 1000000", "", Refuses),
    ("subscriptions: [{ path: /a }]", 1, 17, "it selects nothing: name a `topic`", "", Refuses),
    ("subscriptions: [{ topic: a, topics: [b] }]", 1, 29, "either `topic` or `topics`", "", CannotTell),
    ("subscriptions: [{ topics: [a, b] }]", 1, 17, "with `topics` it needs a `name`", "", Refuses),
    (
        "subscriptions: [{ topic: a }, { topic: a }]",
        1,
        31,
        "`a` is another subscription's name already",
        "",
        CannotTell,
    ),
    ("subscriptions: [{ topic: a, path: events }]", 1, 35, "`events` is no path", "", Refuses),
    ("subscriptions: [{ topic: a, from: yesterday }]", 1, 35, "unknown value `yesterday`", "latest, earliest", Refuses),
    ("subscriptions: [{ topic: a, from: 2026-13-01T00:00:00Z }]", 1, 35, "is no time: write it like", "", CannotTell),
    ("subscriptions: [{ topic: a, from: { offset: -1 } }]", 1, 45, "expected a whole number", "", Refuses),
    ("subscriptions: [{ topic: a, retry: { attempts: 0 } }]", 1, 48, "`0` is out of bounds: 1 to 100", "", Refuses),
    (
        "subscriptions: [{ topic: a, retry: { backoff: 1m, maxBackoff: 1s } }]",
        1,
        63,
        "`1s` is shorter than `backoff`, which is 1m",
        "",
        CannotTell,
    ),
    ("subscriptions: [{ topic: a, maxInFlight: 0 }]", 1, 42, "`0` is out of bounds: 1 to 1000", "", Refuses),
    ("subscriptions: [{ topic: a, timeout: 0s }]", 1, 38, "`0s` is out of bounds", "", CannotTell),
    ("subscriptions: [{ topic: a, name: 'a b' }]", 1, 35, "`a b` is no word of a name", "", Refuses),
    ("schedules: [{ name: a, topic: a }]", 1, 13, "`cron` is missing", "", Refuses),
    (
        "schedules: [{ name: a, topic: a, cron: '* * * *' }]",
        1,
        40,
        "does not have the five fields of cron",
        "",
        CannotTell,
    ),
    ("schedules: [{ name: a, topic: a, cron: '61 * * * *' }]", 1, 40, "is no time of cron", "", CannotTell),
    ("schedules: [{ name: a, topic: a, cron: '0 0 30 2 *' }]", 1, 40, "`0 0 30 2 *` never comes", "", CannotTell),
    (
        "schedules: [{ name: a, topic: a, cron: '0 0 * * *', timezone: Moon/Base }]",
        1,
        63,
        "`Moon/Base` is no time zone",
        "",
        CannotTell,
    ),
    ("schedules: [{ name: a, topic: 'a.*', cron: '0 0 * * *' }]", 1, 31, "`*` is no word of a topic", "", CannotTell),
    ("schedules: [{ name: a, topic: a, cron: '0 0 * * *', missed: all }]", 1, 61, "unknown value `all`", "", Refuses),
    ("sql: 5", 1, 6, "expected true, false or a map such as { quota: 1GiB }", "", Refuses),
    ("sql: { quota: 1KiB }", 1, 15, "`1KiB` is out of bounds: 256KiB to 1024GiB", "", CannotTell),
    ("sql: { maxRowSize: 1GiB }", 1, 20, "`1GiB` is out of bounds: 64KiB to 64MiB", "", CannotTell),
    ("sql: { statementTimeout: 0s }", 1, 26, "`0s` is too little: at least 1ms", "", CannotTell),
    ("sql: { durability: some }", 1, 20, "unknown value `some`", "", Refuses),
    ("grants: { calls: [users, Users] }", 1, 26, "`Users` is no service name", "", CannotTell),
    ("grants: { calls: [users, users] }", 1, 26, "`users` is granted already: name each service once", "", CannotTell),
    ("grants: { calls: users }", 1, 18, "expected a list, found text `users`", "", Refuses),
    ("grants: { call: [users] }", 1, 11, "unknown field `call`", "did you mean `calls`?", Refuses),
    ("limits: { calls: 2000000 }", 1, 18, "`2000000` is out of bounds: 0 to 1000000", "", Refuses),
    ("limits: { openCalls: 0 }", 1, 22, "`0` is out of bounds: 1 to 10000", "", Refuses),
    ("expose: users", 1, 9, "`users` is no path: it must begin with `/`", "", Refuses),
    ("expose: /a?b", 1, 9, "`/a?b` is no path: '?' cannot stand in one", "", Refuses),
    ("expose: /a/../b", 1, 9, "`/a/../b` is no path: `.` and `..` are resolved", "", CannotTell),
    ("expose: [a]", 1, 9, "expected true, false or a path such as /orders", "", Refuses),
    ("limits: { memory: 64MB }", 1, 19, "`64MB` is no size: write it like 512B, 64KiB, 10MiB, 1GiB", "", Refuses),
    ("limits: { memory: -1 }", 1, 19, "expected a size such as 512B, 64KiB, 10MiB, 1GiB, found `-1`", "", Refuses),
    ("limits: { memory: 1.5 }", 1, 19, "expected a size such as 512B, 64KiB, 10MiB, 1GiB, found `1.5`", "", Refuses),
    ("limits: { memory: 0 }", 1, 19, "`0B` is out of bounds: 64KiB to 512MiB", "", CannotTell),
    ("limits: { memory: 513MiB }", 1, 19, "`513MiB` is out of bounds: 64KiB to 512MiB", "", CannotTell),
    ("limits: { cpuTime: 0s }", 1, 20, "`0s` is too little: at least 1ms", "", CannotTell),
    ("loadBalancer: roundRobin", 1, 15, "expected a map of settings, found text `roundRobin`", "", Refuses),
    (
        "loadBalancer: { strategy: leastRequests }",
        1,
        27,
        "unknown value `leastRequests`",
        "did you mean `leastRequest`?",
        Refuses,
    ),
    ("loadBalancer: { strategy: { consistentHash: {} } }", 1, 45, "`key` is missing", "", Refuses),
    (
        "loadBalancer: { strategy: { consistentHash: { key: { header: a b } } } }",
        1,
        62,
        "`a b` is no header name",
        "",
        CannotTell,
    ),
    (
        "loadBalancer: { strategy: { consistentHash: { key: { cookie: a=b } } } }",
        1,
        62,
        "`a=b` is no name of a cookie",
        "",
        CannotTell,
    ),
    (
        "loadBalancer: { strategy: { consistentHash: { key: { queryParam: '' } } } }",
        1,
        66,
        "an empty parameter",
        "",
        Refuses,
    ),
    (
        "loadBalancer: { strategy: { consistentHash: { key: clientIp, boundedLoad: 99 } } }",
        1,
        75,
        "`99` is out of bounds: 100 to 10000",
        "",
        CannotTell,
    ),
    (
        "loadBalancer: { strategy: { consistentHash: { key: clientIp, boundedLoad: 10001 } } }",
        1,
        75,
        "`10001` is out of bounds",
        "",
        Refuses,
    ),
    ("loadBalancer: { stickySession: { cookie: 'a;b' } }", 1, 42, "`a;b` is no name of a cookie", "", CannotTell),
    ("loadBalancer: { stickySession: { ttl: 500ms } }", 1, 39, "`500ms` is too little: at least 1s", "", CannotTell),
    ("loadBalancer: { slowStart: 1h1ms }", 1, 28, "`1h1ms` is out of bounds: 0s to 1h", "", CannotTell),
    ("loadBalancer: { panicThreshold: 101 }", 1, 33, "`101` is out of bounds: 0 to 100", "", Refuses),
    ("loadBalancer: { preferTags: [eu, ''] }", 1, 34, "an empty tag: name one", "", Refuses),
    ("limits: { responseBody: 0 }", 1, 25, "`0B` is too little: at least 1B", "", CannotTell),
    ("limits: { headers: 10B }", 1, 20, "`10B` is out of bounds: 1KiB to 1MiB", "", CannotTell),
    ("limits: { resources: 15 }", 1, 22, "`15` is out of bounds: 16 to 1000000", "", Refuses),
    ("limits: { resources: 1000001 }", 1, 22, "`1000001` is out of bounds: 16 to 1000000", "", Refuses),
    (
        "limits: { memry: 1MiB }",
        1,
        11,
        "unknown field `memry`",
        "did you mean `memory`?; allowed here: memory, cpuTime",
        Refuses,
    ),
    ("timeouts: { request: 1.5s }", 1, 22, "`1.5s` is no duration", "", Refuses),
    ("bulkhead: { maxConcurrent: 0 }", 1, 28, "`0` is out of bounds: 1 to 100000", "", Refuses),
    ("bulkhead: { maxConcurrent: 100001 }", 1, 28, "`100001` is out of bounds: 1 to 100000", "", Refuses),
    ("bulkhead: { maxPending: 100001 }", 1, 25, "`100001` is out of bounds: 0 to 100000", "", Refuses),
    ("bulkhead: { reserved: 1001 }", 1, 23, "`1001` is out of bounds: 0 to 1000", "", Refuses),
    ("bulkhead: { adaptive: { minLimit: 0 } }", 1, 35, "`0` is out of bounds: 1 to 100000", "", Refuses),
    (
        "bulkhead: { maxConcurrent: 2, adaptive: { enabled: true } }",
        1,
        41,
        "`3` is more than `maxConcurrent`, which is 2",
        "",
        CannotTell,
    ),
    ("bulkhead: { adaptive: { tolerance: 0 } }", 1, 36, "`0` is out of bounds: 1 to 1000", "", Refuses),
    ("bulkhead: { adaptive: { probeInterval: 999ms } }", 1, 40, "`999ms` is out of bounds: 1s to 1h", "", CannotTell),
    ("timeouts: { connect: 0s }", 1, 22, "`0s` is too little: at least 1ms", "", CannotTell),
    (
        "timeouts: { request: 1s, backendRequest: 2s }",
        1,
        42,
        "`2s` is longer than `request` (1s): one try cannot outlast all of them",
        "",
        CannotTell,
    ),
    ("loadBalancer: { localWeight: 1000001 }", 1, 30, "`1000001` is out of bounds: 0 to 1000000", "", Refuses),
    ("retry: true", 1, 8, "expected a map of settings, found text `true`", "", Refuses),
    ("retry: { attempts: 11 }", 1, 20, "`11` is out of bounds: 0 to 10", "", Refuses),
    ("retry: { codes: [502, 200] }", 1, 23, "`200` is out of bounds: 400 to 599", "", Refuses),
    ("retry: { codes: [600] }", 1, 18, "`600` is out of bounds: 400 to 599", "", Refuses),
    ("retry: { codes: [503, 429] }", 1, 23, "429 is never tried again", "", CannotTell),
    ("retry: { backoff: 0s }", 1, 19, "`0s` is out of bounds: 1ms to 1m", "", CannotTell),
    ("retry: { backoff: 1s }", 1, 8, "`250ms` is shorter than `backoff`, which is 1s", "", CannotTell),
    ("retry: { maxBackoff: 61s }", 1, 22, "`1m1s` is out of bounds: 1ms to 1m", "", CannotTell),
    ("retry: { maxBodySize: 2MiB }", 1, 23, "`2MiB` is out of bounds: 0B to 1MiB", "", CannotTell),
    ("retry: { budget: { percent: 101 } }", 1, 29, "`101` is out of bounds: 0 to 100", "", Refuses),
    (
        "retry: { budget: { minRetriesPerSecond: 100001 } }",
        1,
        41,
        "`100001` is out of bounds: 0 to 100000",
        "",
        Refuses,
    ),
    (
        "retry: { budget: { percent: 0, minRetriesPerSecond: 0 } }",
        1,
        18,
        "a budget of nothing: to try nothing again, write `attempts: 0`",
        "",
        CannotTell,
    ),
    ("slots: frsh", 1, 8, "unknown value `frsh`", "did you mean `fresh`?; allowed here: auto, fresh, reuse", Refuses),
    ("slots: { resue: {} }", 1, 10, "unknown field `resue`", "did you mean `reuse`?", Refuses),
    ("slots: {}", 1, 8, "`reuse` is missing", "", Refuses),
    ("slots: 5", 1, 8, "expected auto, fresh, reuse or a map such as { reuse: { idle: 30s } }, found `5`", "", Refuses),
    ("slots: { reuse: { maxRequests: 0 } }", 1, 32, "`0` is too little: at least 1", "", Refuses),
    ("slots: { reuse: { idle: 0s } }", 1, 25, "`0s` is too little: at least 1ms", "", CannotTell),
    ("healthCheck: { path: health }", 1, 22, "`health` is no path: it must begin with `/`", "", Refuses),
    ("healthCheck: { startTimeout: 0s }", 1, 30, "`0s` is too little: at least 1ms", "", CannotTell),
    ("healthCheck: { timeout: 0s }", 1, 25, "`0s` is out of bounds: 1ms to 1m", "", CannotTell),
    ("healthCheck: { interval: 2h }", 1, 26, "`2h` is out of bounds: 100ms to 1h", "", CannotTell),
    ("healthCheck: { unhealthyThreshold: 0 }", 1, 36, "`0` is out of bounds: 1 to 100", "", Refuses),
    ("healthCheck: { healthyThreshold: 101 }", 1, 34, "`101` is out of bounds: 1 to 100", "", Refuses),
    ("healthCheck: { expectedStatuses: [] }", 1, 34, "without a status nothing would be good", "", Refuses),
    ("healthCheck: { expectedStatuses: [2xx] }", 1, 35, "`2xx` is no range of statuses", "", Refuses),
    ("tags: [a b]", 1, 8, "`a b` has something else than letters, digits", "", Refuses),
    ("tags: [a, a]", 1, 11, "`a` stands twice", "", CannotTell),
    ("metadata: { a b: x }", 1, 13, "`a b` has something else than letters, digits", "", CannotTell),
    ("metadata: { a: \"x\\e\" }", 1, 13, "has control characters", "", CannotTell),
    ("instances: [{ name: a }]", 1, 13, "`url` is missing", "", Refuses),
    ("instances: [{ name: a, url: ftp://x }]", 1, 29, "it must begin with http:// or https://", "", Refuses),
    ("instances: [{ name: a, url: http://x/y }]", 1, 29, "leave the path out", "", Refuses),
    ("instances: [{ name: a/b, url: http://x }]", 1, 21, "`a/b` has something else than letters", "", Refuses),
    (
        "instances: [{ name: a, url: http://x }, { name: a, url: http://y }]",
        1,
        49,
        "`a` is the name of another instance of this service",
        "",
        CannotTell,
    ),
    ("instances: [{ name: a, url: http://x, weight: 1000001 }]", 1, 47, "`1000001` is out of bounds", "", Refuses),
    ("instances: [{ name: a, url: http://x, version: '' }]", 1, 48, "`` has something else than letters", "", Refuses),
    ("instances: [{ name: a, url: http://x, healthCheck: {} }]", 1, 52, "`path` is missing", "", Refuses),
    ("drainTimeout: soon", 1, 15, "`soon` is no duration", "", Refuses),
    ("versioning: { header: a b }", 1, 23, "`a b` is no header name", "", CannotTell),
    ("versioning: { path: v }", 1, 21, "expected true or false", "", Refuses),
    ("contract: { requests: on }", 1, 23, "unknown value `on`", "", Refuses),
    ("contract: { responses: refuse }", 1, 24, "unknown value `refuse`", "", Refuses),
    ("contract: { breaking: refuse }", 1, 23, "unknown value `refuse`", "", Refuses),
    ("contract: { publish: 1 }", 1, 22, "expected true or false", "", Refuses),
    ("contract: { maxBody: 17MiB }", 1, 22, "`17MiB` is out of bounds: 1KiB to 16MiB", "", CannotTell),
    ("rollout: { retain: 11 }", 1, 20, "`11` is out of bounds: 0 to 10", "", Refuses),
    ("rollout: { canary: { steps: [] } }", 1, 29, "no step: name at least one", "", Refuses),
    ("rollout: { canary: { steps: [0] } }", 1, 30, "`0` is out of bounds: 1 to 100", "", Refuses),
    ("rollout: { canary: { steps: [50, 5] } }", 1, 34, "`5` is not more than the step before (50)", "", CannotTell),
    ("rollout: { canary: { interval: 10ms } }", 1, 32, "`10ms` is out of bounds: 1s to 24h", "", CannotTell),
    ("rollout: { canary: { minRequests: 0 } }", 1, 35, "`0` is out of bounds: 1 to 1000000", "", Refuses),
    ("rollout: { canary: { maxErrorRate: 101 } }", 1, 36, "`101` is out of bounds: 0 to 100", "", Refuses),
    ("rollout: { canary: { maxLatencyRatio: 0.5 } }", 1, 39, "`0.5` is out of bounds: 1 to 1000", "", Refuses),
    ("config: [a]", 1, 9, "expected a map, found a list", "", Refuses),
    ("config: { a: [b] }", 1, 14, "expected text or a map such as { secret: name }, found a list", "", Refuses),
    ("config: { a: }", 1, 11, "expected text or a map such as { secret: name }, found nothing", "", Refuses),
    ("config: { '': b }", 1, 11, "`b` needs a key", "", CannotTell),
    ("routes: []", 1, 1, "unknown field `routes`", "", Refuses),
];

/// In `routes: [<here>]`, so that columns count from 10.
const ROUTE: &[Row] = &[
    ("{ rules: [{ backendRefs: [{ service: a }] }] }", 1, 10, "`name` is missing", "", Refuses),
    ("{ name: '', rules: [{ backendRefs: [{ service: a }] }] }", 1, 18, "an empty name", "", Refuses),
    ("{ name: r }", 1, 10, "`rules` is missing", "", Refuses),
    ("{ name: r, rules: [] }", 1, 21, "route `r` has no rules: give at least one", "", Refuses),
    ("{ name: r, rules: [{}] }", 1, 29, "no backend: name at least one service", "", Refuses),
    (
        "{ name: r, rules: [{ backendRef: [] }] }",
        1,
        31,
        "unknown field `backendRef`",
        "did you mean `backendRefs`?",
        Refuses,
    ),
    ("{ name: r, rules: [{ backendRefs: [] }] }", 1, 31, "no backend: name at least one service", "", Refuses),
    (
        "{ name: r, hostnames: ['*'], rules: [{ backendRefs: [{ service: a }] }] }",
        1,
        33,
        "`*` is no host name",
        "",
        Refuses,
    ),
    (
        "{ name: r, hostnames: [A.b], rules: [{ backendRefs: [{ service: a }] }] }",
        1,
        33,
        "`A.b` is no host name",
        "",
        Refuses,
    ),
    (
        "{ name: r, hostnames: [a:80], rules: [{ backendRefs: [{ service: a }] }] }",
        1,
        33,
        "`a:80` is no host name",
        "",
        Refuses,
    ),
    (
        "{ name: r, hostnames: ['a.*.b'], rules: [{ backendRefs: [{ service: a }] }] }",
        1,
        33,
        "is no host name",
        "",
        Refuses,
    ),
    (
        "{ name: r, hostnames: [-a.b], rules: [{ backendRefs: [{ service: a }] }] }",
        1,
        33,
        "is no host name",
        "",
        Refuses,
    ),
];

/// In `routes: [{ name: r, rules: [{ <here> }] }]`, so that columns count from 31.
const RULE: &[Row] = &[
    (
        "retry: { budget: {} }, backendRefs: [{ service: a }]",
        1,
        40,
        "unknown field `budget`",
        "allowed here: attempts, codes, retryNonIdempotent, backoff, maxBackoff, maxBodySize",
        Refuses,
    ),
    ("bulkhead: { maxPending: 1 }, backendRefs: [{ service: a }]", 1, 41, "`maxConcurrent` is missing", "", Refuses),
    (
        "bulkhead: { maxConcurrent: 0 }, backendRefs: [{ service: a }]",
        1,
        58,
        "`0` is out of bounds: 1 to 100000",
        "",
        Refuses,
    ),
    (
        "bulkhead: { maxConcurrent: 1, maxPending: 100001 }, backendRefs: [{ service: a }]",
        1,
        73,
        "`100001` is out of bounds: 0 to 100000",
        "",
        Refuses,
    ),
    (
        "bulkhead: { maxConcurrent: 1, reserved: 1 }, backendRefs: [{ service: a }]",
        1,
        61,
        "unknown field `reserved`",
        "allowed here: maxConcurrent, maxPending, maxWait",
        Refuses,
    ),
    ("retry: { attempts: 99 }, backendRefs: [{ service: a }]", 1, 50, "`99` is out of bounds: 0 to 10", "", Refuses),
    ("backendRefs: [{ service: A }]", 1, 56, "`A` is no service name: use a lowercase letter", "", Refuses),
    ("backendRefs: [{ service: a, version: '' }]", 1, 68, "an empty version", "", CannotTell),
    ("backendRefs: [{ service: a, weight: -1 }]", 1, 67, "expected a whole number from 0 to 4294967295", "", Refuses),
    ("backendRefs: [{ service: a, weight: 1000001 }]", 1, 67, "`1000001` is out of bounds: 0 to 1000000", "", Refuses),
    ("backendRefs: [{ service: a, weight: 0 }, { service: b, weight: 0 }]", 1, 31, "all weights are 0", "", CannotTell),
    ("split: {}, backendRefs: [{ service: a }]", 1, 38, "says nothing: give `header`, `cookie` or", "", CannotTell),
    ("split: { header: 'a b' }, backendRefs: [{ service: a }]", 1, 48, "`a b` is no header name", "", CannotTell),
    ("split: { cookie: '' }, backendRefs: [{ service: a }]", 1, 48, "`` is no name of a cookie", "", Refuses),
    ("split: { stickyBy: { header: é } }, backendRefs: [{ service: a }]", 1, 60, "is no header name", "", CannotTell),
    ("split: { stickyBy: { cookie: 'a=b' } }, backendRefs: [{ service: a }]", 1, 60, "is no name of", "", CannotTell),
    ("split: { stickyBy: address }, backendRefs: [{ service: a }]", 1, 50, "unknown value `address`", "", Refuses),
    (
        "split: { header: x }, backendRefs: [{ service: a }, { service: b }]",
        1,
        94,
        "`split` is among versions of one service",
        "",
        CannotTell,
    ),
    (
        "split: { header: x }, backendRefs: [{ service: a }, { service: a, version: 2 }, { service: a }]",
        1,
        111,
        "the same version twice",
        "",
        CannotTell,
    ),
    (
        "matches: [{ path: /x }], backendRefs: [{ service: a }]",
        1,
        49,
        "unknown value `/x`",
        "allowed here: exact, prefix, regex",
        Refuses,
    ),
    (
        "matches: [{ path: exact }], backendRefs: [{ service: a }]",
        1,
        49,
        "`exact` needs a value: write `{ exact: … }`",
        "",
        Refuses,
    ),
    (
        "matches: [{ path: {} }], backendRefs: [{ service: a }]",
        1,
        49,
        "expected one of exact, prefix, regex as the only key",
        "",
        Refuses,
    ),
    (
        "matches: [{ path: { exct: /x } }], backendRefs: [{ service: a }]",
        1,
        51,
        "unknown key `exct`",
        "did you mean `exact`?",
        Refuses,
    ),
    (
        "matches: [{ path: { exact: /x, prefix: /y } }], backendRefs: [{ service: a }]",
        1,
        62,
        "expected only one key, one of exact, prefix, regex",
        "",
        Refuses,
    ),
    (
        "matches: [{ path: { exact: x } }], backendRefs: [{ service: a }]",
        1,
        58,
        "`x` is no path: it must begin with `/`",
        "",
        Refuses,
    ),
    (
        "matches: [{ path: { prefix: '/a b' } }], backendRefs: [{ service: a }]",
        1,
        59,
        "' ' cannot stand in one",
        "",
        Refuses,
    ),
    (
        "matches: [{ path: { prefix: } }], backendRefs: [{ service: a }]",
        1,
        51,
        "expected text, found nothing",
        "",
        Refuses,
    ),
    (
        "matches: [{ methd: GET }], backendRefs: [{ service: a }]",
        1,
        43,
        "unknown field `methd`",
        "did you mean `method`?",
        Refuses,
    ),
    (
        "matches: [{ method: get }], backendRefs: [{ service: a }]",
        1,
        51,
        "`get` is no method: write it in upper case",
        "",
        Refuses,
    ),
    (
        "matches: [{ headers: { 'a b': c } }], backendRefs: [{ service: a }]",
        1,
        54,
        "`a b` is no header name",
        "",
        CannotTell,
    ),
    (
        "matches: [{ headers: { a: b, A: c } }], backendRefs: [{ service: a }]",
        1,
        54,
        "`a` is given twice: upper and lower",
        "",
        CannotTell,
    ),
    (
        "matches: [{ headers: { a: \"b\\nc\" } }], backendRefs: [{ service: a }]",
        1,
        57,
        "control characters",
        "",
        CannotTell,
    ),
    (
        "filters: [{ corz: {} }], backendRefs: [{ service: a }]",
        1,
        43,
        "unknown key `corz`",
        "did you mean `cors`?; allowed here: cors, ipRules",
        Refuses,
    ),
    ("filters: [rewrite], backendRefs: [{ service: a }]", 1, 41, "`rewrite` needs a value", "", Refuses),
    ("filters: [{ rewrite: {} }], backendRefs: [{ service: a }]", 1, 52, "changes nothing", "", CannotTell),
    ("filters: [{ rewrite: { prefix: x } }], backendRefs: [{ service: a }]", 1, 62, "`x` is no path", "", Refuses),
    (
        "filters: [{ rewrite: { prefix: / } }, { rewrite: { prefix: / } }], backendRefs: [{ service: a }]",
        1,
        71,
        "a second `rewrite` in one list",
        "",
        CannotTell,
    ),
    (
        "matches: [{ path: { exact: /a } }], filters: [{ rewrite: { prefix: / } }], backendRefs: [{ service: a }]",
        1,
        79,
        "`rewrite` replaces a matched prefix, but the match in line 1 is `exact`",
        "",
        CannotTell,
    ),
    (
        "timeouts: { request: 0s }, backendRefs: [{ service: a }]",
        1,
        52,
        "`0s` would end every request at once",
        "",
        CannotTell,
    ),
    (
        "backendRefs: [{ service: a }], matches: [{}, { path: { prefix: / } }]",
        1,
        76,
        "never reached: route `r` matches the same in line 1",
        "",
        CannotTell,
    ),
];

fn check(kind: SchemaKind, file: &str, text: &str, row: &Row) {
    let (_, line, column, message, help, schema) = row;
    let dir = folder(&[(file, text)]);
    let problems = load_with(dir.path(), None).expect_err(text);
    assert_eq!(problems.count(), 1, "{text}: one mistake, one problem\n{problems}");
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.file(), dir.path().join(file));
    assert_eq!(problem.position(), Some((*line, *column)), "{text}\n{problems}");
    assert!(problem.message().contains(message), "{text}\nwant {message}\n{problems}");
    let helped = problem.help().unwrap_or_default();
    assert!(helped.contains(help), "{text}\nwant {help}\n{problems}");
    if let Some(json) = as_json(text) {
        assert_eq!(refused_by_schema(kind, &json), *schema == Refuses, "{text}: {schema:?}");
    } else {
        assert_eq!(*schema, CannotTell, "{text}: is no JSON");
    }
}

#[test]
fn every_bad_value_of_the_gateway_is_found_where_it_is() {
    for row in GATEWAY {
        check(SchemaKind::Gateway, "gateway.yaml", row.0, row);
    }
}

#[test]
fn every_bad_value_of_a_service_is_found_where_it_is() {
    for row in SERVICE {
        check(SchemaKind::Service, "services/users.yaml", row.0, row);
    }
}

#[test]
fn every_bad_value_of_a_route_is_found_where_it_is() {
    for row in ROUTE {
        check(SchemaKind::Gateway, "gateway.yaml", &format!("routes: [{}]", row.0), row);
    }
    for row in RULE {
        check(SchemaKind::Gateway, "gateway.yaml", &format!("routes: [{{ name: r, rules: [{{ {} }}] }}]", row.0), row);
    }
}

#[test]
fn all_mistakes_of_all_files_are_found_at_once() {
    let gateway = "
listn: 1
plugins: { pollInterval: soon }
defaults:
  limits: { memory: 1TB, cpuTime: 0s }
routes:
  - name: a
    rules: [{ backendRefs: [{ service: B, weight: x }] }]
  - { name: a, rules: 5 }
  - { name: b, hostnames: [X], rules: [{ backendRefs: [{ service: a, weight: 0 }] }] }
";
    let found = complaints(
        &[
            ("gateway.yaml", gateway),
            ("services/users.yaml", "slots: frsh\nbulkhead: { maxConcurrent: 0, maxWaite: 1s }\n"),
            ("services/orders.yaml", "limits: {\n"),
            ("services/Bad.yaml", "this is not even read: ["),
            ("services/other.yml", ""),
            ("env/prod.yaml", "servics: {}\nservices: { users: { expose: x }, 9: {} }\n"),
        ],
        Some("prod"),
    );
    let want = [
        "env/prod.yaml:1:1 unknown field `servics`",
        "env/prod.yaml:2:30 `x` is no path",
        "env/prod.yaml:2:35 `9` is no service name",
        "gateway.yaml:2:1 unknown field `listn`",
        "gateway.yaml:3:26 `soon` is no duration",
        "gateway.yaml:5:21 `1TB` is no size",
        "gateway.yaml:5:35 `0s` is too little",
        "gateway.yaml:8:40 `B` is no service name",
        "gateway.yaml:8:51 expected a whole number",
        "gateway.yaml:9:23 expected a list, found text `5`",
        "gateway.yaml:10:28 `X` is no host name",
        "gateway.yaml:10:42 all weights are 0",
        "services/Bad.yaml `Bad` is no service name",
        "services/orders.yaml:1:9 not valid YAML",
        "services/other.yml files here end in .yaml",
        "services/users.yaml:1:8 unknown value `frsh`",
        "services/users.yaml:2:28 `0` is out of bounds",
        "services/users.yaml:2:31 unknown field `maxWaite`",
    ];
    assert_eq!(found.len(), want.len(), "{found:#?}");
    for (found, want) in found.iter().zip(want) {
        assert!(found.starts_with(want), "want {want}\nhave {found}");
    }
}

#[test]
fn a_mistake_does_not_bring_complaints_that_only_follow_from_it() {
    let one = |text| {
        let found = complaints(&[("gateway.yaml", text)], None);
        assert_eq!(found.len(), 1, "{found:#?}");
    };
    // The weights of what is left would sum to nothing; a required name is there but wrong; two matches that lost
    // their differences would be the same.
    one("routes: [{ name: r, rules: [{ backendRefs: [{ service: a, weight: 0 }, { service: [] }] }] }]");
    one("routes: [{ name: [], rules: [{ backendRefs: [{ service: a }] }] }]");
    one("routes: [{ name: r, rules: [{ backendRefs: [{ service: a }], matches: [{}, { methd: GET }] }] }]");
    one("routes: [{ name: r, rules: [{ backendRefs: [{ service: a }] }] },
      { name: s, hostnames: [[]], rules: [{ backendRefs: [{ service: a }] }] }]");
    one("routes: [{ name: r, rules: [{ matches: [{ methd: GET }], backendRefs: [{ service: a }] },
      { backendRefs: [{ service: a }] }] }]");
}

#[test]
fn a_problem_is_shown_with_its_line_and_a_caret_or_as_json() {
    let dir = folder(&[("gateway.yaml", "# ünïcödé\nroutes:\n  - { nme: r }\n")]);
    let problems = load_with(dir.path(), None).unwrap_err();
    let text = problems.to_string();
    let path = dir.path().join("gateway.yaml").display().to_string();
    let want = format!(
        "error: unknown field `nme`
 --> {path}:3:7
  |
3 |   - {{ nme: r }}
  |       ^^^ did you mean `name`?
  |
  = help: allowed here: name, hostnames, listeners, rules

1 problem in the configuration"
    );
    assert_eq!(text, want);
    assert!(!text.contains('\x1b') && problems.render(true).contains('\x1b'), "colour only when asked for");
    let json = serde_json::to_value(&problems).unwrap();
    let want = serde_json::json!([{
        "severity": "error",
        "file": path, "line": 3, "column": 7, "message": "unknown field `nme`",
        "help": "did you mean `name`?; allowed here: name, hostnames, listeners, rules",
    }]);
    assert_eq!(json, want);
}

#[test]
fn aliases_work_but_cannot_expand_without_end() {
    let text = "defaults: { drainTimeout: &t 7s }\ndrain: { timeout: *t }\n";
    assert_eq!(load_files(&[("gateway.yaml", text)], None).unwrap().gateway.drain.timeout, Duration::secs(7));
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d")] {
        bomb.push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 10].join(", ")));
    }
    let found = complaints(&[("gateway.yaml", &bomb)], None);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("aliases copy too much"), "{found:#?}");
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    let found = complaints(&[("gateway.yaml", &deep)], None);
    assert!(found.len() == 1 && found[0].contains("not valid YAML"), "{found:#?}");
    let found = complaints(&[("gateway.yaml", "drain: &a { timeout: *a }")], None);
    assert!(found.len() == 1 && found[0].starts_with("gateway.yaml:1:22"), "{found:#?}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = folder(&[("gateway.yaml", "")]);
    std::fs::write(dir.path().join("gateway.yaml"), b"listen: \xff").unwrap();
    std::fs::write(dir.path().join("services"), "a file where a folder should be").unwrap();
    let text = load_with(dir.path(), None).unwrap_err().to_string();
    assert!(text.contains("is not UTF-8 text") && text.contains("cannot be read: "), "{text}");
}

#[test]
fn service_names_are_host_labels() {
    for good in ["a", "users", "a-1", &"a".repeat(63)] {
        assert_eq!(valid_service_name(good), Ok(()));
    }
    for bad in ["", "A", "1a", "-a", "a_b", "a.b", "ä", "a/b", "a@1", &"a".repeat(64), "a\n"] {
        assert!(valid_service_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_admin_api_listens_on_loopback_only() {
    for good in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(valid_admin_listen(good.parse().unwrap()), Ok(()));
    }
    for bad in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
        assert!(valid_admin_listen(bad.parse().unwrap()).is_err(), "{bad}");
    }
}
