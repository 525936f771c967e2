-- For questions: one row for each order, made of its events and never anything else. `POST /rebuild` makes it anew.
CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'shipped', 'delivered', 'cancelled')),
    -- How many events the row is made of.
    version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    -- The order as clients see it.
    view TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_by_user ON orders (user_id, id);
CREATE INDEX orders_by_status ON orders (status, created_at);

-- Requests with an Idempotency-Key, and what they were answered. Not made of events.
CREATE TABLE requests (
    -- Whose key it is: keys of different users have nothing to do with each other.
    user_id TEXT NOT NULL,
    key TEXT NOT NULL,
    -- What was asked, to tell a repetition from another request with the same key.
    asked TEXT NOT NULL,
    order_id TEXT NOT NULL,
    -- Empty while it is being worked on.
    status INTEGER,
    answer TEXT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_by_age ON requests (at);
