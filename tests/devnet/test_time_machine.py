"""Snapshots, returns to them, the chain's clock, and blocks when they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from substrateinterface import Keypair

from subnet.devnet import Devnet, devnet
from subnet.devnet import chain as chains
from subnet.devnet import state as states
from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.chain import Chain
from subnet.devnet.context import Spec
from subnet.devnet.pallets.balances import free
from subnet.devnet.pallets.system import System, Timestamp
from subnet.devnet.rpc import to_hex
from subnet.devnet.state import Store
from subnet.errors import DevnetError
from tests.devnet.sockets import WAIT, Socket

ALICE, BOB = Keypair.create_from_uri("//Alice"), Keypair.create_from_uri("//Bob")
Sign = Callable[..., bytes]


@pytest.fixture
def node() -> Iterator[Devnet]:
    with devnet(production="manual") as found:
        yield found


@pytest.fixture
async def socket(node: Devnet) -> AsyncIterator[Socket]:
    async with aiohttp.ClientSession() as session, session.ws_connect(node.url) as opened:
        yield Socket(opened)


def chain_of(store: Store) -> Chain:
    return Chain(store, Spec(), DEVELOPMENT, 10**15)


def contents(chain: Chain) -> dict[bytes, bytes]:
    return {head + rest: value for head, rows in chain.state.items.items() for rest, value in rows.items()}


def test_a_return_restores_head_state_and_clock() -> None:
    chain = chain_of(Store(None))
    chain.build([])
    taken, head, before, clock = chain.snapshot(), chain.head, contents(chain), chain.now_ms
    chain.set_clock(clock + 10**9)
    gone = [chain.build([], {b"x" * 40: bytes([number])}) for number in range(3)]
    back = chain.revert(taken)
    assert (back.number, back.hash) == (head.number, head.hash)
    assert contents(chain) == before
    assert chain.now_ms < clock + 10**9
    assert back.changes[b"x" * 40] is None
    assert [chain.by_hash(one.hash) for one in gone] == [None] * 3
    assert chain.hash_of(gone[0].number) is None
    chain.store.close()


def test_blocks_after_a_return_have_hashes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alike in all else: number, parent, extrinsics and time. Caches by hash stay true."""
    monkeypatch.setattr(chains, "time", SimpleNamespace(time_ns=lambda: 1_760_000_000_000_000_000))
    chain = chain_of(Store(None))
    chain.build([])
    taken, hashes, moment = chain.snapshot(), set(), chain.now_ms + 10**6
    for _ in range(5):
        chain.set_clock(moment)
        chain.state.write(Timestamp.Now.key(), Timestamp.Now.value.encode(moment))  # the next block is at moment + 1
        block = chain.build([])
        hashes.add(block.hash)
        assert chain.state.get(Timestamp.Now) == moment + 1
        chain.revert(taken)
    assert len(hashes) == 5
    chain.store.close()


def test_a_snapshot_serves_again_and_takes_later_ones_with_it() -> None:
    chain = chain_of(Store(None))
    first = chain.snapshot()
    chain.build([])
    second = chain.snapshot()
    assert second != first
    assert chain.revert(first).number == 0
    assert chain.revert(first).number == 0
    with pytest.raises(DevnetError, match=f"no snapshot {second}") as caught:
        chain.revert(second)
    assert "dev_snapshot" in caught.value.remedy
    assert chain.snapshot() > second
    chain.store.close()


def test_snapshots_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "MAX_SNAPSHOTS", 2)
    chain = chain_of(Store(None))
    for _ in range(2):
        chain.snapshot()
    with pytest.raises(DevnetError, match="2 snapshots"):
        chain.snapshot()
    chain.store.close()


def test_snapshots_salt_and_clock_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "chain.db"
    chain = chain_of(Store(path))
    taken = chain.snapshot()
    lost = chain.build([])
    chain.revert(taken)
    chain.set_clock(chain.now_ms + 10**9)
    ahead, expected = chain.now_ms, contents(chain)
    chain.store.close()
    again = chain_of(Store(path))
    assert contents(again) == expected
    assert again.now_ms >= ahead
    assert again.build([]).hash != lost.hash
    assert again.revert(taken).number == 0
    again.store.close()


Moves = st.lists(
    st.tuples(st.just("build"), st.integers(0, 3), st.none() | st.binary(min_size=1, max_size=3))
    | st.tuples(st.just("snapshot"))
    | st.tuples(st.just("revert"), st.integers(0, 9)),
    max_size=20,
)


@given(Moves)
def test_any_order_of_blocks_snapshots_and_returns(moves: list[tuple[Any, ...]]) -> None:
    """Against a model that keeps whole copies: state now, state of every block, and after a reload."""
    chain = chain_of(Store(None))
    copies = [contents(chain)]
    snapshots: list[tuple[int, int]] = []
    for name, *rest in moves:
        if name == "build":
            chain.build([], {bytes([rest[0]]) * 40: rest[1]})
            copies.append(contents(chain))
        elif name == "snapshot":
            snapshots.append((chain.snapshot(), chain.head.number))
        elif snapshots:
            place = rest[0] % len(snapshots)
            chain.revert(snapshots[place][0])
            del snapshots[place + 1 :]
            del copies[snapshots[place][1] + 1 :]
        assert contents(chain) == copies[-1]
    for number, copy in enumerate(copies):
        assert {key: chain.read(key, number) for key in copy} == copy
        assert chain.page(b"", None, 10**6, number) == sorted(copy)
    again = chain_of(chain.store)
    assert contents(again) == copies[-1]
    chain.store.close()


async def test_clients_hear_of_a_return(node: Devnet, socket: Socket, signed: Sign) -> None:
    chain = node.node.chain
    await socket.ask("dev_newBlock", {"count": 2})
    snapshot, old = await socket.ask("dev_snapshot"), await socket.ask("chain_getHead")
    heads, final = await socket.ask("chain_subscribeNewHeads"), await socket.ask("chain_subscribeFinalizedHeads")
    account, quiet = to_hex(System.Account.key(ALICE.public_key)), to_hex(System.Account.key(BOB.public_key))
    storage = await socket.ask("state_subscribeStorage", [account, quiet])
    ((_, first), _) = (await socket.hear(storage))["changes"]
    remark = chain.runtime.call("System", "remark", remark=b"x")
    await socket.ask("author_submitExtrinsic", to_hex(signed(chain, ALICE, remark, 0)))
    await socket.ask("dev_newBlock")
    waiting = await socket.ask("author_submitAndWatchExtrinsic", to_hex(signed(chain, ALICE, remark, 1)))
    for one in (heads, final):
        assert [int((await socket.hear(one))["number"], 16) for _ in range(2)] == [2, 3]
    assert (await socket.hear(storage))["changes"][0][1] != first

    assert await socket.ask("dev_revert", snapshot) == old

    assert [await socket.hear(waiting) for _ in range(2)] == ["ready", "dropped"]
    for one in (heads, final):
        assert int((await socket.hear(one))["number"], 16) == 2
    assert await socket.hear(storage) == {"block": old, "changes": [[account, first]]}
    assert await socket.ask("chain_getHead") == await socket.ask("chain_getFinalizedHead") == old
    assert await socket.ask("author_pendingExtrinsics") == []
    assert await socket.ask("account_nextIndex", ALICE.ss58_address) == 0
    assert await socket.ask("chain_getBlockHash", 3) is None
    # the same nonce once more, over the chain that is now
    await socket.ask("author_submitExtrinsic", to_hex(signed(chain, ALICE, remark, 0)))
    new = await socket.ask("dev_newBlock")
    assert len((await socket.ask("chain_getBlock", new))["block"]["extrinsics"]) == 2
    assert (await socket.hear(heads))["parentHash"] == old


async def test_the_clock_is_put_forward_and_goes_on(node: Devnet, socket: Socket) -> None:
    start = await socket.ask("dev_increaseTime", 0)
    later = await socket.ask("dev_increaseTime", 86_400.5)
    assert start + 86_400.5 <= later
    await socket.ask("dev_newBlock")
    assert node.node.chain.state.get(Timestamp.Now) >= later * 1000 - 1
    goal = round(later) + 10**6
    assert await socket.ask("dev_setTime", goal) >= goal - 0.001
    await socket.ask("dev_newBlock", {"timestamps": [goal + 10, goal + 20.25], "count": 3})
    chain = node.node.chain
    times = [chain.read(Timestamp.Now.key(), chain.head.number - back) for back in (2, 1, 0)]
    moments = [Timestamp.Now.value.decode(data or b"") for data in times]
    assert moments[0] // 1000 == goal + 10
    assert moments[1] // 250 == (goal + 20) * 4 + 1
    assert moments[2] > moments[1]


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("dev_setTime", [1]),
        ("dev_setTime", [1e300]),
        ("dev_setTime", ["now"]),
        ("dev_setTime", [True]),
        ("dev_increaseTime", [-1]),
        ("dev_increaseTime", [10**400]),
        ("dev_increaseTime", [None]),
        ("dev_newBlock", [{"timestamps": [1]}]),
        ("dev_newBlock", [{"timestamps": [2e9, 2e9]}]),
        ("dev_newBlock", [{"timestamps": [4e9, 5e9], "count": 1}]),
        ("dev_newBlock", [{"timestamps": 5}]),
        ("dev_newBlock", [{"many": 5}]),
        ("dev_revert", [7]),
        ("dev_revert", [True]),
        ("dev_revert", [10**30]),
        ("dev_revert", ["1"]),
        ("dev_setProduction", ["often"]),
        ("dev_setProduction", [["instant"]]),
        ("dev_setProduction", ["interval", "1"]),
        ("dev_setBlockTime", [0]),
        ("dev_setBlockTime", [10**400]),
        ("dev_setBlockTime", [None]),
    ],
)
async def test_what_makes_no_sense_is_refused(node: Devnet, socket: Socket, method: str, params: list[Any]) -> None:
    await socket.ask("dev_newBlock")
    before = (node.node.chain.head.hash, node.node.production, node.node.block_time)
    assert (await socket.ask(method, *params))["code"] in (-32602, -32000)
    assert (node.node.chain.head.hash, node.node.production, node.node.block_time) == before


async def test_nan_is_no_json(socket: Socket) -> None:
    await socket.socket.send_str('{"id": 1, "method": "dev_increaseTime", "params": [NaN]}')
    assert (await socket.receive())["error"]["code"] == -32700


async def test_blocks_change_from_manual_to_a_time_to_instant(node: Devnet, socket: Socket, signed: Sign) -> None:
    chain, heads = node.node.chain, await socket.ask("chain_subscribeNewHeads")
    await socket.hear(heads)
    assert await socket.ask("dev_setBlockTime", 0.01) == 0.01
    numbers = [int((await socket.hear(heads))["number"], 16) for _ in range(3)]
    assert numbers == [1, 2, 3]
    await socket.ask("dev_setProduction", "manual")
    remark = chain.runtime.call("System", "remark", remark=b"x")
    raw = to_hex(signed(chain, ALICE, remark, 0))
    waiting = await socket.ask("author_submitAndWatchExtrinsic", raw)
    assert await socket.hear(waiting) == "ready"
    assert await socket.ask("dev_setProduction", "instant") == "instant"
    assert list(await socket.hear(waiting)) == ["inBlock"]


def test_the_same_from_python(node: Devnet) -> None:
    node.new_blocks(2)
    taken = node.snapshot()
    then = node.increase_time(3600)
    assert node.new_blocks(3) == 5
    assert node.node.chain.state.get(Timestamp.Now) >= then * 1000 - 1
    assert node.revert(taken) == 2
    assert node.increase_time(0) < then
    assert node.set_time(then) >= then - 0.001
    with pytest.raises(DevnetError, match="no snapshot"):
        node.revert(99)
    node.set_production("interval", 0.01)
    asyncio.run(_reached(node, 4))
    node.set_production("manual")
    assert free(node.node.chain.state, ALICE.public_key) == node.balance


async def _reached(node: Devnet, number: int) -> None:
    async with asyncio.timeout(WAIT):
        while node.node.chain.head.number < number:
            await asyncio.sleep(0.01)
