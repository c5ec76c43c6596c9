"""The Validator class by itself: querying, the journal, declarations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from subnet.dendrite import Failure, Ok, Reason
from subnet.errors import ConfigError, DeclarationError
from subnet.synapse import Message, Synapse
from subnet.types import Hotkey, Neuron, Uid
from subnet.validators import Validator
from subnet.validators.journal import MAX_RECEIPTS, begin_journal
from tests.memory_chain import metagraph_of, neuron


class Pong(Message):
    text: str


class Ping(Synapse[Pong]):
    text: str


class FakeReceipt:
    def to_bytes(self) -> bytes:
        return b"receipt"


class Answers:
    """Answers from a script: a text is an Ok, a Reason a Failure."""

    def __init__(self, **script: str | Reason) -> None:
        self.script = script

    async def query(self, peers: Sequence[Neuron], request: Any, *, timeout: float | None = None) -> list[Any]:
        await asyncio.sleep(0)
        results: list[Ok[Pong] | Failure] = []
        for peer in peers:
            said = self.script.get(peer.hotkey, Reason.UNREACHABLE)
            if isinstance(said, Reason):
                results.append(Failure(peer.uid, peer.hotkey, said, "wire.busy", "", 1.5))
            else:
                results.append(Ok(peer.uid, peer.hotkey, Pong(text=said), 0.5, FakeReceipt()))  # type: ignore[arg-type]
        return results


class Lengths(Validator):
    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        replies = await self.query(peers, Ping(text="how long?"))
        return {r.uid: float(len(r.value.text)) if isinstance(r, Ok) else 0.0 for r in replies}


GRAPH = metagraph_of([neuron("5Me"), neuron("5A"), neuron("5B"), neuron("5Silent", axon=None)])


def validator(**script: str | Reason) -> Lengths:
    lengths = Lengths()
    lengths.attach(Hotkey("5Me"), GRAPH)
    lengths.use(Answers(**script))
    return lengths


async def test_a_round_can_be_called_by_hand() -> None:
    lengths = validator(**{"5A": "four"})
    assert await lengths.round(lengths.sample(lengths.metagraph)) == {1: 4.0, 2: 0.0}


async def test_asking_without_a_dendrite_says_so() -> None:
    with pytest.raises(RuntimeError, match="use"):
        await Lengths().query([], Ping(text=""))


async def test_the_journal_hears_every_query_of_its_round_and_of_its_tasks() -> None:
    lengths = validator(**{"5A": "four", "5B": Reason.BUSY})
    peers = lengths.sample(GRAPH)

    async def one_round() -> dict[Any, Any]:
        journal = begin_journal()
        await asyncio.gather(lengths.query(peers, Ping(text="1")), lengths.query(peers, Ping(text="2")))
        return journal

    journal, other = await asyncio.gather(one_round(), one_round())
    assert journal is not other
    assert journal["5A"].answered
    assert journal["5A"].reason is None
    assert journal["5A"].elapsed == 1.0
    assert journal["5A"].receipts == (b"receipt",) * 2
    assert not journal["5B"].answered
    assert journal["5B"].reason == "busy: wire.busy"
    assert journal["5B"].elapsed == 3.0


async def test_receipts_of_one_round_are_bounded() -> None:
    lengths = validator(**{"5A": "four"})
    journal = begin_journal()
    for _ in range(MAX_RECEIPTS + 5):
        await lengths.query(lengths.sample(GRAPH), Ping(text=""))
    assert len(journal[Hotkey("5A")].receipts) == MAX_RECEIPTS


def test_a_round_that_is_no_coroutine_is_refused() -> None:
    class Plain(Validator):
        def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:  # type: ignore[override]
            return {}

    with pytest.raises(DeclarationError, match=r"Plain\.round is no coroutine function"):
        Plain()


def test_the_moving_score_is_an_average_that_keeps_who_was_not_judged() -> None:
    lengths = Lengths({"alpha": "0.5"})
    moved = lengths.move({Hotkey("5A"): 1.0, Hotkey("5B"): 0.5}, {Hotkey("5A"): 0.0, Hotkey("5C"): 1.0})
    assert moved == {"5A": 0.5, "5B": 0.5, "5C": 0.5}


@pytest.mark.parametrize("option", ["alpha=0", "alpha=1.5", "deadline=0", "interval=-1", "keep_days=0", "interval=nan"])
def test_settings_that_can_not_work_are_refused(option: str) -> None:
    name, _, value = option.partition("=")
    with pytest.raises(ConfigError, match=rf"Lengths\.{name}"):
        Lengths({name: value}).check()
    Lengths().check()
