"""A chain that stands still, or is another one now, is told once, by log, health and metrics, and so is its end."""

from __future__ import annotations

import logging
import re

import pytest

from subnet.errors import SubnetError, WrongNetwork
from subnet.health import Health
from subnet.pulse import Pulse
from subnet.telemetry import Metrics
from tests.memory_chain import MemoryChain


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, float]]:
    return [(record.getMessage(), record.seconds) for record in caplog.records if record.name == "subnet.pulse"]  # type: ignore[attr-defined]


async def test_a_stall_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    chain, health, metrics = MemoryChain(), Health(), Metrics(netuid=2, hotkey="5Me", role="miner")
    pulse = Pulse(chain, stall=60.0, patience=60.0, health=health, give_up=pytest.fail, metrics=metrics)
    for stale in (0.0, 59.9, 61.0, 77.0):
        chain.stale_for = stale
        assert await pulse.look() > 0
    assert told(caplog) == [("chain_stalled", 61.0)]
    assert [(one.name, one.reason) for one in health.troubles] == [("chain head", "no new block for 77 s")]
    assert "--endpoint" in health.troubles[0].remedy
    assert re.search(rb"subnet_chain_stale_seconds\{.*\} 77\.0", metrics.render()[0])
    health.well("chain")  # what the setter says after each answer of a node that stands still
    assert health.answer("/health") is not None
    assert health.answer("/health")[0] == 503  # type: ignore[index]
    chain.stale_for = 3.0
    await pulse.look()
    await pulse.look()
    assert told(caplog) == [("chain_stalled", 61.0), ("chain_moves", 77.0)]
    assert health.troubles == []


OTHER = WrongNetwork("ws://a has genesis 0x02, not 0x01")


async def test_another_chain_is_told_at_once_and_ends_the_neuron_after_its_patience(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    ends: list[SubnetError] = []
    chain, health = MemoryChain(), Health()
    health.ready = True
    pulse = Pulse(chain, stall=60.0, patience=60.0, health=health, give_up=ends.append)
    chain.wrong_network = OTHER
    await pulse.look()
    await pulse.look()
    (trouble,) = health.troubles
    assert (trouble.name, trouble.reason, trouble.unready) == ("network", OTHER.message, True)
    assert "register" in trouble.remedy
    assert "--endpoint" in trouble.remedy
    chain.wrong_network = None  # an address that led elsewhere for a while
    await pulse.look()
    assert health.troubles == []
    assert [record.getMessage() for record in caplog.records] == ["wrong_network", "network_back"]
    assert ends == []
    pulse = Pulse(chain, stall=60.0, patience=0.0, health=health, give_up=ends.append)
    chain.wrong_network = OTHER
    await pulse.look()
    assert [(end.code, end.exit_code) for end in ends] == [("chain.wrong-network", 24)]
    assert OTHER.message in ends[0].message


async def test_who_asked_for_one_chain_alone_waits_for_it() -> None:
    chain, health = MemoryChain(wrong_network=OTHER, is_pinned=True), Health()
    pulse = Pulse(chain, stall=60.0, patience=0.0, health=health, give_up=pytest.fail)
    await pulse.look()
    assert "--genesis-hash" in health.troubles[0].remedy
    assert health.answer("/ready") is not None
    assert health.answer("/ready")[0] == 503  # type: ignore[index]
