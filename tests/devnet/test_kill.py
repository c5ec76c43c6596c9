"""kill -9 at random moments: the chain comes back as it was at some block, and no announced block is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from substrateinterface import Keypair

from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.chain import Block, Chain, state_root
from subnet.devnet.context import Spec
from subnet.devnet.pallets.balances import Balances, free
from subnet.devnet.pallets.system import System
from subnet.devnet.rpc import to_hex
from subnet.devnet.runtime import runtime
from subnet.devnet.state import PREFIX, Store
from subnet.errors import DevnetError
from tests.devnet.sockets import WAIT, Socket

pytestmark = pytest.mark.e2e
ALICE = Keypair.create_from_uri("//Alice")
AT_ONCE = 4  # extrinsics that are on their way at any time
Sign = Callable[..., bytes]
NAMES = ("parent_hash", "state_root", "extrinsics_root")
SENT_NAMES = ("parentHash", "stateRoot", "extrinsicsRoot")


@dataclass
class Heard:
    """What clients were told, over all lives of the chain."""

    blocks: dict[int, tuple[str, ...]] = field(default_factory=dict)  # number: its digests, NAMES
    extrinsics: dict[str, str] = field(default_factory=dict)  # extrinsic: the block that was said to be final with it


def check(path: Path, heard: Heard) -> int:
    """The file holds a whole chain, with all in it that was announced; returns its head's number."""
    store = Store(path)
    if store.head() is None:  # killed before the genesis block
        assert not heard.blocks
        store.close()
        return 0
    chain = Chain(store, Spec(), DEVELOPMENT, 1)
    head = chain.head.number
    # each block's digest is that of all changes up to it, and the state is what they come to
    rows = store._db.execute("SELECT block, key, value FROM state ORDER BY block, key")
    changes = {
        number: {bytes(key): None if value is None else bytes(value) for _, key, value in group}
        for number, group in groupby(rows, key=lambda row: int(row[0]))
    }
    root, replayed, blocks = bytes(32), dict[bytes, bytes | None](), dict[str, Block]()
    for number in range(head + 1):
        stored = store.block(number)
        assert stored is not None
        block = blocks[to_hex(stored.hash)] = Block.of(stored)
        root = state_root(root, changes[number])
        assert block.header["state_root"] == root
        replayed |= changes.pop(number)
        if number in heard.blocks:
            assert digests(block.header, to_hex) == heard.blocks[number]
    assert not changes
    held = {prefix + rest: value for prefix, found in chain.state.items.items() for rest, value in found.items()}
    assert held == {key: value for key, value in replayed.items() if value is not None}
    assert all(len(prefix) <= PREFIX for prefix in chain.state.items)
    # nothing that a client was told is missing
    assert max(heard.blocks, default=0) <= head
    for extrinsic, block_hash in heard.extrinsics.items():
        assert bytes.fromhex(extrinsic[2:]) in blocks[block_hash].extrinsics
    accounts = [free(chain.state, who) for (who,) in chain.state.keys(System.Account)]
    assert sum(accounts) == chain.state.get(Balances.TotalIssuance)
    store.close()
    return head


def digests(header: Mapping[str, Any], show: Callable[[Any], str], names: Sequence[str] = NAMES) -> tuple[str, ...]:
    return tuple(show(header[name]) for name in names)


async def live(url: str, genesis: bytes, sign: Sign, heard: Heard, blocks: int) -> None:
    """Follow the node's blocks and send it transfers, until so many blocks were announced, and a few transfers."""
    implicit = Chain.implicit
    chain: Any = SimpleNamespace(genesis_hash=genesis)
    chain.implicit = lambda birth: implicit(chain, birth)
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as opened:
        socket = Socket(opened)
        heads = await socket.ask("chain_subscribeFinalizedHeads")
        nonce = await socket.ask("account_nextIndex", ALICE.ss58_address)
        sent: dict[str, str] = {}
        enough = len(heard.extrinsics) + AT_ONCE  # on a slow machine many blocks go by before the first
        while blocks > 0 or len(heard.extrinsics) < enough:
            while len(sent) < AT_ONCE:
                call = runtime().call("Balances", "transfer_keep_alive", dest=("Id", os.urandom(32)), value=10**9)
                raw = to_hex(sign(chain, ALICE, call, nonce))
                sent[await socket.ask("author_submitAndWatchExtrinsic", raw)] = raw
                nonce += 1
            for message in [*socket.heard, await socket.receive()]:
                params = message["params"]
                if params["subscription"] == heads:
                    header = params["result"]
                    heard.blocks[int(header["number"], 16)] = digests(header, str, SENT_NAMES)
                    blocks -= 1
                elif "finalized" in params["result"]:
                    heard.extrinsics[sent.pop(params["subscription"])] = params["result"]["finalized"]
            socket.heard.clear()


async def one_life(path: Path, chance: random.Random, sign: Sign, heard: Heard) -> None:
    """Start a node on the file and kill it: after so many blocks and a moment, or while it starts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "subnet.cli", "chain", "--port", "0", "--json", "--block-time", "0.01", "--state", str(path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    try:
        if chance.random() < 0.9:
            async with asyncio.timeout(WAIT):
                info: dict[str, Any] = json.loads(await process.stdout.readline())
                genesis = bytes.fromhex(info["genesis"][2:])
                await live(info["url"], genesis, sign, heard, chance.randint(1, 30))
        await asyncio.sleep(chance.uniform(0.0, 0.02))  # the moment; nothing rests on how long it is
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def lives(path: Path, count: int, sign: Sign) -> None:
    chance, heard, heads = random.Random(count), Heard(), [0]
    for _ in range(count):
        await one_life(path, chance, sign, heard)
        heads.append(check(path, heard))
    assert heads == sorted(heads)
    assert len(heard.blocks) > count
    assert len(heard.extrinsics) > count


async def test_killed_five_times(tmp_path: Path, signed: Sign) -> None:
    await lives(tmp_path / "chain.db", 5, signed)


@pytest.mark.slow
@pytest.mark.crash
@pytest.mark.timeout(3600)
async def test_killed_a_hundred_times(tmp_path: Path, signed: Sign) -> None:
    await lives(tmp_path / "chain.db", 100, signed)


async def test_two_processes_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "chain.db"
    store = Store(path)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "subnet.cli", "chain", "--port", "0", "--json", "--state", str(path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    out, _ = await process.communicate()
    assert process.returncode == DevnetError.exit_code
    assert "another node holds" in json.loads(out)["error"]["message"]
    store.close()
