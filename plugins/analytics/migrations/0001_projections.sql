-- What was read of events, one row for each thing that they are about: an event that comes again writes the same row
-- again, so nothing has to be remembered of events themselves. All numbers are made of these rows when they are asked.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    -- Empty while only the deletion was heard of.
    registered_on TEXT,
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX users_by_day ON users (registered_on);

CREATE TABLE orders (
    id TEXT PRIMARY KEY,
    -- That of the newest event that was heard: an older one that comes later changes nothing.
    version INTEGER NOT NULL,
    status TEXT NOT NULL,
    created_on TEXT NOT NULL,
    currency TEXT NOT NULL,
    total INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_by_status ON orders (status, id);

CREATE TABLE order_items (
    order_id TEXT NOT NULL,
    product_id TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    PRIMARY KEY (order_id, product_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX order_items_by_product ON order_items (product_id, order_id, quantity);

-- Money that moved, and charges that failed.
CREATE TABLE payments (
    order_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('captured', 'refunded', 'failed')),
    day TEXT NOT NULL,
    currency TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (order_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX payments_by_day ON payments (day, currency, kind, amount);
