"""The dashboard's server and sources: who is answered, what is shown, and what happens while things are down."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from substrateinterface import Keypair

from subnet.chain.accounts import Identity
from subnet.dashboard import Board, ChainSource, Dashboard, HealthSource, LedgerSource, onchain, probes, records, server
from subnet.dashboard.server import known_names
from subnet.errors import ChainUnreachable, ConfigError, WrongNetwork
from subnet.receipts import Receipt, signed
from subnet.store import History, Ledger, Result, Round, Score, WeightsSet
from subnet.telemetry import HARMLESS
from subnet.types import Block, Hotkey, Metagraph, Netuid, Rao, Uid
from tests.memory_chain import metagraph_of, neuron
from tests.waiting import until

GENESIS = "0x" + "ab" * 32
VALIDATOR = Hotkey(Keypair.create_from_uri("//Validator").ss58_address)
MINER = Keypair.create_from_uri("//Miner0")
HOSTILE = "<script>alert(1)</script>\u2028\n\nevent: chain\ndata: {}"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onchain, "PACE", 0.005)
    monkeypatch.setattr(onchain, "QUIET", 0.01)
    monkeypatch.setattr(onchain, "PAUSES", (0.005, 0.01))
    monkeypatch.setattr(records, "EVERY", 0.01)
    monkeypatch.setattr(probes, "EVERY", 0.01)


@asynccontextmanager
async def working(*works: Any) -> AsyncIterator[None]:
    """Sources at work meanwhile; a bug in one fails the test."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of two rounds with one receipt that holds and one that was changed."""
    file = tmp_path / "v.sqlite"
    with Ledger(file, genesis_hash=GENESIS, netuid=Netuid(2), validator=VALIDATOR) as ledger:
        good = receipt()
        bad = good.replace(b"22" * 32, b"33" * 32)
        assert good != bad
        for number, score in ((1, 1.0), (2, 0.5)):
            kept = (good,) if number == 1 else (bad,)
            mine = Result(Hotkey(MINER.ss58_address), Uid(1), score, elapsed=0.1, moving=score, receipts=kept)
            lost = Result(Hotkey("5B"), Uid(2), None, reason=HOSTILE)
            held = Score(Hotkey(MINER.ss58_address), Uid(1), score, number, Block(5), Block(9), 1e9, 1)
            ledger.record(Round(number, Block(9), 1e9, 1e9 + number, 2, 1, rule="ema 0.5"), [mine, lost], [held])
        ledger.add_weights(WeightsSet(Block(30), (Uid(1), Uid(2)), (65535, 0), "0xaa", 1e9))
    return file


def receipt() -> bytes:
    made = Receipt(
        genesis_hash=GENESIS,
        netuid=2,
        path="/Classify",
        request_digest="11" * 32,
        nonce_ns=1,
        sender=VALIDATOR,
        receiver=Hotkey(MINER.ss58_address),
        status=200,
        response_digest="22" * 32,
        artifact="-",
        time_ns=1_760_000_000_100_000_000,
        scheme="sr25519",
    )
    return signed(MINER, made).to_bytes()


@asynccontextmanager
async def serving(board: Board, opened: Callable[[], History], **fields: Any) -> AsyncIterator[Any]:
    """(base URL, a client) of a dashboard."""
    source = LedgerSource(board, opened)
    async with Dashboard(board, source, **fields) as dashboard, aiohttp.ClientSession() as client:
        yield dashboard.url, client
    source.close()


def no_ledger() -> History:
    raise ConfigError("there is no ledger here", remedy="Name one.")


async def test_only_pages_of_its_own_are_answered() -> None:
    async with serving(Board(), no_ledger) as (url, client):
        port = url.split(":")[2].strip("/")
        for method, headers, status in (
            ("GET", {}, 200),
            ("GET", {"Host": f"localhost:{port}"}, 200),
            ("GET", {"Host": "rebound.example"}, 403),
            ("GET", {"Host": "[::1"}, 403),
            ("GET", {"Origin": "http://evil.example"}, 403),
            ("GET", {"Origin": url.rstrip("/")}, 200),
            ("GET", {"Origin": "http://["}, 403),
            ("GET", {"Origin": "null"}, 403),
            ("GET", {"Sec-Fetch-Site": "cross-site"}, 403),
            ("POST", {}, 403),
            ("DELETE", {}, 403),
            ("OPTIONS", {"Origin": "http://evil.example"}, 403),
        ):
            async with client.request(method, url + "api/state", headers=headers) as reply:
                assert reply.status == status, (method, headers)
                assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
                assert not [name for name in reply.headers if name.startswith("Access-Control")]


async def test_files_are_those_of_the_page_alone() -> None:
    async with serving(Board(), no_ledger) as (url, client):
        for name in ("", "app.js", "style.css", "uPlot.iife.min.js", "uPlot-LICENSE.txt", "icon.svg"):
            async with client.get(url + name) as reply:
                assert reply.status == 200, name
                text = await reply.text()
                assert name or "<script>" not in text  # nothing inline: the policy would stop it
        for name in ("../server.py", "%2e%2e%2fserver.py", "..%5cserver.py", "static/", "server.py", "a" * 5000):
            async with client.get(url + name) as reply:
                assert reply.status == 404, name


def test_names_by_which_it_may_be_asked() -> None:
    assert known_names("127.0.0.1", []) == {"127.0.0.1", "localhost", "::1"}
    assert known_names("10.0.0.5", ["Board.lan"]) == {"10.0.0.5", "board.lan"}
    assert known_names("::", ["[fd00::1]"]) == {"fd00::1"}
    for wrong in ("0.0.0.0", "::", "nowhere"):
        with pytest.raises(ConfigError):
            known_names(wrong, [])


async def test_an_address_in_use_is_an_error() -> None:
    async with serving(Board(), no_ledger) as (url, _):
        with pytest.raises(ConfigError, match="can't listen"):
            async with serving(Board(), no_ledger, port=int(url.split(":")[2].strip("/"))):
                pass


async def test_events_carry_what_is_known_then_what_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_PAGES", 1)
    board = Board()
    board.put("chain", {"name": HOSTILE, "share": float("nan")})
    async with serving(board, no_ledger) as (url, client):
        async with client.get(url + "api/events") as stream:
            assert stream.content_type == "text/event-stream"
            assert await event(stream) == ("chain", {"name": HOSTILE, "share": None})
            async with client.get(url + "api/events") as another:
                assert another.status == 503
            board.put("health", {"1": 1})
            assert await event(stream) == ("health", {"1": 1})
            board.put("health", {"1": 1})  # no news
            for number in range(50):
                board.put("ledger", {"n": number})  # a slow page gets the last
            assert await event(stream) == ("ledger", {"n": 49})
        await until(lambda: (board.put("health", [len(board), object.__hash__(stream)]), len(board) == 0)[1])


async def event(stream: aiohttp.ClientResponse) -> tuple[str, Any]:
    """The next event's topic and value; fails where one event's text made up another."""
    name = ""
    while True:
        line = (await asyncio.wait_for(stream.content.readline(), 60)).decode().rstrip("\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            return name, json.loads(line[6:])


async def test_open_streams_end_with_the_server() -> None:
    board = Board()
    async with aiohttp.ClientSession() as client:
        async with Dashboard(board, LedgerSource(board, no_ledger)) as dashboard:
            stream = await client.get(dashboard.url + "api/events")
            await until(lambda: len(board) == 1)
        assert b"retry" in await stream.content.read()


async def test_a_topic_must_be_known() -> None:
    with pytest.raises(KeyError):
        Board().put("gossip", 1)


# The ledger.


async def test_a_miner_is_told_down_to_its_receipts(path: Path) -> None:
    async with serving(Board(), lambda: History(path)) as (url, client):
        for who in (MINER.ss58_address, "1"):
            async with client.get(f"{url}api/miner/{who}") as reply:
                told = await reply.json()
            assert [one["round"] for one in told["rounds"]] == [2, 1]
            assert [one["problem"] is None for one in told["receipts"]] == [False, True]
            assert told["weight"] == {"u16": 65535, "share": 1.0, "block": 30}
        async with client.get(url + "api/round/2") as reply:
            told = await reply.json()
        assert [one["reason"] for one in told["results"]] == [None, HOSTILE]
        for wrong in ("miner/77", "miner/5Nobody", "miner/" + "9" * 400, "round/9", "round/999999999999"):
            async with client.get(url + "api/" + wrong) as reply:
                assert reply.status == 404, wrong
                assert (await reply.json())["error"]


async def test_the_ledger_is_followed_and_may_come_late(path: Path, tmp_path: Path) -> None:
    board, late = Board(), tmp_path / "late.sqlite"
    source = LedgerSource(board, lambda: History(late))
    async with working(source.run()):
        await until(lambda: board.text("ledger") != "null")
        assert json.loads(board.text("ledger"))["ok"] is False
        os.rename(path, late)
        await until(lambda: json.loads(board.text("ledger"))["ok"])
        told = json.loads(board.text("ledger"))
        assert told["chart"]["lines"] == [[1.0, 0.5]]
        assert told["chart"]["times"] == [1e9 + 1, 1e9 + 2]
        with Ledger(late, genesis_hash=GENESIS, netuid=Netuid(2), validator=VALIDATOR) as ledger:
            ledger.record(Round(3, Block(9), 1e9, 1e9 + 3, 2, 0, "ValueError: oh"), [], [])
            await until(lambda: json.loads(board.text("ledger"))["rounds"][0]["round"] == 3)
        os.unlink(late)
        await until(lambda: not json.loads(board.text("ledger"))["ok"])
    source.close()


async def test_a_file_that_is_no_ledger_is_a_problem_that_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.sqlite"
    file.write_bytes(b"not a database" * 500)
    board = Board()
    source = LedgerSource(board, lambda: History(file))
    async with working(source.run()), serving(board, lambda: History(file)) as (url, client):
        await until(lambda: "problem" in board.text("ledger"))
        async with client.get(url + "api/miner/1") as reply:
            assert reply.status == 404


async def test_a_ledger_whose_rows_were_damaged_is_a_problem_and_not_the_end(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA ignore_check_constraints = 1")
        file.execute("UPDATE score SET value = 'much'")
    file.close()
    board = Board()
    source = LedgerSource(board, lambda: History(path))
    async with working(source.run()), serving(board, lambda: History(path)) as (url, client):
        await until(lambda: "no validator wrote" in board.text("ledger"))
        async with client.get(url + "api/miner/1") as reply:
            assert reply.status == 404
    source.close()


# The chain.


class Node:
    """A chain of one subnet whose blocks come when a test says so."""

    genesis_hash, endpoint = GENESIS, "ws://node"

    def __init__(self) -> None:
        self.block, self.down, self.ended, self.woken = 100, False, False, asyncio.Event()

    async def __aenter__(self) -> Node:
        self.answer()
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        if self.down:
            raise ChainUnreachable("the node is away")

    def grow(self) -> None:
        self.block += 10
        self.woken.set()

    async def heads(self) -> AsyncIterator[int]:
        while True:
            yield self.block
            await self.woken.wait()
            self.woken.clear()
            if self.ended:
                self.ended = False
                raise WrongNetwork("another genesis")

    async def block_number(self) -> int:
        self.answer()
        return self.block

    async def metagraph(self, netuid: int, block: int | None = None) -> Metagraph:
        self.answer()
        if block is not None and block < 60:
            raise ChainUnreachable("the node has forgotten")
        at = self.block if block is None else block
        earned = [neuron("5V", validator_permit=True, emission=Rao(at)), neuron("5A", emission=Rao(7))]
        return metagraph_of(earned, block=at, tempo=20, netuid=netuid)

    async def weights(self, netuid: int, block: int) -> dict[Uid, list[tuple[Uid, int]]]:
        self.answer()
        return {Uid(0): [(Uid(1), 65535)]}

    async def next_epoch_block(self, netuid: int) -> int:
        return self.block + 5

    async def identities(self, coldkeys: list[str]) -> dict[str, Any]:
        return {"5Cold": Identity(name=HOSTILE + "x" * 500)}


async def test_the_chain_is_followed_and_what_was_known_stays_while_it_is_down() -> None:
    board, node = Board(), Node()

    def told(topic: str = "chain") -> Any:
        return json.loads(board.text(topic))

    async def connect() -> Any:
        return node

    async with working(ChainSource(board, 2, connect).run()):
        await until(lambda: told()["ok"])
        assert told()["neurons"][0]["name"] == (HOSTILE + "x" * 500).translate(HARMLESS)[: onchain.LONGEST_NAME]
        assert told("weights")["rows"] == [[0, [[1, 65535]]]]
        await until(lambda: told("emission")["blocks"] == [60, 80, 100])  # the past, as far as it is remembered
        assert told("emission")["lines"][0] == {"uid": 0, "hotkey": "5V", "rao": [60, 80, 100]}
        node.down = True
        await until(lambda: not told()["ok"])
        assert (told()["block"], told()["problem"]) == (100, "the node is away")
        assert told()["since"]
        node.down = False
        node.grow()
        await until(lambda: told()["ok"] and told()["block"] == 110)
        assert told()["since"] is None


async def test_what_belongs_to_blocks_or_a_chain_that_are_gone_is_forgotten() -> None:
    board, node = Board(), Node()

    def told(topic: str) -> Any:
        return json.loads(board.text(topic))

    async def connect() -> Any:
        return node

    async with working(ChainSource(board, 2, connect).run()):
        await until(lambda: bool(told("emission")) and told("emission")["blocks"] == [60, 80, 100])
        node.block = 70  # as from a snapshot
        node.woken.set()
        await until(lambda: told("emission")["blocks"] == [60, 70])
        node.genesis_hash, node.block, node.ended = "0x" + "cd" * 32, 64, True  # wiped, and begun anew
        node.woken.set()
        await until(lambda: told("chain").get("genesis") == node.genesis_hash)
        await until(lambda: told("emission")["blocks"][-1] == 64)
        assert 70 not in told("emission")["blocks"]


async def test_a_chain_that_was_never_there_is_tried_again() -> None:
    board, node = Board(), Node()
    node.down = True

    async def connect() -> Any:
        return node

    async with working(ChainSource(board, 2, connect).run()):
        await until(lambda: "away" in board.text("chain"))
        node.down = False
        await until(lambda: json.loads(board.text("chain"))["ok"])


# Health.


def test_targets_are_written_as_who_and_where() -> None:
    assert probes.parse_targets(["5=http://127.0.0.1:9100/", "5Abc=https://h"]) == {
        "5": "http://127.0.0.1:9100",
        "5Abc": "https://h",
    }
    for wrong in ("5", "=http://h", "5=ftp://h", "5=http://", "5=file:///etc/passwd"):
        with pytest.raises(ConfigError):
            probes.parse_targets([wrong])


async def test_neurons_are_asked_and_none_can_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    ill = {"ok": False, "ready": True, "troubles": [{"name": "chain", "reason": HOSTILE, "remedy": 5}, "x"] * 50}
    pages = {
        "well": {"ok": True, "ready": True, "troubles": []},
        "ill": ill,
        "list": [1],
        "deep": "[" * 50_000,
        "large": "x" * 100_000,
    }

    async def page(request: web.Request) -> web.Response:
        who = request.match_info["who"]
        if who == "moved":
            raise web.HTTPFound("/well/health")
        found = pages[who]
        return web.Response(
            status=503 if who == "ill" else 200, text=found if isinstance(found, str) else json.dumps(found)
        )

    app = web.Application()
    app.router.add_get("/{who}/{page}", page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    board = Board()
    targets = {who: f"{base}/{who}" for who in (*pages, "moved")} | {"gone": "http://127.0.0.1:9"}
    async with working(HealthSource(board, targets).run()):
        await until(lambda: board.text("health") != "null")
        told = json.loads(board.text("health"))
    await runner.cleanup()
    states = {who: one["state"] for who, one in told.items()}
    assert states == {
        "well": "well", "ill": "ill", "list": "silent", "deep": "silent", "large": "silent", "moved": "silent",
        "gone": "silent",
    }  # fmt: skip
    assert told["ill"]["troubles"][0] == {"name": "chain", "reason": HOSTILE, "remedy": "5"}
    assert len(told["ill"]["troubles"]) <= 8
