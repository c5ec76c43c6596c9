"""kill -9 at random moments: the chain comes back as it was at some block, and no announced block is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.chain import Block, Chain, state_root
from subnet.devnet.context import Spec
from subnet.devnet.pallets.balances import Balances, free
from subnet.devnet.pallets.system import System
from subnet.devnet.state import PREFIX, Store
from subnet.errors import DevnetError
from tests.waiting import until

pytestmark = pytest.mark.e2e
ROUNDS = 12


def check(path: Path, announced: dict[int, bytes]) -> int:
    """The file holds a whole chain, with every announced block in it; returns its head's number."""
    store = Store(path)
    chain = Chain(store, Spec(), DEVELOPMENT, 1)
    number = chain.head.number
    for known, block_hash in announced.items():
        assert known <= number
        assert chain.hash_of(known) == block_hash
    # the state is exactly what the blocks' changes, replayed from genesis, give
    root, replayed = bytes(32), dict[bytes, bytes]()
    for one in range(number + 1):
        rows = store._db.execute("SELECT key, value FROM state WHERE block = ? ORDER BY key", (one,))
        changes = {bytes(key): None if value is None else bytes(value) for key, value in rows}
        root = state_root(root, changes)
        found = store.block(one)
        assert found is not None
        assert Block.of(found).header["state_root"] == root
        for key, value in changes.items():
            if value is None:
                replayed.pop(key, None)
            else:
                replayed[key] = value
    held = {head + rest: value for head, rows in chain.state.items.items() for rest, value in rows.items()}
    assert held == replayed
    assert all(len(head) <= PREFIX for head in chain.state.items)
    accounts = [free(chain.state, who) for (who,) in chain.state.keys(System.Account)]
    assert sum(accounts) == chain.state.get(Balances.TotalIssuance)
    store.close()
    return number


async def listen(url: str, announced: dict[int, bytes]) -> None:
    """Write down every block that the node announces, by its child's parent hash and by its own."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_str('{"id": 0, "method": "chain_subscribeFinalizedHeads", "params": []}')
        asked: dict[int, int] = {}
        async for message in socket:
            found = json.loads(message.data)
            if "params" in found:
                header = found["params"]["result"]
                number = int(header["number"], 16)
                if number:
                    announced[number - 1] = bytes.fromhex(header["parentHash"][2:])
                asked[number] = number
                request = {"id": number, "method": "chain_getBlockHash", "params": [number]}
                await socket.send_str(json.dumps(request))
            elif found["id"] in asked:
                announced[found["id"]] = bytes.fromhex(found["result"][2:])


async def one_life(path: Path, blocks: int, seconds: float, announced: dict[int, bytes]) -> None:
    """Start a node on the file, listen until it has announced so many blocks, and kill it a moment later."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "subnet.cli", "chain", "--port", "0", "--json", "--block-time", "0.01", "--state", str(path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    info: dict[str, Any] = json.loads(await process.stdout.readline())
    enough = len(announced) + blocks
    listening = asyncio.ensure_future(listen(info["url"], announced))
    await until(lambda: len(announced) >= enough)
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    process._transport.close()  # type: ignore[attr-defined]
    await asyncio.wait({listening}, timeout=60)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_killed_a_dozen_times(tmp_path: Path) -> None:
    path, chance = tmp_path / "chain.db", random.Random(12)
    announced: dict[int, bytes] = {}
    heads = []
    for _ in range(ROUNDS):
        await one_life(path, chance.choice([0, 0, 1, 5, 20]), chance.uniform(0.0, 0.1), announced)
        heads.append(check(path, announced))
    assert heads == sorted(heads)
    assert len(announced) > ROUNDS  # else this has proved little


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
