"""Every epoch without weights has its reason, in the metric and in health, and the remedy that is true of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from subnet import service as shared
from subnet.chain import Included
from subnet.errors import ChainRefused, ChainTimeout, ExtrinsicFailed, MissingExtra
from subnet.service import Loops
from subnet.store import Ledger
from subnet.telemetry import Metrics
from subnet.types import Block, Uid
from subnet.validators import setter as under_test
from subnet.validators.setter import WeightPolicy
from tests.memory_chain import NETUID, MemoryChain, neuron
from tests.validators.test_setter import ME, Bench, _score, events
from tests.waiting import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(shared, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(under_test, "_BREATH", 0.001)


@pytest.fixture
def chain() -> MemoryChain:
    """Head 100, an epoch at 110; weights are sent from 104 on."""
    return MemoryChain([neuron("5Owner"), neuron(ME, validator_permit=True, axon=None), neuron("5A"), neuron("5B")])


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(netuid=2, hotkey=ME, role="validator")


@pytest.fixture
async def bench(chain: MemoryChain, metrics: Metrics, tmp_path: Path) -> AsyncIterator[Bench]:
    with Ledger(tmp_path / "v", genesis_hash="0x77", netuid=NETUID, validator=ME) as ledger:
        made = Bench(chain, ledger, policy=WeightPolicy(commit="hash"), metrics=metrics)
        made.loops = Loops(made.health, metrics)
        yield made
        await made.loops.stop()


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    text = metrics.render()[0].decode()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [line for line in text.splitlines() if line.startswith(name) and all(one in line for one in wanted)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def without(metrics: Metrics, reason: str) -> float:
    return counted(metrics, "subnet_epochs_without_weights_total", reason=reason, mechanism="0")


def troubles(bench: Bench) -> dict[str, Any]:
    return {one.name: one for one in bench.health.troubles}


async def test_no_permit_is_a_trouble_after_a_whole_epoch(bench: Bench, metrics: Metrics) -> None:
    bench.chain.change(1, validator_permit=False)
    bench.start()
    await bench.at(112)
    assert without(metrics, "no-permit") == 1
    assert bench.health.troubles == []  # it began in the midst of that one
    await bench.at(122)
    assert without(metrics, "no-permit") == 2
    assert "no-permit" in troubles(bench)["weights"].reason
    assert "stake more" in troubles(bench)["weights"].remedy
    assert bench.setter.counts == {"missed": 1}
    assert counted(metrics, "subnet_weights_set_total", outcome="missed", mechanism="0") == 1
    bench.chain.change(1, validator_permit=True)
    await bench.at(125)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.health.troubles == []


async def test_the_trouble_of_no_permit_ends_with_the_permit(bench: Bench, chain: MemoryChain) -> None:
    chain.change(1, validator_permit=False)
    bench.start()
    await bench.at(122)
    bench.setter.look(await chain.metagraph(NETUID))
    assert "no-permit" in troubles(bench)["weights"].reason
    chain.change(1, validator_permit=True)
    bench.setter.look(await chain.metagraph(NETUID))
    assert bench.health.troubles == []


async def test_the_trouble_of_no_uid_ends_with_the_registration(bench: Bench, chain: MemoryChain) -> None:
    me, chain.neurons[1] = chain.neurons[1], neuron("5Other")
    bench.start()
    await bench.at(105)
    bench.setter.look(await chain.metagraph(NETUID))
    assert troubles(bench)["weights"].reason == "not-registered"
    chain.neurons[1] = me
    bench.setter.look(await chain.metagraph(NETUID))
    assert bench.health.troubles == []


async def test_a_permit_mends_no_refusal(bench: Bench, chain: MemoryChain) -> None:
    chain.refusals = [ExtrinsicFailed("no", name="StakeTooLow", where="pool", remedy="Stake.")]
    bench.start()
    await bench.at(104)
    await until(lambda: bench.health.troubles)
    bench.setter.look(await chain.metagraph(NETUID))
    assert troubles(bench)["weights"].remedy == "Stake."


async def test_an_epoch_that_runs_in_the_midst_of_a_pass_is_missed_too(
    bench: Bench, chain: MemoryChain, caplog: pytest.LogCaptureFixture
) -> None:
    """Between the reads of the head and of the next epoch there is a block."""
    chain.refusals = [ExtrinsicFailed("no", name="StakeTooLow", where="pool", remedy="Stake.")] * 100
    next_epoch = chain.next_epoch_block

    async def in_between(netuid: int) -> Block | None:
        if chain.head == 109:
            chain.advance()
        return await next_epoch(netuid)

    bench.start()
    await bench.at(108)
    chain.next_epoch_block = in_between  # type: ignore[method-assign]
    await bench.at(112)
    assert [(one.epoch, one.reason) for one in events(caplog, "weights_missed")] == [(110, "refused")]


@pytest.mark.parametrize(("reason", "told"), [("no-scores", True), ("rate-limited", False)])
async def test_what_passes_by_itself_is_counted_too(bench: Bench, metrics: Metrics, reason: str, told: bool) -> None:
    if reason == "no-scores":
        bench.scores.clear()
    else:
        bench.chain.rules.update(weights_rate_limit=100)
        bench.chain.change(1, last_update=Block(99))
    bench.start()
    await bench.at(122)
    assert without(metrics, reason) == 2
    assert bool(bench.health.troubles) == told


async def test_a_refusal_is_the_reason_and_its_remedy(
    bench: Bench, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    bench.chain.refusals = [ExtrinsicFailed("no", name="StakeTooLow", where="pool", remedy="Stake.")] * 100
    bench.start()
    await bench.at(111)
    await until(lambda: events(caplog, "weights_missed"))
    (missed,) = events(caplog, "weights_missed")
    assert (missed.epoch, missed.reason, missed.remedy) == (110, "refused", "Stake.")
    assert without(metrics, "refused") == 1


async def test_a_bug_in_weigh_is_not_laid_at_the_chains_door(
    bench: Bench, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    def weigh(*_: Any) -> Any:
        raise KeyError("5A")

    bench.setter._weigh, sound = weigh, bench.setter._weigh
    bench.start()
    await bench.at(103)
    bench.chain.advance()
    await until(lambda: bench.loops.failures["weights"] > 3)
    assert "KeyError" in troubles(bench)["loop weights"].reason
    assert counted(metrics, "subnet_loop_failures_total", loop="weights") > 3
    bench.chain.advance(7)
    await until(lambda: events(caplog, "weights_missed"))
    (missed,) = events(caplog, "weights_missed")
    assert missed.reason == "error"
    assert "traceback" in missed.remedy
    assert "endpoint" not in missed.remedy
    assert without(metrics, "error") == 1
    bench.setter._weigh = sound
    await bench.at(114)
    await until(lambda: bench.setter.counts["ok"] == 1)
    await until(lambda: not bench.health.troubles)


async def test_an_extra_that_is_missing_is_the_reason(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def lacks(*_: Any, **__: Any) -> Included:
        raise MissingExtra("no drand", remedy="Install it.")

    bench.chain.set_weights = lacks  # type: ignore[method-assign]
    bench.start()
    await bench.at(103)
    bench.chain.advance()
    await until(lambda: bench.loops.failures["weights"] > 3)
    assert troubles(bench)["loop weights"].remedy == "Install it."
    bench.chain.advance(7)
    await until(lambda: events(caplog, "weights_missed"))
    assert [(one.reason, one.remedy) for one in events(caplog, "weights_missed")] == [("missing-extra", "Install it.")]


async def test_a_send_that_times_out_is_counted(bench: Bench, metrics: Metrics) -> None:
    answer, lost = bench.chain.set_weights, []

    async def slow(*arguments: Any, **named: Any) -> Included:
        if not lost:
            lost.append(1)
            raise ChainTimeout("no answer")
        return await answer(*arguments, **named)

    bench.chain.set_weights = slow  # type: ignore[method-assign]
    bench.start()
    await bench.at(103)
    bench.chain.advance()
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.setter.counts == {"timeout": 1, "ok": 1}


async def test_reveals_that_are_refused_are_a_trouble_until_one_passes(
    bench: Bench, chain: MemoryChain, metrics: Metrics
) -> None:
    chain.rules["commit_reveal_enabled"] = True
    bench.start()
    await bench.at(109)
    reveal = chain.reveal_weights

    async def refused(*_: Any, **__: Any) -> Included:
        raise ExtrinsicFailed("no", name="StakeTooLow", where="pool", remedy="Stake.")

    chain.reveal_weights = refused  # type: ignore[method-assign]
    await bench.at(111)
    await until(lambda: bench.setter.counts["reveal-failed"] == 2)
    assert bench.health.troubles == []
    await bench.at(112)
    await until(lambda: bench.health.troubles)
    assert troubles(bench)["reveals"].remedy == "Stake."
    await bench.at(120)
    await until(lambda: bench.setter.counts["missed"] == 1)
    assert "reveals" in troubles(bench)
    assert without(metrics, "expired") == 1
    chain.reveal_weights = reveal  # type: ignore[method-assign]
    await bench.at(121)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.health.troubles == []


async def test_a_lost_commit_is_a_trouble_at_once(bench: Bench, chain: MemoryChain, metrics: Metrics) -> None:
    chain.rules["commit_reveal_enabled"] = True
    bench.start()
    await bench.at(109)
    chain.commits.clear()
    chain.rows[Uid(1)] = []
    await bench.at(110)
    await until(lambda: bench.health.troubles)
    assert troubles(bench)["reveals"].remedy
    assert without(metrics, "not-listed") == 1


async def test_weights_of_a_hotkey_that_was_not_judged_are_not_missed_twice(
    bench: Bench, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    """What stood in the way early in an epoch is not the reason where the weights arrived after all."""
    caplog.set_level(logging.INFO)
    bench.scores.clear()
    bench.start()
    await bench.at(105)
    await until(lambda: events(caplog, "weights_waiting"))
    bench.scores["5A"] = _score("5A", 1.0)
    await bench.at(111)
    assert bench.setter.counts == {"ok": 1}
    assert without(metrics, "no-scores") == 0


async def test_a_mechanism_that_is_well_ends_no_trouble_of_another(bench: Bench, chain: MemoryChain) -> None:
    async def refused(netuid: int) -> int:
        raise ChainRefused("no such call", rpc_code=-32601)

    chain.mechanisms, chain.mechanism_count = 2, refused  # type: ignore[method-assign, assignment]
    second = Bench(chain, bench.setter._ledger, mechanism=1)
    second.setter._health = bench.health
    chain.advance(4)
    with pytest.raises(ChainRefused):
        await second.setter.step()
    bench.start()
    await until(lambda: bench.setter.counts["committed"] + bench.setter.counts["ok"] == 1)
    await bench.settled()
    assert [one.name for one in bench.health.troubles] == ["chain of mechanism 1"]
