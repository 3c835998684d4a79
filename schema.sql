-- The log of deepsoc-gateway: the only definition of its tables.
-- Applied to an empty file; src/store/migrations.ts brings a file of an earlier version to the same. The pragmas of a
-- connection are set in src/store/sqlite/file.ts.

-- One row: which database this is. A new database has a new log_id, which tells clients to start again.
CREATE TABLE log (
  only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
  log_id     TEXT    NOT NULL,
  created_at INTEGER NOT NULL,         -- milliseconds since 1970
  followed   TEXT,                     -- the copy of an edge: the events that it follows, as JSON; NULL: no copy
  level_at   INTEGER                   -- the copy of an edge: when it last had all messages; NULL: never
) STRICT;

-- The messages. AUTOINCREMENT: a db_id is never given out twice, not even after the highest row is gone.
CREATE TABLE message (
  db_id        INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id     TEXT    NOT NULL,
  message_id   TEXT    NOT NULL,       -- idempotency key within its event
  message_from TEXT,
  message_type TEXT,
  round_id     INTEGER,
  received_at  INTEGER NOT NULL,       -- milliseconds since 1970
  lacks        INTEGER NOT NULL,       -- keys to append: 1 event_id, 2 message_id, 4 a null published_by
  body         TEXT    NOT NULL,       -- the text as it was published
  traceparent  TEXT,                   -- W3C Trace Context; NULL: it came without
  UNIQUE (message_id, event_id)        -- in this order ids that rise with time touch the index's end only
) STRICT;

-- The one rule as an index: the messages of an event after a cursor, ascending.
CREATE INDEX message_by_event ON message (event_id, db_id);

-- Counts and bounds of each event, kept in the transaction that changes them.
CREATE TABLE event (
  event_id     TEXT    PRIMARY KEY,
  messages     INTEGER NOT NULL,
  first_db_id  INTEGER NOT NULL,       -- 0: no message left
  last_db_id   INTEGER NOT NULL,       -- the greatest ever, also after it was pruned
  pruned_db_id INTEGER NOT NULL,       -- the greatest removed by retention; 0: none
  first_at     INTEGER NOT NULL,
  last_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX event_by_activity ON event (last_db_id);

-- The greatest of all at once: only retention writes here.
CREATE INDEX event_by_pruning ON event (pruned_db_id) WHERE pruned_db_id > 0;

-- The quarantine: what could not be accepted, with all that is needed to look at it and to replay it.
CREATE TABLE rejected (
  rejected_id  INTEGER PRIMARY KEY AUTOINCREMENT,
  received_at  INTEGER NOT NULL,
  reason       TEXT    NOT NULL,       -- a code of src/core/errors.ts
  detail       TEXT    NOT NULL,
  exchange     TEXT    NOT NULL,
  routing_key  TEXT    NOT NULL,
  headers      TEXT    NOT NULL,       -- JSON object
  properties   TEXT    NOT NULL,       -- JSON object: message_id, content_type, …
  body         BLOB    NOT NULL,       -- up to MAX_MESSAGE_BYTES
  body_bytes   INTEGER NOT NULL,       -- size before it was cut
  sha256       TEXT    NOT NULL        -- of the whole body, hexadecimal
) STRICT;

-- A redelivery after a crash finds the copy that is already in the quarantine.
CREATE INDEX rejected_by_hash ON rejected (sha256);

-- Subjects whose tokens are refused. Kept here, as a restart must not let a revoked token in again.
CREATE TABLE revocation (
  subject       TEXT    PRIMARY KEY,
  issued_before INTEGER NOT NULL,      -- tokens issued up to this time; milliseconds since 1970
  until         INTEGER                -- forgotten after this time; NULL: never
) STRICT, WITHOUT ROWID;
