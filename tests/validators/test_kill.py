"""kill -9 at random moments: a validator's ledger holds what it told of, each round and truth counted once."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from subnet import Caller, Chain, Message, Miner, Neuron, Ok, Synapse, Uid, Validator
from subnet.devnet import Devnet
from subnet.miners import MinerService
from subnet.scoring import averages
from subnet.store import History
from subnet.telemetry import log_to_stderr
from subnet.types import Hotkey, Netuid
from subnet.validators import ValidatorService
from subnet.validators.truths import Question as Truth
from tests.e2e.test_commit_reveal import MINERS as KEYS
from tests.e2e.test_commit_reveal import VALIDATOR, committing_subnet

pytestmark = pytest.mark.e2e

log = logging.getLogger(__name__)

ALPHA = 0.25
BLOCK_S = 0.05


class Answer(Message):
    square: int


class Question(Synapse[Answer], timeout=10.0):
    number: int


class Squares(Miner):
    async def square(self, request: Question, caller: Caller) -> Answer:
        return Answer(square=request.number**2)


class Asks(Validator):
    """Rounds as fast as they go, with scores that differ from round to round."""

    interval = 0.0
    refresh_blocks = 2
    alpha = ALPHA
    commit = "hash"
    truth_retry = 0.1

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        replies = await self.query(peers, Question(number=12))
        question = uuid.uuid4().hex
        if await self.defer(question, replies, due=time.time() + random.uniform(0, 0.5)):
            log.info("deferred", extra={"question": question})
        return {r.uid: random.uniform(0.5, 1.0) if isinstance(r, Ok) else 0.0 for r in replies}

    async def judge_deferred(self, question: Truth) -> Mapping[Hotkey, float]:
        """The truth, which came meanwhile, or in another life."""
        return {hotkey: random.uniform(0.5, 1.0) for hotkey in question.answers(Answer)}


def life(url: str, netuid: int, path: str, log_path: str) -> None:
    """One life of the validator: what it tells of goes to the log line by line."""

    async def live() -> None:
        async with await Chain.connect(url) as chain:
            service = ValidatorService(Asks(), chain, VALIDATOR, Netuid(netuid), path=Path(path))
            await service.run(asyncio.Event())

    with open(log_path, "a", buffering=1) as stream:
        log_to_stderr(logging.INFO, as_json=True, stream=stream)
        asyncio.run(live())


def told(log: Path, event: str) -> list[dict[str, Any]]:
    """The log's whole lines with this event; a kill may have cut the last one of each life short."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry["event"] == event:
            found.append(entry)
    return found


def check(path: Path, log: Path) -> int:
    """What was told is there, and the scores are what the recorded rounds and truths come to: each once.

    How many truths came.
    """
    with History(path) as history:
        rounds = history.rounds(limit=1_000_000)
        numbers = [one.id for one in rounds]
        assert numbers == list(range(1, len(numbers) + 1))
        assert {entry["round"] for entry in told(log, "round")} <= set(numbers)
        moving: dict[Any, float] = {}
        for one in rounds:
            results = history.results(one.id)
            if one.error is None:
                moving = averages.update(
                    moving, {r.hotkey: r.score for r in results if r.score is not None}, alpha=ALPHA
                )
            assert {r.hotkey: r.moving for r in results if r.moving is not None}.items() <= moving.items()
        assert {hotkey: score.value for hotkey, score in history.scores().items()} == moving
        settled = [one.subject for one in rounds if one.subject is not None]
        waiting = {one.id for one in history.open_questions(limit=1_000_000)}
        assert len(set(settled)) == len(settled)
        assert waiting.isdisjoint(settled)
        assert {entry["question"] for entry in told(log, "deferred")} <= waiting.union(settled)
        known = {one.hash for ended in (False, True) for one in history.commits(ended=ended)}
    failed = {entry["error"] for entry in told(log, "reveal_failed")}
    assert not [error for error in failed if "InvalidReveal" in error or "NoWeightsCommitFound" in error]
    assert {entry["outcome"] for entry in told(log, "weights_lost")} <= {"expired", "not-listed"}
    assert known or not told(log, "weights_committed")
    return len(settled)


async def lives(devnet: Devnet, tmp_path: Path, count: int, *, until: str = "round") -> None:
    """So many kills, and then more until the log has told of ``until``."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["subnet.validators", "subnet.chain", "subnet.dendrite", "subnet.telemetry"])
    path, log, chance = tmp_path / "validator.sqlite", tmp_path / "log", random.Random(count)
    async with await Chain.connect(devnet.url) as chain:
        netuid = await committing_subnet(devnet, chain)
        miners = [MinerService(Squares(), chain, key, netuid) for key in KEYS]
        for miner in miners:
            await miner.start()
        blocks = asyncio.create_task(_blocks(devnet))
        try:
            killed = 0
            while killed < count or not told(log, until):
                process = context.Process(target=life, args=(devnet.url, netuid, str(path), str(log)))
                process.start()
                try:
                    before = len(told(log, "round"))
                    if chance.random() < 0.8:  # else: while it starts
                        async with asyncio.timeout(60):
                            while len(told(log, "round")) < before + chance.randint(1, 4):
                                assert process.is_alive(), log.read_text()[-2000:]
                                await asyncio.sleep(0.005)
                    await asyncio.sleep(chance.uniform(0, 0.8))  # the moment; nothing rests on how long it is
                finally:
                    process.kill()
                    await asyncio.to_thread(process.join)
                    process.close()
                killed += 1
            assert check(path, log) or count < 100
        finally:
            blocks.cancel()
            for miner in miners:
                await miner.stop(drain=0)


async def _blocks(devnet: Devnet) -> None:
    while True:
        await asyncio.to_thread(devnet.new_blocks, 1)
        await asyncio.sleep(BLOCK_S)


@pytest.mark.subnet_chain(tempo=10)
async def test_killed_five_times(subnet_chain: Devnet, tmp_path: Path) -> None:
    await lives(subnet_chain, tmp_path, 5)


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.subnet_chain(tempo=10)
async def test_killed_two_hundred_times(subnet_chain: Devnet, tmp_path: Path) -> None:
    await lives(subnet_chain, tmp_path, 200, until="weights_set")
