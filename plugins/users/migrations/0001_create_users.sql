CREATE TABLE users (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL,
    email TEXT NOT NULL,
    -- In lower case: two that differ only in case are the same to people.
    username_key TEXT NOT NULL UNIQUE,
    email_key TEXT NOT NULL UNIQUE,
    name TEXT,
    -- As JSON; nobody asks for a part of it.
    address TEXT,
    -- In the PHC format, which has its parameters and salt in it.
    password TEXT NOT NULL,
    admin INTEGER NOT NULL DEFAULT 0 CHECK (admin IN (0, 1)),
    created_at TEXT NOT NULL
) STRICT;

-- Usernames that have made somebody an administrator. They do so once: a name that is free again makes nobody one.
CREATE TABLE admin_names (username_key TEXT PRIMARY KEY) STRICT;

CREATE TABLE keys (
    -- Thumbprint of the public key, RFC 7638.
    kid TEXT PRIMARY KEY,
    x TEXT NOT NULL,
    y TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('next', 'signs', 'ended')),
    -- Forgotten when it has ended.
    secret BLOB,
    -- Seconds that the longest token lives that it has signed.
    longest INTEGER NOT NULL DEFAULT 0,
    -- When the last of its tokens has ended, in seconds since 1970.
    ends_at INTEGER,
    created_at TEXT NOT NULL,
    CHECK ((secret IS NULL) = (state = 'ended')),
    CHECK ((ends_at IS NULL) = (state <> 'ended'))
) STRICT;

-- One key signs, and one is next.
CREATE UNIQUE INDEX keys_state ON keys (state) WHERE state <> 'ended';
