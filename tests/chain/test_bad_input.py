"""Bad input of every kind ends in one typed error whose remedy says what to do next: a table."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from hashlib import blake2b
from typing import Any

import pytest
from chain_peers import TRUTH, Altered, Hang, HangUp, Refuse, Script, between, tcp

from subnet.chain import Chain
from subnet.devnet import Devnet, devnet
from subnet.errors import (
    ChainError,
    ChainMalformed,
    ChainRefused,
    ChainTimeout,
    ChainUnreachable,
    ConfigError,
    ExtrinsicFailed,
    NoSuchSubnet,
    NotASubtensor,
    NotRegistered,
    SubnetError,
    WrongNetwork,
)
from subnet.keys import load_key
from subnet.types import rao

pytestmark = pytest.mark.e2e

ALICE = load_key("//Alice")
POOR = load_key(f"//Poor//{secrets.token_hex(8)}")

Deed = Callable[[Chain], Awaitable[object]]


@pytest.fixture(scope="module")
def node() -> Iterator[Devnet]:
    with devnet(block_time=0.1) as running:
        yield running


def truth(method: str, params: list[Any]) -> Any:
    return TRUTH


def told(method: str, answer: Any) -> Script:
    """A lie about one method only; an exception is raised."""

    def script(asked: str, params: list[Any]) -> Any:
        if asked != method:
            return TRUTH
        if isinstance(answer, Exception):
            raise answer
        return answer

    return script


def hash_of(data: str) -> str:
    return "0x" + blake2b(bytes.fromhex(data[2:]), digest_size=32).hexdigest()


def renamed(metadata: str) -> str:
    return metadata.replace(b"SubtensorModule".hex(), b"SubtensorMissin".hex())


def cut(answer: Any) -> Any:
    """Each storage value without its last byte, and none that is empty."""
    (change,) = answer
    values = [[key, value and (value[:-2] if len(value) > 2 else "0xff")] for key, value in change["changes"]]
    return [{**change, "changes": values}]


async def metagraph(chain: Chain) -> object:
    return await chain.metagraph(0)


CONNECTING: dict[str, tuple[str, type[SubnetError], str]] = {
    "no URL": ("127.0.0.1:9944", ConfigError, "ws://host:port"),
    "http": ("http://127.0.0.1:9944", ConfigError, "ws://host:port"),
    "nobody there": ("ws://127.0.0.1:1", ChainUnreachable, "`subnet chain`"),
    "nobody at any": ("ws://127.0.0.1:1,ws://127.0.0.1:2", ChainUnreachable, "`subnet chain`"),
}

READING: dict[str, tuple[Script, Deed, type[SubnetError], str]] = {
    "no subtensor": (
        told("state_getMetadata", Altered(renamed)),
        metagraph,
        NotASubtensor,
        "subtensor node or at `subnet chain`",
    ),
    "a runtime's code as metadata": (told("state_getMetadata", "0x0061736d"), metagraph, ChainMalformed, "--endpoint"),
    "no subnet": (truth, lambda chain: chain.metagraph(999), NoSuchSubnet, "`subnet create`"),
    "no hotkey": (truth, lambda chain: chain.uid(0, POOR.ss58_address), NotRegistered, "subnet register"),
    "no such block": (truth, lambda chain: chain.metagraph(0, 10**9), ChainError, "check the number"),
    "SCALE that ends early": (told("state_queryStorageAt", Altered(cut)), metagraph, ChainMalformed, "--endpoint"),
    "storage of another kind": (told("state_queryStorageAt", {"a": 1}), metagraph, ChainMalformed, "--endpoint"),
    "a head without number": (
        told("chain_getHeader", {"number": None}),
        lambda chain: chain.block_number(),
        ChainMalformed,
        "--endpoint",
    ),
    "an old block on a pruned node": (
        told("chain_getHeader", Refuse(4003, "State already discarded")),
        lambda chain: chain.block_number(),
        ChainRefused,
        "archive node",
    ),
}

WRITING: dict[str, tuple[Deed, str]] = {
    "no money for the fee": (lambda chain: chain.transfer(POOR, ALICE.ss58_address, rao(1)), "balance|funds|TAO"),
    "less than is sent": (
        lambda chain: chain.transfer(ALICE, POOR.ss58_address, rao(10**8)),
        "balance|funds|TAO",
    ),
    "weights in the open": (lambda chain: chain.set_weights(POOR, 0, [0], [1]), "commit and reveal"),
    "an axon of a stranger": (lambda chain: chain.serve_axon(POOR, 0, "10.0.0.1", 80), "subnet (register|create)"),
}


@pytest.mark.parametrize("case", CONNECTING)
async def test_connecting(case: str) -> None:
    endpoint, error, remedy = CONNECTING[case]
    with pytest.raises(error) as caught:
        await Chain.connect(endpoint)
    assert type(caught.value) is error
    assert remedy in caught.value.remedy


async def test_a_web_server_is_no_node() -> None:
    async def behave(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with tcp(behave) as url:
        with pytest.raises(ChainUnreachable, match="HTTP 200 instead of a websocket"):
            await Chain.connect(url)


async def test_another_network(node: Devnet) -> None:
    with pytest.raises(WrongNetwork, match=node.genesis_hash) as caught:
        await Chain.connect(node.url, genesis_hash="0x" + "00" * 32)
    assert "--genesis-hash" in caught.value.remedy


async def test_a_node_that_hangs(node: Devnet) -> None:
    async with between(node.url, told("state_getRuntimeVersion", Hang())) as liar:
        with pytest.raises(ChainTimeout) as caught:
            await Chain.connect(liar.url, timeout=0.5)
    assert "another --endpoint" in caught.value.remedy


@pytest.mark.parametrize("case", READING)
async def test_reading(node: Devnet, case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("SUBNET_CACHE_DIR", str(tmp_path))
    script, deed, error, remedy = READING[case]

    async def read(url: str) -> None:
        async with await Chain.connect(url, timeout=60.0) as chain:
            await deed(chain)

    async with between(node.url, script) as liar:
        with pytest.raises(error) as caught:
            await read(liar.url)
    assert type(caught.value) is error
    assert remedy in caught.value.remedy


async def test_a_send_that_loses_its_node_lands_once_through_the_next(node: Devnet) -> None:
    """The first node takes the bytes and never speaks again; the second gets the same."""
    sent: list[list[Any]] = []
    to = load_key(f"//Somebody//{secrets.token_hex(8)}").ss58_address

    def vanish(answer: Any) -> Any:
        raise HangUp

    def first(method: str, params: list[Any]) -> Any:
        if sent:
            raise HangUp
        if method == "author_submitExtrinsic":
            sent.append(params)
            return Altered(vanish)
        return TRUTH

    def second(method: str, params: list[Any]) -> Any:
        if method == "author_submitExtrinsic":
            sent.append(params)
        return TRUTH

    async with (
        between(node.url, first) as a,
        between(node.url, second) as b,
        await Chain.connect([a.url, b.url], timeout=60.0) as chain,
    ):
        included = await chain.transfer(ALICE, to, rao(1))
        assert chain.endpoint == b.url
        assert await chain.balance(to) == rao(1)
    assert sent[0] == sent[1]
    assert hash_of(sent[0][0]) == included.extrinsic_hash


@pytest.mark.parametrize("case", WRITING)
async def test_writing(node: Devnet, case: str) -> None:
    deed, remedy = WRITING[case]
    async with await Chain.connect(node.url, timeout=60.0) as chain:
        with pytest.raises(ExtrinsicFailed) as caught:
            await deed(chain)
    assert re.search(remedy, caught.value.remedy), (caught.value.name, caught.value.remedy)
