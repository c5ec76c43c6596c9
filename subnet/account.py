"""Why a miner has its score: from a validator's ledger alone, down to rounds and receipts.

:func:`explain` reads the rounds that moved one miner's score, works out how much of the score is each one's, goes over
the arithmetic again from one moving score to the next, and verifies the receipts that are kept of them. It needs
neither chain nor network, and may run while the validator does.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from subnet.errors import BadReceipt, StoreError
from subnet.receipts import Receipt
from subnet.store import Commit, History, Kind, Result, Round, Score, WeightsSet
from subnet.types import Hotkey, Netuid, Uid

ROUNDS: Final = 20
"""Rounds that are told, unless more are asked for."""
FAILURES: Final = 10
"""Failed queries that are told."""
_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one round did to the score: its own ``score``, the ``moving`` score after it, and what is left of it in
    the score of today: ``weight``, of 1 for all rounds together (None where the rule is the class's own)."""

    round: int
    kind: Kind
    time: float
    score: float
    moving: float
    rule: str
    subject: str | None
    weight: float | None

    @property
    def part(self) -> float | None:
        """Its part of the score: ``weight * score``."""
        return None if self.weight is None else self.weight * self.score


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """A kept receipt: the sha256 of its bytes, of the request and of the reply (hex), when the miner signed it (unix
    seconds), and the ``problem`` with it (None: the signature holds, and it is of this miner, validator and subnet)."""

    round: int
    digest: str
    request: str = ""
    response: str = ""
    time: float = 0.0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """All that a ledger tells of one miner's score."""

    validator: Hotkey
    netuid: Netuid
    genesis_hash: str
    hotkey: Hotkey
    uid: Uid
    score: Score | None
    """None: it has none (any more)."""
    share: float
    """Its part of all scores above zero, 0 to 1."""
    contributions: tuple[Contribution, ...]
    """Oldest first."""
    earlier: float | None
    """The part of older rounds, and of those under another rule; None where the rule is the class's own."""
    holds: bool | None
    """Whether each moving score follows from the one before by its rule; None: nothing here can be checked."""
    failures: tuple[tuple[Round, Result], ...]
    receipts: tuple[CheckedReceipt, ...]
    weights: WeightsSet | None
    """The last weights that the chain took in the subnet's first mechanism."""
    more_weights: tuple[WeightsSet, ...]
    """The last of each further mechanism that has any."""

    @property
    def weight(self) -> tuple[int, float]:
        """Its u16 in those weights, and its part of them, 0 to 1."""
        return part_of(self.weights, self.uid)


def explain(history: History, who: int | str, *, rounds: int = ROUNDS) -> Account:
    """The account of the miner of uid (or hotkey) ``who``, with the last ``rounds`` rounds that moved its score.

    Raises StoreError for a miner that the ledger does not know.
    """
    with history.at_one_moment():
        return _account(history, find_miner(history, who), rounds)


def _account(history: History, hotkey: Hotkey, rounds: int) -> Account:
    scores = history.scores()
    score = scores.get(hotkey)
    genesis_hash, netuid, validator = history.identity()
    contributions, holds = _contributions(history, score, rounds) if score else ([], None)
    total = math.fsum(max(other.value, 0.0) for other in scores.values())
    weights = history.weights(limit=1)
    return Account(
        validator=validator,
        netuid=netuid,
        genesis_hash=genesis_hash,
        hotkey=hotkey,
        uid=score.uid if score else history.results_of(hotkey, 1)[-1][1].uid,
        score=score,
        share=max(score.value, 0.0) / total if score and total > 0 else 0.0,
        contributions=tuple(contributions),
        earlier=_earlier(score, contributions),
        holds=holds,
        failures=tuple(history.results_of(hotkey, FAILURES, failed=True)),
        receipts=tuple(_receipts(history, hotkey, [one.round for one in contributions])),
        weights=weights[-1] if weights else None,
        more_weights=tuple(history.weights(limit=1, mechanism=m)[-1] for m in history.mechanisms() if m),
    )


def _contributions(history: History, score: Score, rounds: int) -> tuple[list[Contribution], bool | None]:
    """The last rounds that moved the score, and whether it follows from them."""
    last = history.results_of(score.hotkey, 1, after=score.since - 1, moved=True)
    window = _number(last[-1][0].rule, "window") if last else None
    moves = history.results_of(score.hotkey, max(rounds + 1, int(window or 0)), after=score.since - 1, moved=True)
    return _weighed(moves)[-rounds:], _holds(score, moves)


def find_miner(history: History, who: int | str) -> Hotkey:
    """The hotkey that a uid (its last owner's, as the ledger knows it) or an address means. Raises StoreError."""
    scores = history.scores()
    if isinstance(who, str):
        if who in scores or history.results_of(who, 1):
            return Hotkey(who)
        raise StoreError(f"the ledger knows no miner {who}", remedy="`subnet history scores` lists those it scores.")
    found = next((score.hotkey for score in scores.values() if score.uid == who), None) or history.last_at(who)
    if found is None:
        raise StoreError(
            f"the ledger knows no miner of uid {who}", remedy="`subnet history scores` lists those it scores."
        )
    return found


def part_of(weights: WeightsSet | Commit | None, uid: int) -> tuple[int, float]:
    """A uid's u16 in a set of weights, and its part of them, 0 to 1."""
    if weights is None:
        return 0, 0.0
    mine = dict(zip(weights.uids, weights.weights, strict=True)).get(Uid(uid), 0)
    return mine, mine / (sum(weights.weights) or 1)


def _weighed(moves: Sequence[tuple[Round, Result]]) -> list[Contribution]:
    """Each move with the weight that it has in the last moving score, as far back as the rules say."""
    left: float | None = 1.0
    window = _number(moves[-1][0].rule, "window") if moves else None
    weighed = []
    for place, (done, result) in enumerate(reversed(moves)):
        alpha = _number(done.rule, "ema")
        weight: float | None
        if window is not None:
            weight = 1 / window if place < window else 0.0
        elif alpha is not None and left is not None:
            weight, left = alpha * left, (1 - alpha) * left
        else:
            weight = left = None
        weighed.append(
            Contribution(
                done.id,
                done.kind,
                done.ended,
                result.score or 0.0,
                result.moving or 0.0,
                done.rule,
                done.subject,
                weight,
            )
        )
    return weighed[::-1]


def _earlier(score: Score | None, told: Sequence[Contribution]) -> float | None:
    parts = [one.part for one in told if one.part is not None]
    return score.value - math.fsum(parts) if score is not None and parts else None


def _holds(score: Score | None, moves: Sequence[tuple[Round, Result]]) -> bool | None:
    """Go from each moving score to the next by the rule of its round."""
    if score is None or not moves:
        return None
    checked = [one for place in range(len(moves)) if (one := _follows(score, moves, place)) is not None]
    if not checked:
        return None
    return all(checked) and _same(score.value, moves[-1][1].moving or 0.0)


def _follows(score: Score, moves: Sequence[tuple[Round, Result]], place: int) -> bool | None:
    """Whether one moving score follows from those before it; None where these are not all here, or the rule is."""
    done, result = moves[place]
    from_start = moves[0][0].id == score.since and len(moves) <= score.rounds
    alpha, window = _number(done.rule, "ema"), _number(done.rule, "window")
    if alpha is not None and (place or from_start):
        before = moves[place - 1][1].moving if place else 0.0
        return _same(alpha * (result.score or 0.0) + (1 - alpha) * (before or 0.0), result.moving or 0.0)
    if window is not None and (place + 1 >= window or from_start):
        last = [one.score or 0.0 for _, one in moves[max(0, place + 1 - int(window)) : place + 1]]
        return _same(math.fsum(last) / window, result.moving or 0.0)
    return None


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)


def _number(rule: str, name: str) -> float | None:
    """The number of a rule such as ``ema 0.1``; None for another rule."""
    word, _, number = rule.partition(" ")
    try:
        value = float(number) if word == name else math.nan
    except ValueError:
        return None
    return value if value > 0 and math.isfinite(value) else None


def _receipts(history: History, hotkey: Hotkey, rounds: Sequence[int]) -> list[CheckedReceipt]:
    about = history.identity()
    return [_checked(body, number, hotkey, about) for number in rounds for body in history.receipts(number, hotkey)]


def _checked(body: bytes, number: int, hotkey: Hotkey, about: tuple[str, Netuid, Hotkey]) -> CheckedReceipt:
    digest = hashlib.sha256(body).hexdigest()
    try:
        receipt = Receipt.from_bytes(body)
    except BadReceipt as error:
        return CheckedReceipt(number, digest, problem=error.message)
    problem = None
    try:
        receipt.verify()
        if receipt.receiver != hotkey:
            problem = f"it is of {receipt.receiver[:60]}"
        elif (receipt.genesis_hash, receipt.netuid, receipt.sender) != about:
            problem = "it belongs to another chain, subnet or validator"
    except BadReceipt as error:
        problem = error.message
    return CheckedReceipt(
        number, digest, receipt.request_digest, receipt.response_digest, receipt.time_ns / 1e9, problem
    )
