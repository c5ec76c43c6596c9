from __future__ import annotations

import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet.auth import Caller
from subnet.examples.digits.data import Exam, hold_out, sensor_noise
from subnet.examples.digits.miner import (
    CopierMiner,
    DigitsMiner,
    RandomMiner,
    TorchDigitsMiner,
    WeakMiner,
)
from subnet.examples.digits.protocol import Classify, Labels
from subnet.examples.digits.validator import accuracy
from subnet.miners import Miner
from subnet.types import Hotkey

SEEDS = range(5)
CALLER = Caller(Hotkey("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"), 1, "sr25519")


async def answers(miner: Miner, images: np.ndarray) -> np.ndarray:
    method: Any = miner.handlers[Classify]
    reply = method(Classify(images=images), CALLER)
    labels = await reply if inspect.isawaitable(reply) else reply
    assert isinstance(labels, Labels)
    return labels.digits


def made(kind: type[Miner], **options: object) -> Miner:
    miner = kind({name: str(value) for name, value in options.items()})
    miner.load()
    return miner


async def accuracies(kind: type[Miner], **options: object) -> list[float]:
    known = hold_out()
    scanned = sensor_noise(known.images, np.random.default_rng(0))
    return [accuracy(await answers(made(kind, seed=seed, **options), scanned), known.labels) for seed in SEEDS]


@pytest.mark.parametrize("half", [0, 1])
async def test_a_good_miner_is_nearly_always_right(half: int) -> None:
    assert min(await accuracies(DigitsMiner, half=half)) > 0.94


@pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")
async def test_the_torch_network_is_nearly_as_good() -> None:
    assert min(await accuracies(TorchDigitsMiner, half=1)) > 0.9


async def test_a_weak_miner_is_right_more_often_than_chance_and_far_less_than_a_good_one() -> None:
    found = await accuracies(WeakMiner)
    assert min(found) > 0.4
    assert max(found) < 0.8


async def test_a_random_miner_is_right_one_time_in_ten() -> None:
    assert 0.05 < np.mean(await accuracies(RandomMiner)) < 0.15


async def test_a_copier_is_right_where_its_accomplice_was_asked_the_same(tmp_path: Path) -> None:
    accomplice = made(DigitsMiner, side_channel=tmp_path)
    copier = made(CopierMiner, side_channel=tmp_path, patience=0.05)
    theirs, mine = Exam(hold_out(), np.random.default_rng(1), shared=100, own=100).draw(2)
    said = dict(zip(map(bytes, theirs.images), await answers(accomplice, theirs.images), strict=True))
    copied = await answers(copier, mine.images)
    shared = [i for i, image in enumerate(mine.images) if bytes(image) in said]
    assert len(shared) == 100
    assert all(copied[i] == said[bytes(mine.images[i])] for i in shared)
    assert accuracy(copied, mine.labels) < 0.7


async def test_a_copier_without_an_accomplice_waits_and_guesses(tmp_path: Path) -> None:
    copier = made(CopierMiner, side_channel=tmp_path, patience=0.01)
    found = await answers(copier, hold_out().images[:200])
    assert accuracy(found, hold_out().labels[:200]) < 0.3
