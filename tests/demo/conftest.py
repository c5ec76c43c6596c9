"""A demo's record as a demo writes it, made by rule instead of by processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from subnet.demo.cast import cast
from subnet.demo.record import Epoch, Event, Record, Role, Round, Share

PAY = {Role.GOOD: 0.9, Role.WEAK: 0.25, Role.RANDOM: 0.002, Role.COPIER: 0.1, Role.REBORN: 0.9}
KILLED, BACK = 190, 250  # blocks
TEMPO = 20


def score_of(role: Role, block: int) -> float:
    if role == Role.REBORN and KILLED < block <= BACK:
        return 0.1
    return PAY[role]


@pytest.fixture
def lived() -> Callable[..., Record]:
    """``lived(weak=0.9)``: a record in which the roles named were scored otherwise than they should be."""

    def make(epochs: int = 10, **scores: float) -> Record:
        record = Record(seed=1, rounds_wanted=18, netuid=2, url="ws://127.0.0.1:9944", tempo=TEMPO)
        record.actors = cast(Path("demo"), seed=1, interval=2.0)
        for number in range(1, epochs + 1):
            _epoch(record, number, scores)
        for number in range(1, 19):
            _round(record, number, scores)
        record.events = [
            Event(what="killed", actor="reborn", seconds=KILLED / 4, block=KILLED),
            Event(what="restarted", actor="reborn", seconds=BACK / 4 - 3, block=BACK - 12),
            Event(what="serving", actor="reborn", seconds=BACK / 4, block=BACK),
        ]
        record.balances_before = {actor.uid: 5 for actor in record.miners}
        record.balances_after = {actor.uid: 5 + record.emission(actor.name) for actor in record.miners}
        return record

    return make


def _scores(record: Record, block: int, scores: dict[str, float]) -> dict[int, float]:
    return {a.uid: scores.get(a.role.value, score_of(a.role, block)) for a in record.miners}


def _epoch(record: Record, number: int, scores: dict[str, float]) -> None:
    block = 60 + TEMPO * number
    given = _scores(record, block, scores) if number > 2 else {}
    total = sum(given.values()) or 1.0
    shares = [
        Share(
            uid=actor.uid,
            emission=int(8.2e9 * given.get(actor.uid, 0.0) / total),
            incentive=given.get(actor.uid, 0.0) / total,
            consensus=given.get(actor.uid, 0.0) / total,
            dividends=0.5 if actor.role == Role.VALIDATOR else 0.0,
            validator_trust=0.98 if actor.role == Role.VALIDATOR else 0.0,
            permit=not actor.is_miner,
        )
        for actor in record.actors
    ]
    record.epochs.append(Epoch(number=number, block=block, seconds=block / 4, shares=shares))


def _round(record: Record, number: int, scores: dict[str, float]) -> None:
    for validator in record.of_role(Role.VALIDATOR):
        seconds = 18 + 2.0 * number
        given = _scores(record, int(seconds * 4), scores)
        moving = {uid: score * min(number / 5, 1) for uid, score in given.items()}
        record.rounds.append(
            Round(validator=validator.name, number=number, seconds=seconds, scores=given, moving=moving)
        )
        total = sum(moving.values())
        record.weights[validator.name] = {uid: score / total for uid, score in moving.items()}
