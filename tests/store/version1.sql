-- What the release of schema version 1 wrote.
PRAGMA journal_mode = WAL;
BEGIN;
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

INSERT INTO ledger VALUES (1, '0x1111111111111111111111111111111111111111111111111111111111111111', 2, '5Validator', 90.0, 3);
INSERT INTO score VALUES (1, '5A', 1, 0.5, 1, 5, 10, 101.0), (1, '5B', 2, 0.0, 1, 5, 10, 101.0);
INSERT INTO round VALUES (1, 1, 10, 100.0, 101.0, 2, 1, NULL), (1, 2, 20, 110.0, 111.0, 2, 2, 'ValueError: oh');
INSERT INTO result VALUES
    (1, 1, 1, '5A', 1.0, NULL, 0.25, 0.5),
    (1, 1, 2, '5B', 0.0, 'timeout: dendrite.timeout', 5.0, 0.0),
    (1, 2, 1, '5A', NULL, NULL, 0.5, NULL),
    (1, 2, 2, '5B', NULL, NULL, 0.5, NULL);
INSERT INTO receipt VALUES (1, 1, '5A', x'72656365697074', 101.0);
INSERT INTO weights VALUES (1, 1, 30, '[1, 2]', '[65535, 0]', '0xaa', 120.0);
PRAGMA application_id = 1396854356;
PRAGMA user_version = 1;
COMMIT;
