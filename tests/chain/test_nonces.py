"""A client's nonces against a pool that refuses, forgets and is used by others: every send ends, and none lands twice.

The node is a model in this process: a chain of blocks, a pool, one account's nonce. What is drawn is the
order in which sends, refusals, rivals, losses and blocks come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import stamina
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from subnet.chain import extrinsic
from subnet.chain.calls import Call
from subnet.chain.connection import Connection
from subnet.chain.extrinsic import Submitter
from subnet.chain.sending import PERIOD, Included
from subnet.chain.session import Entry
from subnet.errors import ChainRefused, ChainUnreachable, ExtrinsicFailed
from subnet.keys import load_key

ALICE = load_key("//Alice")
GENESIS = "0x" + "ab" * 32


class Model:
    """A Session and its node: an extrinsic is a nonce (4 bytes) and who sent it."""

    endpoint = "model"
    genesis = GENESIS

    def __init__(self) -> None:
        self.blocks: list[list[str]] = [[]]
        self.pool: dict[int, str] = {}
        self.nonce = 0
        self.refuse = 0  # submits that are refused
        self.lose = 0  # submits whose answer is lost, after the pool has them
        self.elsewhere: dict[int, str] = {}  # another node's pool, which this client hears nothing of
        self.lose_elsewhere = 0  # submits that reach that pool alone, before the connection is lost
        self.lose_unheard = 0  # submits that never reach the pool, nor does an answer
        self.drop = 0  # submits that the node takes and forgets

    # what a session does

    def calls(self, batch: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [self.call(method, *params) for method, params in batch]

    def call(self, method: str, *params: Any) -> Any:
        return getattr(self, method)(*params)

    def state_getRuntimeVersion(self) -> None:
        return None

    def chain_getFinalizedHead(self) -> str:
        return self.chain_getBlockHash(len(self.blocks) - 1)

    def chain_getBlockHash(self, number: int | None = None) -> str:
        return "0x" + (len(self.blocks) - 1 if number is None else number).to_bytes(32, "big").hex()

    def chain_getHeader(self, found: str | None = None) -> dict[str, str]:
        return {"number": hex(len(self.blocks) - 1 if found is None else int(found, 16))}

    def chain_getBlock(self, found: str) -> dict[str, Any]:
        return {"block": {"extrinsics": self.blocks[int(found, 16)]}}

    def system_accountNextIndex(self, account: str) -> int:
        nonce = self.nonce
        while nonce in self.pool:
            nonce += 1
        return nonce

    def author_submitExtrinsic(self, data: str) -> None:
        nonce = int(data[2:10], 16)
        if self.lose_unheard:
            self.lose_unheard -= 1
            raise ChainUnreachable("nobody heard it")
        if self.lose_elsewhere:
            self.lose_elsewhere -= 1
            self.elsewhere.setdefault(nonce, data)
            raise ChainUnreachable("the answer was lost, and the next endpoint knows nothing")
        if data in self.pool.values():
            raise ChainRefused("1013", rpc_code=1013)
        if nonce < self.nonce:
            raise ChainRefused("Transaction is outdated", rpc_code=1010)
        if self.refuse:
            self.refuse -= 1
            raise ChainRefused("Custom error: 6", rpc_code=1010)
        if nonce in self.pool:
            raise ChainRefused("1014", rpc_code=1014)
        if self.drop:
            self.drop -= 1
            return
        self.pool[nonce] = data
        if self.lose:
            self.lose -= 1
            raise ChainUnreachable("the answer was lost")

    def read(self, entries: Sequence[Entry], at: str) -> dict[Entry, bytes]:
        return {entries[0]: self.nonce.to_bytes(4, "little")}

    def runtime_of(self, version: Any, at: str | None) -> Model:
        return self

    def signed(self, call: Call, key: Any, *, nonce: int, **_: Any) -> str:
        return "0x" + nonce.to_bytes(4, "big").hex() + int(call.params["number"]).to_bytes(4, "big").hex()

    # what a node does

    def build(self) -> None:
        block = []
        ready = self.elsewhere | self.pool
        while self.nonce in ready:
            block.append(ready[self.nonce])
            self.nonce += 1
        for pool in (self.pool, self.elsewhere):
            for nonce in [nonce for nonce in pool if nonce < self.nonce]:
                del pool[nonce]
        self.blocks.append(block)

    @property
    def landed(self) -> list[str]:
        return [data for block in self.blocks for data in block]


class ModelConnection:
    """A Connection that runs its jobs at once."""

    class endpoints:
        genesis = GENESIS

    def __init__(self, model: Model) -> None:
        self.model = model
        self.timeout = 10.0

    async def run(self, job: Callable[[Any], Any], **_: Any) -> Any:
        await asyncio.sleep(0)
        return job(self.model)

    read = run


def outcome_of(session: Model, *, watch: Any) -> Included:
    return Included(watch.place.block, watch.place.hash, watch.prepared.hash, cast(Any, 0), ())


FAULTS = ["refuse", "lose", "lose_elsewhere", "lose_unheard", "drop"]


class Nonces(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(extrinsic, "load_composer", lambda session: None)
        self.patch.setattr(extrinsic, "outcome", outcome_of)
        self.patch.setattr(extrinsic, "PAUSE", 0.0)
        self.patch.setattr(extrinsic.Pace, "saw", lambda pace, number: 0.0)
        stamina.set_testing(True, attempts=1000)  # no waiting between two tries
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.submitter = Submitter(cast(Connection, ModelConnection(self.model)))
        self.sends: list[asyncio.Task[Included]] = []
        self.rivals = 0
        self.strayed = 0
        self.gap = False

    def run(self, turns: int = 60) -> None:
        """Let all sends go on for so many turns of the loop; none waits for time."""

        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    @rule()
    def send(self) -> None:
        call = Call("Model", "call", {"number": len(self.sends)})
        self.sends.append(self.loop.create_task(self.submitter.send(call, ALICE, timeout=3600.0)))

    @rule(count=st.integers(2, 5))
    def send_several(self, count: int) -> None:
        for _ in range(count):
            self.send()

    @rule()
    def wait(self) -> None:
        self.run()

    @rule()
    def block(self) -> None:
        self.run()
        self.model.build()
        self.run()

    @rule(fault=st.sampled_from(FAULTS), count=st.integers(1, 3))
    def trouble(self, fault: str, count: int) -> None:
        setattr(self.model, fault, count)
        self.strayed += count * (fault == "lose_elsewhere")

    @rule()
    def restart(self) -> None:
        """The node's pool is empty again; what others had in it may never come back, and leave a gap below ours."""
        self.gap |= any(int(data[10:], 16) >= 2**31 for data in self.model.pool.values())
        self.model.pool.clear()

    @rule()
    def a_lost_copy_is_elsewhere_and_refused_here(self) -> None:
        self.model.lose_elsewhere = self.model.refuse = 1
        self.strayed += 1
        self.send()
        self.run()

    def _rival(self, nonce: int) -> None:
        self.rivals += 1
        self.model.pool[nonce] = "0x" + nonce.to_bytes(4, "big").hex() + (2**31 + self.rivals).to_bytes(4, "big").hex()

    @rule()
    def somebody_else_sends(self) -> None:
        self._rival(self.model.system_accountNextIndex(""))

    @precondition(lambda self: self.model.pool)
    @rule()
    def somebody_else_outbids(self) -> None:
        self._rival(min(self.model.pool))

    def landed(self) -> list[int]:
        """The numbers of the sends in blocks."""
        numbers = [int(data[10:], 16) for data in self.model.landed]
        return [number for number in numbers if number < 2**31]

    @invariant()
    def none_lands_twice(self) -> None:
        found = self.landed()
        assert len(found) == len(set(found))

    @invariant()
    def what_is_said_is_so(self) -> None:
        found = set(self.landed())
        for number, task in enumerate(self.sends):
            if not task.done():
                continue
            error = task.exception()
            if error is None:
                assert number in found
            else:
                assert isinstance(error, ExtrinsicFailed)
                assert number not in found
                contested = self.rivals + self.strayed >= extrinsic._TRIES
                known = {"RateLimitExceeded"} | set(extrinsic._NONCE_TAKEN if contested else ())
                assert error.name in known | ({"Expired"} if self.gap else set())

    def teardown(self) -> None:
        """Once the node behaves, every send ends, whatever was lost before it."""
        try:
            for fault in FAULTS:
                setattr(self.model, fault, 0)
            for _ in range(5 * (PERIOD + extrinsic.AGAIN)):
                if all(task.done() for task in self.sends):
                    break
                self.block()
            assert all(task.done() for task in self.sends)
            self.none_lands_twice()
            self.what_is_said_is_so()
            assert not any(self.submitter._in_pool.values())
        finally:
            for task in self.sends:
                task.cancel()
            self.run(5)
            self.loop.close()
            stamina.set_testing(False)
            self.patch.undo()


TestNonces = Nonces.TestCase
TestNonces.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
