"""The ledger's tables, as the steps that lead to them: a new file takes all, an older one those it lacks.

A release that changes the tables adds a step and never edits one: files of every older release are out there.
"""

from __future__ import annotations

from typing import Final

_FIRST: Final = """
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY, genesis TEXT NOT NULL, netuid INTEGER NOT NULL, validator TEXT NOT NULL,
    opened REAL NOT NULL, next_round INTEGER NOT NULL DEFAULT 1, UNIQUE (genesis, netuid, validator));
CREATE TABLE score (
    ledger INTEGER NOT NULL REFERENCES ledger, hotkey TEXT NOT NULL, uid INTEGER NOT NULL,
    value REAL NOT NULL CHECK (abs(value) <= 1.7976931348623157e308), rounds INTEGER NOT NULL,
    registered INTEGER NOT NULL, block INTEGER NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (ledger, hotkey)) WITHOUT ROWID;
CREATE TABLE round (
    ledger INTEGER NOT NULL REFERENCES ledger, id INTEGER NOT NULL, block INTEGER NOT NULL,
    started REAL NOT NULL, ended REAL NOT NULL, asked INTEGER NOT NULL, answered INTEGER NOT NULL, error TEXT,
    PRIMARY KEY (ledger, id)) WITHOUT ROWID;
CREATE TABLE result (
    ledger INTEGER NOT NULL, round INTEGER NOT NULL, uid INTEGER NOT NULL, hotkey TEXT NOT NULL,
    score REAL, reason TEXT, elapsed REAL, moving REAL, PRIMARY KEY (ledger, round, hotkey),
    FOREIGN KEY (ledger, round) REFERENCES round (ledger, id) ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE receipt (
    ledger INTEGER NOT NULL, round INTEGER NOT NULL, hotkey TEXT NOT NULL,
    body BLOB NOT NULL, time REAL NOT NULL);
CREATE INDEX receipt_of ON receipt (ledger, round, hotkey);
CREATE INDEX receipt_age ON receipt (ledger, time);
CREATE TABLE weights (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ledger INTEGER NOT NULL REFERENCES ledger, block INTEGER NOT NULL,
    uids TEXT NOT NULL, weights TEXT NOT NULL, extrinsic TEXT NOT NULL, time REAL NOT NULL);
CREATE INDEX weights_of ON weights (ledger, id);
"""

# Rounds of several kinds, how each moved the scores, what a window of scores holds, answers that wait for the truth,
# and notes: the little that a sampling policy must know after a restart.
_KINDS: Final = """
ALTER TABLE round ADD COLUMN kind TEXT NOT NULL DEFAULT 'synthetic';
ALTER TABLE round ADD COLUMN rule TEXT NOT NULL DEFAULT '';
ALTER TABLE round ADD COLUMN subject TEXT;
ALTER TABLE score ADD COLUMN since INTEGER NOT NULL DEFAULT 1;
ALTER TABLE score ADD COLUMN mean REAL NOT NULL DEFAULT 0 CHECK (abs(mean) <= 1.7976931348623157e308);
ALTER TABLE score ADD COLUMN variance REAL NOT NULL DEFAULT 0 CHECK (abs(variance) <= 1.7976931348623157e308);
UPDATE score SET mean = value;
CREATE TABLE sample (
    ledger INTEGER NOT NULL REFERENCES ledger, hotkey TEXT NOT NULL, round INTEGER NOT NULL, score REAL NOT NULL,
    PRIMARY KEY (ledger, hotkey, round)) WITHOUT ROWID;
CREATE TABLE deferred (
    ledger INTEGER NOT NULL REFERENCES ledger, id TEXT NOT NULL, due REAL NOT NULL, made REAL NOT NULL,
    round INTEGER, closed REAL, PRIMARY KEY (ledger, id)) WITHOUT ROWID;
CREATE INDEX deferred_due ON deferred (ledger, due) WHERE closed IS NULL;
CREATE TABLE answer (
    ledger INTEGER NOT NULL, deferred TEXT NOT NULL, hotkey TEXT NOT NULL, uid INTEGER NOT NULL,
    registered INTEGER NOT NULL, body BLOB NOT NULL, receipt BLOB NOT NULL,
    PRIMARY KEY (ledger, deferred, hotkey),
    FOREIGN KEY (ledger, deferred) REFERENCES deferred (ledger, id) ON DELETE CASCADE);
CREATE TABLE note (
    ledger INTEGER NOT NULL REFERENCES ledger, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (ledger, name)) WITHOUT ROWID;
"""

# Weights that were committed: kept, salt and all, before the commit is sent.
_COMMITS: Final = """
CREATE TABLE commitment (
    ledger INTEGER NOT NULL REFERENCES ledger, hash TEXT NOT NULL, mechanism INTEGER NOT NULL,
    uids TEXT NOT NULL, weights TEXT NOT NULL, salt TEXT NOT NULL, version_key TEXT NOT NULL,
    head INTEGER NOT NULL, made REAL NOT NULL, block INTEGER, due INTEGER, outcome TEXT,
    PRIMARY KEY (ledger, hash)) WITHOUT ROWID;
CREATE INDEX commitment_open ON commitment (ledger, mechanism, made) WHERE outcome IS NULL;
"""

# A receipt is written 256 times a round and read seldom: one narrow index in place of two wide ones.
_LEANER: Final = """
DROP INDEX receipt_of;
DROP INDEX receipt_age;
CREATE INDEX receipt_round ON receipt (ledger, round);
"""

# Which of the subnet's mechanisms a set of weights is of.
_MECHANISMS: Final = "ALTER TABLE weights ADD COLUMN mechanism INTEGER NOT NULL DEFAULT 0;"

# What the answers of each miner take that wait for their truth, in bytes: kept beside them, as there may be millions.
_HELD: Final = """
CREATE TABLE held (
    ledger INTEGER NOT NULL REFERENCES ledger, hotkey TEXT NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (ledger, hotkey)) WITHOUT ROWID;
INSERT INTO held SELECT ledger, hotkey, sum(length(body) + length(receipt)) FROM answer GROUP BY ledger, hotkey;
CREATE TRIGGER answer_kept AFTER INSERT ON answer BEGIN
    INSERT INTO held VALUES (new.ledger, new.hotkey, length(new.body) + length(new.receipt))
        ON CONFLICT (ledger, hotkey) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER answer_gone AFTER DELETE ON answer BEGIN
    UPDATE held SET bytes = bytes - length(old.body) - length(old.receipt)
        WHERE ledger = old.ledger AND hotkey = old.hotkey;
    DELETE FROM held WHERE ledger = old.ledger AND hotkey = old.hotkey AND bytes <= 0;
END;
"""

STEPS: Final = (_FIRST, _KINDS, _COMMITS, _LEANER, _MECHANISMS, _HELD)
SCHEMA_VERSION: Final = len(STEPS)
