-- What there is of each product. What was ever taken in (the sum of `movements`) is available, reserved or committed.
CREATE TABLE stock (
    product_id TEXT PRIMARY KEY,
    available INTEGER NOT NULL CHECK (available >= 0),
    reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    committed INTEGER NOT NULL DEFAULT 0 CHECK (committed >= 0)
) STRICT;

CREATE INDEX stock_by_available ON stock (available);

-- What came in and went out by hand: orders are not here.
CREATE TABLE movements (
    id INTEGER PRIMARY KEY,
    product_id TEXT NOT NULL REFERENCES stock (product_id),
    delta INTEGER NOT NULL,
    reason TEXT NOT NULL,
    -- What the client called the change, so that it is made once, and what was said then.
    idempotency_key TEXT,
    available INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    at TEXT NOT NULL,
    UNIQUE (product_id, idempotency_key)
) STRICT;

CREATE TABLE reservations (
    order_id TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('reserved', 'committed', 'released', 'rejected', 'cancelled')),
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE reservation_items (
    order_id TEXT NOT NULL REFERENCES reservations (order_id),
    product_id TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, product_id)
) STRICT, WITHOUT ROWID;
