CREATE TABLE payments (
    order_id TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    -- Who pays, if the order said it.
    user_id TEXT,
    -- Nothing of these three for an order that was cancelled before it was paid.
    amount INTEGER CHECK (amount >= 0),
    currency TEXT,
    card TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'captured', 'failed', 'refunding', 'refunded', 'cancelled')),
    reason TEXT,
    -- What the provider calls it.
    charge_id TEXT,
    -- Whether others were told that it is paid: only then they are told of a refund.
    told INTEGER NOT NULL DEFAULT 0 CHECK (told IN (0, 1)),
    -- Until then, in milliseconds since 1970, somebody may be charging the card.
    busy_until INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    CHECK ((amount IS NULL) = (currency IS NULL) AND (amount IS NULL) = (card IS NULL)),
    CHECK (amount IS NOT NULL OR status = 'cancelled')
) STRICT;

-- What is still to be given back.
CREATE INDEX payments_refunding ON payments (busy_until) WHERE status = 'refunding';
