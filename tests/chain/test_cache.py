"""The metadata cache: what it saves, what it refuses, and who may share it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chain_peers import TRUTH, Altered, HangUp, Refuse, between

from subnet.chain import Chain, cache, runtimes
from subnet.chain.schema import Schema, Type, parse
from subnet.devnet import Devnet, devnet
from subnet.devnet.rpc import to_hex
from subnet.devnet.runtime import runtime
from subnet.errors import ChainError, ChainMalformed, ChainUnreachable, NoSuchSubnet
from subnet.keys import load_key

ORIGIN = cache.Origin("ws://127.0.0.1:9944", "0x" + "ab" * 32, 300, "0x" + "cd" * 32)
SMALL = Schema({0: Type("primitive", name="u8")}, [])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv(cache.VARIABLE, str(place))
    return place


def only_file(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []


# Files


def test_what_is_kept_is_found_again(folder: Path) -> None:
    assert cache.load(ORIGIN) is None
    cache.save(ORIGIN, parse(runtime().metadata))
    assert cache.load(ORIGIN) == parse(runtime().metadata)
    assert only_file(folder).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "other",
    [
        {"endpoint": "ws://127.0.0.1:9945"},
        {"genesis": "0x" + "00" * 32},
        {"spec_version": 301},
        {"code": "0x" + "00" * 32},
    ],
)
def test_what_is_another_s_is_not_found(folder: Path, other: dict[str, Any]) -> None:
    cache.save(ORIGIN, SMALL)
    assert cache.load(ORIGIN._replace(**other)) is None


def test_a_file_under_another_s_name_is_refused(folder: Path) -> None:
    cache.save(ORIGIN, SMALL)
    other = ORIGIN._replace(spec_version=301)
    only_file(folder).rename(folder / (other.digest + ".schema"))
    assert cache.load(other) is None


@pytest.mark.parametrize("place", [0, 15, 16, 47, 48, -1])
def test_a_flipped_bit_is_seen_and_mended(folder: Path, place: int) -> None:
    cache.save(ORIGIN, SMALL)
    path = only_file(folder)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert cache.load(ORIGIN) is None
    cache.save(ORIGIN, SMALL)
    assert cache.load(ORIGIN) == SMALL


@pytest.mark.parametrize("size", [0, 1, 20, 48, 9 * 1024 * 1024])
def test_files_of_a_wrong_size(folder: Path, size: int) -> None:
    cache.save(ORIGIN, SMALL)
    with only_file(folder).open("r+b") as file:
        file.truncate(size)
    assert cache.load(ORIGIN) is None


def test_a_sealed_file_that_holds_something_else_is_refused(folder: Path) -> None:
    cache.save(ORIGIN, SMALL)
    body = b"\xc3"  # msgpack for True
    only_file(folder).write_bytes(cache._MAGIC + cache._checksum(body, ORIGIN) + body)
    assert cache.load(ORIGIN) is None


def test_a_folder_that_can_t_be_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setenv(cache.VARIABLE, str(file / "below"))
    cache.save(ORIGIN, SMALL)
    assert cache.load(ORIGIN) is None


def test_old_files_go(folder: Path) -> None:
    for number in range(cache.MAX_FILES + 3):
        cache.save(ORIGIN._replace(spec_version=number), SMALL)
        path = folder / (ORIGIN._replace(spec_version=number).digest + ".schema")
        os.utime(path, (number, number))
    cache.save(ORIGIN, SMALL)
    assert len(list(folder.iterdir())) == cache.MAX_FILES
    assert cache.load(ORIGIN._replace(spec_version=0)) is None
    assert cache.load(ORIGIN) == SMALL


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(cache.VARIABLE, "-")
    assert cache.folder() is None
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "subnet"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = cache.folder()
    assert found is not None
    assert found.name == "subnet"
    assert found.is_relative_to(tmp_path)


def test_processes_share_the_folder(folder: Path) -> None:
    """Four write and read at once: nobody ever sees half a file."""
    code = """
import sys
from subnet.chain import cache
from subnet.chain.schema import Schema, Type
origin = cache.Origin("ws://a", "0x" + "ab" * 32, 300, "0x" + "cd" * 32)
schema = Schema({number: Type("primitive", name="u8") for number in range(2000)}, [])
for _ in range(20):
    cache.save(origin, schema)
    assert cache.load(origin) == schema
"""
    running = [subprocess.Popen([sys.executable, "-W", "error", "-c", code]) for _ in range(4)]
    assert [one.wait(110) for one in running] == [0] * 4
    assert [path.suffix for path in folder.iterdir()] == [".schema"]


# Through a node


@pytest.fixture(scope="module")
def node() -> Any:
    with devnet(block_time=0.1) as running:
        yield running


@pytest.mark.e2e
async def test_the_second_connection_asks_for_no_metadata(node: Devnet, folder: Path) -> None:
    async with between(node.url, lambda m, p: TRUTH) as middle:
        for loaded in (1, 1):
            async with await Chain.connect(middle.url, timeout=60.0) as chain:
                assert len(await chain.metagraph(0)) == 0
                assert await chain.query("SubtensorModule", "Tempo", 0) >= 0
            assert middle.asked.count("state_getMetadata") == loaded


@pytest.mark.e2e
async def test_another_code_under_the_same_version_is_read_anew(node: Devnet, folder: Path) -> None:
    code = "0x" + "11" * 32

    def lie(method: str, params: list[Any]) -> Any:
        return code if method == "state_getStorageHash" else TRUTH

    async with between(node.url, lie) as middle:
        await (await Chain.connect(middle.url, timeout=60.0)).close()
        code = "0x" + "22" * 32
        await (await Chain.connect(middle.url, timeout=60.0)).close()
        assert middle.asked.count("state_getMetadata") == 2


@pytest.mark.parametrize("answer", [None, Refuse(-32601, "Method not found")], ids=["no code", "no method"])
@pytest.mark.e2e
async def test_a_node_that_does_not_tell_its_code_is_not_cached(node: Devnet, folder: Path, answer: Any) -> None:
    def lie(method: str, params: list[Any]) -> Any:
        if method != "state_getStorageHash":
            return TRUTH
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with between(node.url, lie) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        assert await chain.subnets() == [0]
    assert not files(folder)


@pytest.mark.e2e
async def test_signing_takes_the_node_s_word_and_mends_the_file(node: Devnet, folder: Path) -> None:
    """A file, checksum and all, that somebody made up must not decide what is signed."""
    async with between(node.url, lambda m, p: TRUTH) as middle:
        async with await Chain.connect(middle.url, timeout=60.0) as chain:
            origin = cache.Origin(middle.url, chain.genesis_hash, chain.spec_version, "0x" + _code_hash())
        true = cache.load(origin)
        assert true is not None
        forged = parse(runtime().metadata.replace(b"\x14Tempo", b"\x14Temqo"))
        assert forged != true
        cache.save(origin, forged)
        async with await Chain.connect(middle.url, timeout=60.0) as chain:
            alice = load_key("//Alice")
            included = await chain.transfer(alice, alice.ss58_address, 1)  # type: ignore[arg-type]
            assert included.event("System", "ExtrinsicSuccess") is not None
            assert await chain.query("SubtensorModule", "Tempo", 0) >= 0
        assert cache.load(origin) == true


@pytest.mark.e2e
async def test_a_node_behind_the_same_address_that_changed_is_seen(node: Devnet, folder: Path) -> None:
    """Restarted with another runtime under the same version, while we were connected."""
    changed = False

    def lie(method: str, params: list[Any]) -> Any:
        if changed and method == "state_getStorageHash":
            return "0x" + "22" * 32
        if changed and method == "state_getMetadata":
            old, new = b"\x34NetworksAdded".hex(), b"\x34NetworksAddex".hex()
            return Altered(lambda metadata: metadata.replace(old, new))
        return TRUTH

    async with between(node.url, lie) as middle, await Chain.connect(middle.url, timeout=60.0) as chain:
        assert len(await chain.metagraph(0)) == 0
        changed = True
        await middle.drop_all()
        await asyncio.sleep(0)
        with pytest.raises(NoSuchSubnet):  # this runtime has no NetworksAdded
            await chain.metagraph(0)


@pytest.mark.e2e
async def test_what_one_endpoint_said_rules_nothing_at_another(node: Devnet, folder: Path) -> None:
    """A liar under the true version and code, and an honest endpoint that takes over in the same session."""
    forged = to_hex(runtime().metadata.replace(b"\x14Tempo", b"\x14Temqo"))
    dead = False

    def lie(method: str, params: list[Any]) -> Any:
        if dead:
            raise HangUp
        return forged if method == "state_getMetadata" else TRUTH

    async with (
        between(node.url, lie) as liar,
        between(node.url, lambda m, p: TRUTH) as honest,
        await Chain.connect([liar.url, honest.url], timeout=60.0) as chain,
    ):
        with pytest.raises(ChainError, match="no storage item"):
            await chain.query("SubtensorModule", "Tempo", 0)
        dead = True
        await liar.drop_all()
        for _ in range(2):  # the first may still meet the liar
            with contextlib.suppress(ChainUnreachable):
                await chain.subnets()
        assert chain.endpoint == honest.url
        assert await chain.query("SubtensorModule", "Tempo", 0) > 0


def _code_hash() -> str:
    from subnet.devnet.hashing import blake2_256

    return blake2_256(runtime().metadata).hex()


@pytest.mark.parametrize("version", [-1, 2**32, 2**80, True, "300", None])
def test_a_version_that_is_no_u32_is_malformed(version: Any) -> None:
    with pytest.raises(ChainMalformed, match="runtime version"):
        runtimes._spec({"specVersion": version})
