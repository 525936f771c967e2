-- How often a charge was tried: by its idempotency key, before there is a charge.
CREATE TABLE tries (
    key TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;

CREATE TABLE charges (
    id TEXT PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    card TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('authorized', 'captured', 'declined', 'refunded', 'voided')),
    -- Why it was declined.
    reason TEXT,
    created_at TEXT NOT NULL,
    CHECK ((reason IS NOT NULL) = (status = 'declined'))
) STRICT;

CREATE INDEX charges_reference ON charges (reference, id);
