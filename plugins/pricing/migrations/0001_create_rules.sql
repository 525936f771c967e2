-- One unit of `from_currency` is numerator / denominator units of `to_currency`.
CREATE TABLE rates (
    from_currency TEXT NOT NULL,
    to_currency TEXT NOT NULL,
    numerator INTEGER NOT NULL CHECK (numerator > 0),
    denominator INTEGER NOT NULL CHECK (denominator > 0),
    updated_at TEXT NOT NULL,
    PRIMARY KEY (from_currency, to_currency),
    CHECK (from_currency <> to_currency)
) STRICT, WITHOUT ROWID;

-- Whoever buys at least so many of a product gets so many percent off.
CREATE TABLE quantity_discounts (
    quantity INTEGER PRIMARY KEY CHECK (quantity > 1),
    percent INTEGER NOT NULL CHECK (percent BETWEEN 1 AND 100)
) STRICT;

CREATE TABLE coupons (
    code TEXT PRIMARY KEY,
    -- Either so many percent off, or so much.
    percent INTEGER CHECK (percent BETWEEN 1 AND 100),
    amount INTEGER CHECK (amount > 0),
    -- Of the amount and of the minimum.
    currency TEXT,
    minimum INTEGER NOT NULL DEFAULT 0 CHECK (minimum >= 0),
    valid_from TEXT,
    valid_to TEXT,
    max_uses INTEGER CHECK (max_uses > 0),
    max_uses_per_user INTEGER CHECK (max_uses_per_user > 0),
    active INTEGER NOT NULL CHECK (active IN (0, 1)),
    CHECK ((percent IS NULL) <> (amount IS NULL)),
    CHECK (currency IS NOT NULL OR (amount IS NULL AND minimum = 0))
) STRICT, WITHOUT ROWID;

-- Orders that were made with a coupon. One that was cancelled before it was made is here, too, so that it never counts.
CREATE TABLE coupon_uses (
    order_id TEXT PRIMARY KEY,
    code TEXT NOT NULL,
    user_id TEXT NOT NULL,
    cancelled INTEGER NOT NULL CHECK (cancelled IN (0, 1)),
    at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX coupon_uses_by_code ON coupon_uses (code, user_id) WHERE NOT cancelled;
