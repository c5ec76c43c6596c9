"""A chain in memory with two miners, and a validator on it whose rounds a test holds one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from subnet import follower, service
from subnet.validators import rounds, truths
from tests.memory_chain import MemoryChain, neuron
from tests.validators.bench import ME, Bench


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(service, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(follower, "_BREATH", 0.001)
    monkeypatch.setattr(rounds, "IDLE", 0.001)
    monkeypatch.setattr(rounds, "GRACE", 0.05)
    monkeypatch.setattr(truths, "TICK", 0.001)


@pytest.fixture
def chain() -> MemoryChain:
    return MemoryChain([neuron(ME, validator_permit=True, axon=None), neuron("5A"), neuron("5B")])


@pytest.fixture
async def bench(chain: MemoryChain, tmp_path: Path) -> AsyncIterator[Bench]:
    made = await Bench(chain, tmp_path / "v.sqlite").begin()
    yield made
    await made.service.stop()
