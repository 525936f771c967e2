-- One shipment for each order. An order that was cancelled before it was sent has a row without a number: a stone over
-- its grave, so that nothing is sent when `order.confirmed` comes after all.
CREATE TABLE shipments (
    order_id TEXT PRIMARY KEY,
    -- Who may see it besides administrators; not always known.
    user_id TEXT,
    status TEXT NOT NULL CHECK (status IN ('scheduled', 'delivered', 'cancelled')),
    -- The number that the tracking number is made of.
    serial INTEGER UNIQUE CHECK (serial BETWEEN 1 AND 99999999),
    tracking TEXT UNIQUE,
    -- As JSON.
    address TEXT,
    items TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CHECK (status = 'cancelled' OR (serial IS NOT NULL AND tracking IS NOT NULL AND address IS NOT NULL))
) STRICT, WITHOUT ROWID;
