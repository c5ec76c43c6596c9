"""What a validator remembers: its rounds, what each miner got in them, the scores, the weights set.

One SQLite file holds any number of ledgers; a ledger is what one validator (hotkey) knows of one
subnet (netuid) of one chain (genesis hash), so a local chain started afresh inherits nothing. The
validator opens its :class:`Ledger`, loads its scores, and hands each finished round to
:meth:`Ledger.record` together with the scores that it leads to: one transaction a round, under the
round's number, so that ``kill -9`` loses a round or keeps it, never half of it, and none counts
twice. Answers whose truth comes later wait in it as :class:`Deferred`. Anybody else reads the same file
through :class:`History`, also while the validator writes (SQLite's WAL). A lock beside the file keeps
a second writer out; the lock dies with its process.
"""

from subnet.store.history import History
from subnet.store.ledger import Ledger
from subnet.store.records import (
    MAX_ANSWER,
    MAX_RECEIPT,
    MAX_TEXT,
    Answer,
    Commit,
    Deferred,
    Kind,
    Result,
    Round,
    Score,
    WeightsSet,
    ledger_path,
)
from subnet.store.schema import SCHEMA_VERSION

__all__ = [
    "MAX_ANSWER",
    "MAX_RECEIPT",
    "MAX_TEXT",
    "SCHEMA_VERSION",
    "Answer",
    "Commit",
    "Deferred",
    "History",
    "Kind",
    "Ledger",
    "Result",
    "Round",
    "Score",
    "WeightsSet",
    "ledger_path",
]
