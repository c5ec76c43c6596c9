"""Streams out of a validator's round: read as they come, and heard by the round's journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from substrateinterface import Keypair

from subnet.axon import Axon
from subnet.dendrite import Dendrite
from subnet.errors import DeclarationError, NotPermitted, StreamFailed
from subnet.receipts import Receipt
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Netuid, Neuron, Uid
from subnet.validators import Validator
from subnet.validators.journal import Heard, begin_journal

MINER = Keypair.create_from_uri("//Miner")
CALLER = Keypair.create_from_uri("//Caller")
WHO = Hotkey(MINER.ss58_address)


class Token(Message):
    text: str


class Generate(Synapse[Token], stream=True, timeout=60.0):
    count: int
    then: str = "end"


class Once(Synapse[Token]):
    text: str


async def generate(request: Generate) -> AsyncIterator[Token]:
    if request.then == "refuse":
        raise NotPermitted("not you")
    for number in range(request.count):
        yield Token(text=str(number))
    if request.then == "fail":
        raise ZeroDivisionError


class Reader(Validator):
    """Reads one stream a round, at most ``most`` messages of it; its score is how many it got."""

    request = Generate(count=3)
    most = 100

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        texts: list[str] = []
        async with self.stream(peers[0], self.request) as tokens:
            async for token in tokens:
                texts.append(token.text)
                if len(texts) == self.most:
                    break
        return {peers[0].uid: float(len(texts))}


@pytest.fixture
async def peer() -> AsyncIterator[Neuron]:
    axon = Axon(MINER, netuid=Netuid(2))
    axon.serve(generate)
    async with axon:
        yield Neuron(Uid(7), WHO, axon=AxonInfo("127.0.0.1", axon.port))


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    reader = Reader()
    async with Dendrite(CALLER, netuid=Netuid(2)) as dendrite:
        reader.use(dendrite)
        yield reader


async def heard(reader: Reader, peer: Neuron) -> Heard:
    journal = begin_journal()
    await reader.round([peer])
    assert list(journal) == [WHO]
    return journal[WHO]


@pytest.mark.parametrize("count", [0, 3])
async def test_one_that_is_read_to_its_end_leaves_its_receipt(reader: Reader, peer: Neuron, count: int) -> None:
    reader.request = Generate(count=count)
    found = await heard(reader, peer)
    assert (found.uid, found.answered, found.reason) == (7, True, None)
    assert found.elapsed > 0
    (kept,) = found.receipts
    receipt = Receipt.from_bytes(kept)
    receipt.verify()
    assert (receipt.path, receipt.sender) == ("/Generate", CALLER.ss58_address)


async def test_one_that_is_left_early_was_an_answer_without_a_receipt(reader: Reader, peer: Neuron) -> None:
    reader.most = 1
    found = await heard(reader, peer)
    assert (found.answered, found.reason, found.receipts) == (True, None, ())


@pytest.mark.parametrize(
    ("then", "reason", "signed"),
    [("fail", "refused: wire.handler-failed", 1), ("refuse", "refused: wire.not-permitted", 0)],
)
async def test_one_that_fails_leaves_its_reason(
    reader: Reader, peer: Neuron, then: str, reason: str, signed: int
) -> None:
    reader.request = Generate(count=2, then=then)
    journal = begin_journal()
    with pytest.raises(StreamFailed):
        await reader.round([peer])
    found = journal[WHO]
    assert (found.answered, found.reason, len(found.receipts)) == (False, reason, signed)


async def test_a_failure_that_the_round_catches_is_heard_too(reader: Reader, peer: Neuron) -> None:
    journal = begin_journal()
    async with reader.stream(peer, Generate(count=1, then="fail")) as tokens:
        assert (await anext(tokens)).text == "0"
        with pytest.raises(StreamFailed):
            await anext(tokens)
    assert tokens.failure is not None
    assert journal[WHO].reason == "refused: wire.handler-failed"


async def test_what_can_t_be_asked_so(reader: Reader, peer: Neuron) -> None:
    journal = begin_journal()
    with pytest.raises(DeclarationError, match="answered with one reply"):
        async with reader.stream(peer, Once(text="")):
            pass
    with pytest.raises(RuntimeError, match="call use"):
        async with Reader().stream(peer, Generate(count=1)):
            pass

    class Deaf:
        async def query(self, *_: object, **__: object) -> list[object]:
            return []

    reader.use(Deaf())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="a Deaf can't ask for streams"):
        async with reader.stream(peer, Generate(count=1)):
            pass
    assert journal == {}
