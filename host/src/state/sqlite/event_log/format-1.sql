CREATE TABLE log (
    last INTEGER NOT NULL,
    published INTEGER NOT NULL,
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    dead_bytes INTEGER NOT NULL,
    forgotten INTEGER NOT NULL
) STRICT;
CREATE TABLE topics (
    topic TEXT PRIMARY KEY,
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    offset INTEGER PRIMARY KEY,
    published INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    topic TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    subject TEXT,
    correlation TEXT,
    key TEXT,
    seconds INTEGER NOT NULL,
    nanos INTEGER NOT NULL,
    content_type TEXT,
    schema TEXT,
    extensions TEXT,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX by_id ON events (id, source);
CREATE INDEX by_topic ON events (topic);
CREATE INDEX by_kind ON events (kind);
CREATE INDEX by_source ON events (source);
CREATE INDEX by_subject ON events (subject) WHERE subject IS NOT NULL;
CREATE INDEX by_correlation ON events (correlation) WHERE correlation IS NOT NULL;
CREATE TABLE forgotten (
    offset INTEGER PRIMARY KEY,
    published INTEGER NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL
) STRICT;
CREATE INDEX forgotten_by_id ON forgotten (id, source);
CREATE TABLE subscriptions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    topics TEXT NOT NULL,
    position INTEGER NOT NULL,
    UNIQUE (service, name)
) STRICT;
CREATE TABLE waiting (
    subscription INTEGER NOT NULL REFERENCES subscriptions (number) ON DELETE CASCADE,
    offset INTEGER NOT NULL,
    lane_topic TEXT,
    lane_key TEXT,
    attempts INTEGER NOT NULL,
    due INTEGER,
    error TEXT NOT NULL,
    PRIMARY KEY (subscription, offset)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_by_event ON waiting (offset);
CREATE TABLE dead (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    died INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL,
    offset INTEGER NOT NULL,
    published INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    topic TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    subject TEXT,
    correlation TEXT,
    key TEXT,
    seconds INTEGER NOT NULL,
    nanos INTEGER NOT NULL,
    content_type TEXT,
    schema TEXT,
    extensions TEXT,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX dead_by_subscription ON dead (service, name);

INSERT INTO log VALUES (8, 1780000000000000000, 1, 360, 360, 1);
INSERT INTO topics VALUES ('order.created', 1, 360);
INSERT INTO events VALUES (7, 1779999999000000000, 360, 'order.created', 'order.created', '/services/orders', '7', '42',
    'c', 'k', 1779999999, 5, 'text/plain', 's', '{"traceparent":"t"}', x'64617461');
INSERT INTO forgotten VALUES (8, 1780000000000000000, '/services/orders', '8');
INSERT INTO subscriptions VALUES (4, 'mail', 's', '["order.*"]', 8);
INSERT INTO waiting VALUES (4, 7, 'order.created', 'k', 2, 1780000001000000000, 'later');
INSERT INTO dead VALUES (3, 'mail', 's', 1780000000000000000, 5, 'no', 6, 1779999998000000000, 360, 'order.created',
    'order.created', '/services/orders', '6', NULL, NULL, NULL, 1779999998, 0, NULL, NULL, NULL, x'');
PRAGMA application_id = 1464354134;
PRAGMA user_version = 1;
