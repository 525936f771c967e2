-- What users were told. Of each kind there is one message about one thing, however often its event is delivered.
CREATE TABLE messages (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- What it is about: the order, or the user.
    reference TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (kind, reference)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_user ON messages (user_id, id);
