"""The records that a ledger holds, as plain frozen values.

Those of which each round makes one a miner are msgspec's, of no concern to the garbage collector: a frozen dataclass
takes six times as long to make.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from subnet.types import Block, Hotkey, Uid

MAX_RECEIPT: Final = 16_384
"""Bytes of one receipt; a larger one is not kept."""
MAX_TEXT: Final = 2_000
"""Characters of an error or reason that are kept."""
MAX_ANSWER: Final = 262_144
"""Bytes of one deferred answer."""
MAX_ID: Final = 200
"""Characters of a deferred question's id."""


class Kind(StrEnum):
    """What moved the scores in a round."""

    SYNTHETIC = "synthetic"
    """The validator's own questions."""
    ORGANIC = "organic"
    """What users asked through its API since the last one."""
    TRUTH = "truth"
    """The truth of answers given earlier."""


class Score(msgspec.Struct, frozen=True, gc=False):
    """A hotkey's moving score.

    ``rounds`` counts the rounds that moved it and ``since`` is the number of the first; ``registered`` is the
    block at which the hotkey took its uid (another number means that it left and came back, and its score is
    void); ``block`` and ``time`` (unix seconds) tell when it moved last. ``mean`` and ``variance`` are
    those of the rounds' own scores, the latest counting more.
    """

    hotkey: Hotkey
    uid: Uid
    value: float
    rounds: int
    registered: Block
    block: Block
    time: float
    since: int = 1
    mean: float = 0.0
    variance: float = 0.0


class Result(msgspec.Struct, frozen=True, gc=False):
    """What one miner got in one round.

    ``score`` is None if it was not scored; ``reason`` says why its query failed (None: it answered, or
    was not asked); ``elapsed`` is in seconds; ``moving`` is its moving score after the round (None:
    not moved); ``receipts`` are those of its replies.
    """

    hotkey: Hotkey
    uid: Uid
    score: float | None
    reason: str | None = None
    elapsed: float | None = None
    moving: float | None = None
    receipts: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its number, the metagraph's ``block`` that it was asked by, unix times, how many miners
    were ``asked`` and ``answered``, and the ``error`` that ended it early (None: it went well).

    ``rule`` is how it moved the scores (``ema 0.1``, ``window 50``, or the name of a class that has a rule
    of its own); ``subject`` is the id of the deferred question whose truth it is.
    """

    id: int
    block: Block
    started: float
    ended: float
    asked: int
    answered: int
    error: str | None = None
    kind: Kind = Kind.SYNTHETIC
    rule: str = ""
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class WeightsSet:
    """Weights that the chain holds in a mechanism: the ``block`` they came in, u16 ``weights`` of ``uids``."""

    block: Block
    uids: tuple[Uid, ...]
    weights: tuple[int, ...]
    extrinsic_hash: str
    time: float
    mechanism: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """Weights that were, or are to be, committed to the chain in one mechanism, and the salt that opens them.

    ``hash`` is the commit's, 0x-hex; a time-locked one has no salt, and a name in its place. ``head`` was the
    chain's block when it was ``made`` (unix time), ``block`` is the one that took it (None: not seen yet),
    ``due`` the first that takes its reveal. ``outcome`` is how it ended: revealed, superseded, or what went wrong.
    """

    hash: str
    mechanism: int
    uids: tuple[int, ...]
    weights: tuple[int, ...]
    salt: tuple[int, ...]
    version_key: int
    head: Block
    made: float
    block: Block | None = None
    due: Block | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one miner said to a deferred question: ``body`` (bytes of its message), and the receipt of it.

    ``registered`` is the block at which the hotkey had taken its uid then.
    """

    hotkey: Hotkey
    uid: Uid
    registered: Block
    body: bytes
    receipt: bytes = b""


@dataclass(frozen=True, slots=True)
class Deferred:
    """A question whose truth comes later: at unix time ``due``, or after. Its ``answers`` by hotkey."""

    id: str
    due: float
    made: float
    answers: Mapping[Hotkey, Answer] = field(default_factory=dict)


def ledger_path(state: str | os.PathLike[str], netuid: int, hotkey: str) -> Path:
    """Where ``subnet run`` keeps a validator's file below its --state folder."""
    return Path(state).expanduser() / f"validator-{int(netuid)}-{hotkey}.sqlite"
