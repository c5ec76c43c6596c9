"""The order of pay over seeds: real models, real rounds, real Yuma; only wire, processes and clock are left out."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet.auth import Caller
from subnet.demo.checks import COPIER_BELOW, GOOD_OVER_WEAK, WEAK_OVER_RANDOM
from subnet.dendrite import Ok
from subnet.examples.digits.miner import CopierMiner, DigitsMiner, RandomMiner, WeakMiner
from subnet.examples.digits.protocol import Classify
from subnet.examples.digits.validator import DigitsValidator
from subnet.miners import Miner
from subnet.scoring.weights import normalise
from subnet.scoring.yuma import EpochInput, EpochParams, Sparse, epoch
from subnet.types import Hotkey, Neuron, Uid

VALIDATORS = (0, 1)
GOOD_A, GOOD_B, WEAK, RANDOM, COPIER = range(2, 7)
LATE = 1.65  # seconds, a patient copier's
CALLER = Caller(Hotkey("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"), 1, "sr25519")


class InProcess:
    """Stands in for the dendrite: calls the miners' handlers, the copier last, and says how late it was."""

    def __init__(self, miners: dict[int, Miner]) -> None:
        self.miners = miners

    async def query(self, peers: Sequence[Neuron], request: Any, *, timeout: float | None = None) -> list[Any]:
        results = []
        for peer, asked in zip(peers, request, strict=True):
            handler: Any = self.miners[peer.uid].handlers[Classify]
            reply = handler(asked, CALLER)
            value = await reply if inspect.isawaitable(reply) else reply
            results.append(Ok(peer.uid, peer.hotkey, value, LATE if peer.uid == COPIER else 0.01, None))
        return results


def crew(seed: int, folder: Path) -> dict[int, Miner]:
    def made(kind: type[Miner], **options: object) -> Miner:
        miner = kind({"seed": str(seed), **{name: str(value) for name, value in options.items()}})
        miner.load()
        return miner

    return {
        GOOD_A: made(DigitsMiner, half=0, side_channel=folder),
        GOOD_B: made(DigitsMiner, half=1),
        WEAK: made(WeakMiner),
        RANDOM: made(RandomMiner),
        COPIER: made(CopierMiner, side_channel=folder, patience=0.001),
    }


async def moving_scores(seed: int, miners: dict[int, Miner], rounds: int) -> dict[int, dict[Uid, float]]:
    peers = [Neuron(Uid(uid), Hotkey(str(uid))) for uid in miners]
    moving: dict[int, dict[Uid, float]] = {}
    for own in VALIDATORS:
        validator = DigitsValidator({"seed": str(seed * 100 + own)})
        validator.load()
        validator.use(InProcess(miners))
        average: dict[Hotkey, float] = {}
        for _ in range(rounds):
            scores = await validator.round(peers)
            average = dict(validator.move(average, {Hotkey(str(uid)): s for uid, s in scores.items()}))
        moving[own] = {Uid(int(hotkey)): score for hotkey, score in average.items()}
    return moving


def incentive(moving: dict[int, dict[Uid, float]]) -> np.ndarray:
    n = 2 + len(moving[0])
    rows = {own: list(zip(*normalise(shares, own_uid=Uid(own)), strict=True)) for own, shares in moving.items()}
    state = EpochInput(
        block=100,
        stake=np.array([5000 * 10**9] * 2 + [0] * (n - 2)),
        weights=Sparse.of(rows),
        bonds=Sparse.of({}),
        last_update=np.full(n, 95),
        block_at_registration=np.arange(n),
        validator_permit=np.arange(n) < 2,
        rao_emission=10**9,
    )
    return epoch(state, EpochParams(tempo=20)).server_emission.astype(float)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_the_order_of_pay_holds_by_the_demos_margins(seed: int, tmp_path: Path) -> None:
    pay = incentive(await moving_scores(seed, crew(seed, tmp_path), rounds=5))
    assert min(pay[GOOD_A], pay[GOOD_B]) >= GOOD_OVER_WEAK * pay[WEAK]
    assert pay[WEAK] >= WEAK_OVER_RANDOM * pay[RANDOM]
    assert 0 < pay[COPIER] <= COPIER_BELOW * pay[GOOD_A]
    assert pay[GOOD_B] == pytest.approx(pay[GOOD_A], rel=0.2)  # equal right answers are no offence
