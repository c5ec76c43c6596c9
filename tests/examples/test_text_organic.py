"""Users of the text subnet: they ask through the validator, and what they got can only take from a miner's score."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import aiohttp
import pytest

from subnet.auth import Caller
from subnet.axon import Axon
from subnet.examples.text.miner import CannedMiner, SmallerModelMiner, TextMiner
from subnet.examples.text.protocol import Continue, Piece
from subnet.examples.text.validator import TextValidator
from subnet.keys import load_key
from subnet.results import Failure, Ok, Reason
from subnet.store import History, Kind, Score
from subnet.types import AxonInfo, Block, Hotkey, Uid
from subnet.validators import ValidatorService
from subnet.validators.gateway import Gate
from tests.memory_chain import NETUID, MemoryChain, neuron
from tests.validators.bench import KEY, ME
from tests.waiting import until

pytest.importorskip("transformers", reason="the extra torch is not installed")

MINER = load_key("//Miner0")
WHO = Uid(1), Hotkey(MINER.ss58_address)
PROMPT = "First Citizen:\nBefore we proceed any further"
CALLER = Caller(Hotkey(""), 0, "")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBNET_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def validator() -> TextValidator:
    made = TextValidator({"seed": "3", "interval": "0.01"})
    made.load()
    return made


def remember(validator: TextValidator, value: float) -> None:
    score = Score(WHO[1], WHO[0], value, 1, Block(1), Block(1), 1.0)
    validator.remember({score.hotkey: score}, {})


async def said(miner: TextMiner | CannedMiner, tokens: int) -> list[Piece]:
    miner.load()
    async with aclosing(miner.go_on(Continue(prompt=PROMPT, tokens=tokens), CALLER)) as pieces:  # type: ignore[type-var]
        return [piece async for piece in pieces]


async def judged(validator: TextValidator, pieces: list[Piece], *, partial: bool = False, tokens: int = 64) -> float:
    result = Ok(*WHO, pieces, 1.0, None, partial=partial)
    score = await validator.judge_organic(Continue(prompt=PROMPT, tokens=tokens), result)
    assert score is not None
    return score


async def test_what_users_got_can_take_from_a_score_and_never_add_to_it(validator: TextValidator) -> None:
    honest, smaller, canned = [await said(miner, 64) for miner in (TextMiner(), SmallerModelMiner(), CannedMiner())]
    remember(validator, 0.8)
    assert await judged(validator, honest) == 0.8
    assert await judged(validator, smaller) < 0.01
    assert await judged(validator, honest[:8]) < 0.2  # it is short
    assert await judged(validator, honest[:8], partial=True) == 0.8  # because its user had enough
    remember(validator, 0.0)
    assert await judged(validator, canned) == 0.0


async def test_what_users_do_is_not_held_against_a_miner(validator: TextValidator) -> None:
    def failed(reason: Reason) -> Failure:
        return Failure(*WHO, reason, "", "", 1.0)

    request, too_much = Continue(prompt=PROMPT, tokens=64), Continue(prompt=PROMPT, tokens=1024)
    assert await validator.judge_organic(request, failed(Reason.TIMEOUT)) == 0.0
    assert await validator.judge_organic(request, failed(Reason.BUSY)) is None
    assert await validator.judge_organic(too_much, failed(Reason.REFUSED)) is None


@pytest.fixture
async def service(validator: TextValidator, tmp_path: Path) -> AsyncIterator[ValidatorService]:
    chain = MemoryChain([neuron(ME, validator_permit=True, axon=None)])
    async with AsyncExitStack() as stack:
        miner = TextMiner()
        miner.load()
        stack.push_async_callback(miner.close)
        axon = Axon(MINER, netuid=NETUID, genesis_hash=chain.genesis_hash)
        for handler in miner.handlers.values():
            axon.serve(handler)
        await stack.enter_async_context(axon)
        chain.neurons.append(neuron(MINER.ss58_address, axon=AxonInfo("127.0.0.1", axon.port)))
        made = ValidatorService(validator, chain, KEY, NETUID, path=tmp_path / "v.sqlite", gate=Gate())
        await made.start()
        stack.push_async_callback(made.stop)
        yield made


async def test_a_user_asks_through_the_validator(service: ValidatorService, tmp_path: Path) -> None:
    assert service.gateway is not None
    url = f"http://127.0.0.1:{service.gateway.port}/v1/Continue"
    async with aiohttp.ClientSession() as http, http.post(url, json={"prompt": PROMPT, "tokens": 40}) as reply:
        assert reply.status == 200
        lines = [json.loads(line) for line in (await reply.read()).splitlines()]
    assert sum(len(line["message"]["text"]) for line in lines[:-1]) == 40  # a token is a character
    assert lines[-1]["end"]["chunks"] == len(lines) - 1
    with History(tmp_path / "v.sqlite") as seen:
        await until(lambda: seen.latest_rounds(9, kind=Kind.ORGANIC))
        (done,) = seen.latest_rounds(9, kind=Kind.ORGANIC)
        (result,) = seen.results(done.id)
        assert (result.hotkey, result.reason) == (MINER.ss58_address, None)
        assert result.score is not None
        assert len(seen.receipts(done.id, MINER.ss58_address)) == 1
