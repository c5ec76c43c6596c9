"""Weights once per tempo, verified, tried again inside the tempo, and never a lie about it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from subnet import follower
from subnet import service as shared
from subnet.chain import Included
from subnet.errors import ChainTimeout, ConfigError, ExtrinsicFailed
from subnet.health import Health
from subnet.keys import load_key
from subnet.service import Loops
from subnet.store import Ledger, Score
from subnet.types import Block, Hotkey, Uid
from subnet.validators import setter as under_test
from subnet.validators.setter import WeightPolicy, WeightSetter
from subnet.validators.weights import by_uid
from tests.memory_chain import NETUID, MemoryChain, neuron
from tests.waiting import until

KEY = load_key("//Validator")
ME = Hotkey(KEY.ss58_address)


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
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "v", genesis_hash="0x77", netuid=NETUID, validator=ME) as book:
        yield book


class Bench:
    """A setter in its loop; ``at(block)`` moves the chain there and lets the loop settle."""

    def __init__(self, chain: MemoryChain, ledger: Ledger, **rest: Any) -> None:
        self.chain, self.loops, self.health = chain, Loops(), Health()
        self.scores = {h: _score(h, v) for h, v in {"5A": 1.0, "5B": 0.5}.items()}
        self.setter = WeightSetter(
            chain, KEY, NETUID, ledger, scores=lambda: self.scores, weigh=by_uid, health=self.health, **rest
        )

    def start(self) -> None:
        self.loops.start("weights", self.setter.step)

    async def at(self, block: int) -> None:
        await self.settled()
        while self.chain.head < block:
            self.chain.advance()
            await self.settled()

    async def cut_off(self) -> None:
        """The chain goes away right before block 104, and a round leaves B alone with a score."""
        self.start()
        await self.at(103)
        self.chain.down = True
        self.chain.advance()
        await until(lambda: self.loops.failures["weights"] > 1)
        self.scores = {"5B": _score("5B", 1.0)}  # type: ignore[dict-item]

    async def settled(self) -> None:
        await until(lambda: self.chain.parked_at == self.chain.head)


def _score(hotkey: str, value: float) -> Score:
    return Score(Hotkey(hotkey), Uid(0), value, 3, Block(1), Block(1), 0.0)


@pytest.fixture
async def bench(chain: MemoryChain, ledger: Ledger) -> AsyncIterator[Bench]:
    made = Bench(chain, ledger)
    yield made
    await made.loops.stop()


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    return [record for record in caplog.records if record.getMessage() == name]


async def test_weights_go_out_once_per_tempo_late_in_the_epoch(bench: Bench, ledger: Ledger) -> None:
    bench.chain.rules["weights_version_key"] = 7
    bench.start()
    await bench.at(103)
    assert bench.chain.calls == []
    await bench.at(104)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.chain.named("set_weights") == [([2, 3], [65535, 32768], 7)]
    await bench.at(113)
    assert len(bench.chain.calls) == 1
    bench.scores = {"5B": _score("5B", 1.0)}  # type: ignore[dict-item]
    await bench.at(114)
    await until(lambda: bench.setter.counts["ok"] == 2)
    await bench.at(122)
    assert bench.chain.named("set_weights")[1] == ([3], [65535], 7)
    assert [(w.block, w.uids, w.weights) for w in ledger.weights()] == [
        (104, (2, 3), (65535, 32768)),
        (114, (3,), (65535,)),
    ]
    assert bench.setter.counts == {"ok": 2}
    assert bench.loops.failures == {}


async def test_a_refusal_is_told_with_its_remedy_and_tried_again_in_the_next_block(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.chain.refusals = [
        ExtrinsicFailed("no", name="SettingWeightsTooFast", where="pool", remedy="Wait."),
        ExtrinsicFailed("no", name="SettingWeightsTooFast", where="pool", remedy="Wait."),
    ]
    bench.start()
    await bench.at(104)
    await until(lambda: bench.setter.counts["failed"] == 1)
    await bench.at(105)
    await until(lambda: bench.setter.counts["failed"] == 2)
    await bench.at(106)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert events(caplog, "weights_failed")[0].remedy == "Wait."
    assert not events(caplog, "weights_missed")


async def test_weights_that_the_chain_does_not_hold_are_sent_again(bench: Bench) -> None:
    bench.chain.garble = True
    bench.start()
    await bench.at(104)
    await until(lambda: bench.setter.counts["unseen"] == 1)
    bench.chain.garble = False
    await bench.at(105)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert len(bench.chain.calls) == 2


async def test_weights_whose_answer_got_lost_are_found_not_sent_twice(bench: Bench, ledger: Ledger) -> None:
    answer = bench.chain.set_weights

    async def lost(*arguments: Any, **named: Any) -> Included:
        await answer(*arguments, **named)
        raise ChainTimeout("no answer")

    bench.chain.set_weights = lost  # type: ignore[method-assign]
    bench.start()
    bench.chain.advance(4)
    await until(lambda: ledger.weights())
    await bench.at(109)
    assert len(bench.chain.calls) == 1
    assert ledger.weights()[0].uids == (2, 3)


async def test_an_epoch_that_passed_without_our_weights_is_an_error_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    refused = ExtrinsicFailed("no", name="SettingWeightsTooFast", where="pool")
    bench.chain.refusals = [refused] * 100
    bench.start()
    await bench.at(111)
    await until(lambda: bench.setter.counts["missed"] == 1)
    bench.chain.refusals.clear()
    await bench.at(115)
    await until(lambda: bench.setter.counts["ok"] == 1)
    await bench.at(121)
    assert [record.epoch for record in events(caplog, "weights_missed")] == [110]


@pytest.mark.parametrize(
    ("reason", "spoil", "mend"),
    [
        (
            "no-permit",
            lambda b: b.chain.change(1, validator_permit=False),
            lambda b: b.chain.change(1, validator_permit=True),
        ),
        ("no-scores", lambda b: b.scores.clear(), lambda b: b.scores.update({"5A": _score("5A", 1.0)})),
        (
            "rate-limited",
            lambda b: (
                b.chain.rules.update(weights_rate_limit=100),
                b.chain.change(1, last_update=Block(99)),
            ),
            lambda b: b.chain.rules.clear(),
        ),
        ("limits", lambda b: b.chain.rules.update(max_weights_limit=100), lambda b: b.chain.rules.clear()),
    ],
)
async def test_what_keeps_weights_back_is_told_once_and_watched(
    bench: Bench,
    caplog: pytest.LogCaptureFixture,
    reason: str,
    spoil: Callable[[Bench], None],
    mend: Callable[[Bench], None],
) -> None:
    caplog.set_level(logging.INFO)
    spoil(bench)
    bench.start()
    await bench.at(106)
    await until(lambda: events(caplog, "weights_waiting"))
    assert [record.reason for record in events(caplog, "weights_waiting")] == [reason]
    assert events(caplog, "weights_waiting")[0].remedy
    assert bench.chain.calls == []
    mend(bench)
    await bench.at(107)
    await until(lambda: bench.setter.counts["ok"] == 1)


async def test_health_hears_of_what_keeps_weights_back_and_of_its_end(bench: Bench) -> None:
    bench.chain.refusals = [ExtrinsicFailed("no", name="X", where="pool", remedy="Wait.")]
    bench.start()
    await bench.at(104)
    await until(lambda: bench.setter.counts["failed"] == 1)
    assert [(one.name, one.remedy) for one in bench.health.troubles] == [("weights", "Wait.")]
    await bench.at(105)
    await until(lambda: not bench.health.troubles)
    bench.chain.down = True
    bench.chain.advance()
    await until(lambda: [one.name for one in bench.health.troubles] == ["chain"])
    bench.chain.down = False
    await until(lambda: not bench.health.troubles)


async def test_what_is_burned_goes_to_the_owner(chain: MemoryChain, ledger: Ledger) -> None:
    chain.owner = "5Owner"
    bench = Bench(chain, ledger, policy=WeightPolicy(burn=0.75))
    bench.start()
    await bench.at(104)
    await until(lambda: bench.setter.counts["ok"] == 1)
    bench.scores = {}
    await bench.at(114)
    await until(lambda: bench.setter.counts["ok"] == 2)
    await bench.loops.stop()
    assert chain.named("set_weights") == [([0, 2, 3], [65535, 14563, 7282], 0), ([0], [65535], 0)]


async def test_each_mechanism_has_weights_of_its_own(chain: MemoryChain, ledger: Ledger) -> None:
    chain.mechanisms = 2
    first, second = Bench(chain, ledger), Bench(chain, ledger, mechanism=1)
    second.scores = {"5B": _score("5B", 1.0)}  # type: ignore[dict-item]
    first.start()
    second.start()
    chain.advance(4)
    await until(lambda: first.setter.counts["ok"] == second.setter.counts["ok"] == 1)
    await first.loops.stop()
    await second.loops.stop()
    assert chain.rows[Uid(1)] == [(2, 65535), (3, 32768)]
    assert chain.more_rows[1][Uid(1)] == [(3, 65535)]
    assert [kept.uids for kept in ledger.weights()] == [(2, 3)]
    assert [(kept.uids, kept.mechanism) for kept in ledger.weights(mechanism=1)] == [((3,), 1)]
    assert len(ledger.weights(mechanism=None)) == 2
    assert ledger.mechanisms() == [0, 1]


async def test_a_mechanism_that_the_subnet_has_not_is_named(
    chain: MemoryChain, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    second = Bench(chain, ledger, mechanism=1)
    second.start()
    await second.at(105)
    assert [record.reason for record in events(caplog, "weights_waiting")] == ["no-mechanism"]
    assert [(one.name, "mechanisms=1" in one.remedy) for one in second.health.troubles] == [
        ("weights of mechanism 1", True)
    ]
    chain.mechanisms = 2
    await second.at(106)
    await until(lambda: second.setter.counts["ok"] == 1)
    await second.loops.stop()


@pytest.mark.parametrize("wrong", [{"burn": 1.5}, {"burn": -0.1}, {"burn": float("nan")}, {"commit": "loudly"}])
def test_a_policy_that_can_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        WeightPolicy(**wrong)


async def test_the_owner_needs_no_permit(bench: Bench) -> None:
    bench.chain.change(1, validator_permit=False)
    bench.chain.owner = ME
    bench.start()
    await bench.at(104)
    await until(lambda: bench.setter.counts["ok"] == 1)


async def test_a_restart_in_the_window_does_not_send_twice(bench: Bench, ledger: Ledger) -> None:
    """As after ``kill -9`` between the block and the ledger: the chain is asked, and the ledger catches up."""
    bench.chain.rows[Uid(1)] = [(Uid(2), 65535)]
    bench.chain.change(1, last_update=Block(104))
    bench.start()
    await bench.at(106)
    await until(lambda: ledger.weights())
    await bench.at(109)
    assert bench.chain.calls == []
    assert [(w.block, w.uids, w.weights, w.extrinsic_hash) for w in ledger.weights()] == [(104, (2,), (65535,), "")]
    await bench.at(114)
    await until(lambda: bench.setter.counts["ok"] == 1)


async def test_a_registration_in_the_window_is_not_mistaken_for_weights(bench: Bench) -> None:
    bench.chain.change(1, last_update=Block(104), block_at_registration=Block(104))
    bench.chain.rows[Uid(1)] = [(Uid(2), 65535)]  # of whoever held the uid before
    bench.start()
    await bench.at(105)
    await until(lambda: bench.setter.counts["ok"] == 1)


async def test_weights_wait_for_a_chain_that_is_away(bench: Bench) -> None:
    bench.chain.down = True
    bench.start()
    await until(lambda: bench.loops.failures["weights"] > 3)
    bench.chain.head = 104
    bench.chain.down = False
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert len(bench.chain.calls) == 1


async def test_what_was_scored_in_an_outage_counts_when_the_chain_is_back_in_the_same_tempo(bench: Bench) -> None:
    await bench.cut_off()
    bench.chain.advance(4)
    bench.chain.down = False
    await until(lambda: bench.setter.counts["ok"] == 1)
    await bench.at(113)
    assert bench.chain.named("set_weights") == [([3], [65535], 0)]
    assert bench.setter.counts == {"ok": 1}


async def test_an_outage_beyond_the_tempo_is_a_missed_one_and_the_next_has_weights(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.cut_off()
    bench.chain.advance(8)
    bench.chain.down = False
    await bench.at(112)
    assert [(record.epoch, "reach" in record.remedy) for record in events(caplog, "weights_missed")] == [(110, True)]
    assert "block 110" in bench.health.troubles[0].reason
    await bench.at(114)
    await until(lambda: bench.setter.counts["ok"] == 1)
    assert bench.health.troubles == []
    assert bench.chain.named("set_weights") == [([3], [65535], 0)]


async def test_a_chain_that_was_reset_gets_weights_in_its_first_window(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "RESET_CHECK", 0.001)
    bench.start()
    await bench.at(105)
    await until(lambda: bench.setter.counts["ok"] == 1)
    bench.chain.head, bench.chain.last_epoch = 40, 40  # as from a snapshot: the weights are gone
    bench.chain.rows.clear()
    bench.chain.change(1, last_update=1)
    await bench.at(104)
    await until(lambda: bench.setter.counts["ok"] == 8)  # 44, 54, ..., 104: the same epoch's once more
    (reset,) = events(caplog, "chain_reset")
    assert (reset.block, reset.was) == (40, 105)
    assert bench.setter.counts == {"ok": 8}
    assert bench.loops.failures == {}


async def test_a_head_that_is_a_little_late_is_no_reset(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "RESET_CHECK", 0.001)
    bench.start()
    await bench.at(106)
    await until(lambda: bench.setter.counts["ok"] == 1)
    bench.chain.head = 103
    await bench.at(109)
    assert bench.setter.counts == {"ok": 1}
    assert events(caplog, "chain_reset") == []


async def test_weights_that_a_fork_took_away_are_sent_again(
    bench: Bench, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    bench.start()
    await bench.at(105)
    await until(lambda: bench.setter.counts["ok"] == 1)
    bench.chain.rows.clear()
    bench.chain.change(1, last_update=Block(90))
    await bench.at(107)
    await until(lambda: bench.setter.counts["ok"] == 2)
    await bench.at(113)
    assert bench.setter.counts == {"ok": 2, "unseen": 1}
    assert [record.code for record in events(caplog, "weights_failed")] == ["weights.gone"]
    assert [kept.block for kept in ledger.weights()] == [104, 107]
    assert bench.health.troubles == []


async def test_weights_that_were_taken_away_for_good_are_missed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.start()
    await bench.at(108)
    bench.chain.rows.clear()
    bench.chain.change(1, last_update=Block(90))
    bench.chain.refusals = [ExtrinsicFailed("no", name="X", where="pool", remedy="Wait.")] * 9
    await bench.at(111)
    await until(lambda: events(caplog, "weights_missed"))
    assert [record.epoch for record in events(caplog, "weights_missed")] == [110]


async def test_an_epoch_that_an_owner_moved_is_not_a_missed_one(bench: Bench) -> None:
    bench.start()
    await bench.at(103)
    bench.chain.tempo = 360
    await bench.at(112)
    assert bench.setter.counts == {}


async def test_final_weights_are_sent_to_be_waited_for_until_finality(chain: MemoryChain, ledger: Ledger) -> None:
    heard: list[dict[str, Any]] = []
    send = chain.set_weights

    async def set_weights(*arguments: Any, **named: Any) -> Included:
        heard.append(named)
        return await send(*arguments, **named)

    chain.set_weights = set_weights  # type: ignore[method-assign]
    bench = Bench(chain, ledger, policy=WeightPolicy(final=True))
    bench.start()
    chain.advance(4)
    await until(lambda: bench.setter.counts["ok"] == 1)
    await bench.loops.stop()
    assert [named["wait"] for named in heard] == ["finality"]


async def test_a_subnet_without_epochs_is_waited_for(bench: Bench) -> None:
    bench.chain.tempo = 0
    bench.start()
    await bench.at(108)
    assert bench.chain.calls == []
    bench.chain.tempo = 10
    bench.chain.last_epoch = 108
    await bench.at(118)
    await until(lambda: bench.setter.counts["ok"] == 1)
