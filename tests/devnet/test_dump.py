"""Dumps: a chain goes on from one elsewhere; what is damaged or foreign is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from substrateinterface import Keypair, SubstrateInterface

from subnet.devnet import devnet, dump
from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.chain import Chain
from subnet.devnet.context import Spec
from subnet.devnet.state import Store
from subnet.errors import DevnetError

ALICE = Keypair.create_from_uri("//Alice")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("dump") / "state"
    chain = Chain(Store(None), Spec(), DEVELOPMENT, 10**12)
    chain.build([])
    dump.write(chain, path)
    chain.store.close()
    return path.read_bytes()


def contents(chain: Chain) -> dict[bytes, bytes]:
    return {head + rest: value for head, rows in chain.state.items.items() for rest, value in rows.items()}


def test_a_chain_goes_on_from_its_dump(tmp_path: Path) -> None:
    path, extra = tmp_path / "state", b"z" * 40
    with devnet(production="manual", tempo=7, dump_state=path) as node:
        node.new_blocks(300)
        node.increase_time(10**6)
        node.new_blocks(1)
        now, genesis, head, before = node.node.now, node.genesis_hash, node.node.chain.head, contents(node.node.chain)
        node.dump(path)
        early = path.read_bytes()
        node._do(lambda: node.node.produce({extra: b"1"}))
        next_hash = node.node.chain.head.hash
    assert path.read_bytes() != early  # written once more at the end
    path.write_bytes(early)
    with devnet(production="manual", load_state=path, state=tmp_path / "chain.db") as again:
        chain = again.node.chain
        assert (again.genesis_hash, chain.head.hash, chain.spec.tempo) == (genesis, head.hash, 7)
        assert contents(chain) == before
        assert again.node.now >= now
        again._do(lambda: again.node.produce({extra: b"1"}))
        assert chain.head.number == head.number + 1
        assert chain.head.hash != next_hash  # the same contents, yet another chain from here on
    with devnet(production="manual", state=tmp_path / "chain.db") as later:
        assert later.node.chain.head.number == head.number + 1
    with (
        pytest.raises(DevnetError, match="holds a chain already"),
        devnet(load_state=path, state=tmp_path / "chain.db"),
    ):
        pass


def test_a_client_finds_its_way_on_a_loaded_chain(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with devnet(production="manual") as node:
        node.new_blocks(300)
        node.dump(path)
    with devnet(production="instant", load_state=path) as node, SubstrateInterface(url=node.url) as client:
        call = client.compose_call("System", "remark", {"remark": "0x01"})
        signed = client.create_signed_extrinsic(call, ALICE, era={"period": 64})
        assert client.submit_extrinsic(signed, wait_for_inclusion=True).is_success
        assert client.get_block_hash(10) == "0x" + bytes(node.node.chain.hash_of(10) or b"").hex()
        assert client.query("System", "Number", block_hash=client.get_block_hash(300)).value == 300
        for number in (0, 299):
            answer = client.rpc_request("state_getMetadata", [client.get_block_hash(number)])
            assert "result" in answer
            with pytest.raises(Exception, match="State already discarded"):
                client.rpc_request("state_getStorage", ["0x00", client.get_block_hash(number)])


def test_it_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"what was there")
    chain = Chain(Store(None), Spec(), DEVELOPMENT, 10**12)

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dump.os, "fsync", fail)
    with pytest.raises(DevnetError, match="No space left"):
        dump.write(chain, path)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]
    chain.store.close()


def test_where_it_can_not_be_written_no_chain_starts(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "state"):
        with pytest.raises(DevnetError, match="can't write"), devnet(dump_state=path):
            pass


@given(st.data())
def test_any_damage_is_seen(sample: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    place = data.draw(st.integers(0, len(sample) - 1))
    damaged = bytearray(sample)
    damaged[place] ^= data.draw(st.integers(1, 255))
    cut = sample[:place]
    for one in (bytes(damaged), cut, sample + b"x"):
        path.write_bytes(one)
        with pytest.raises(DevnetError, match=r"damaged|no state that|in format"):
            dump.read(path)


def sealed(payload: bytes) -> bytes:
    return b"subnet-devnet-state 1\n" + hashlib.sha256(payload).digest() + payload


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "no state that"),
        (b"SQLite format 3\0" + bytes(100), "no state that"),
        (b"subnet-devnet-state 2\n" + bytes(100), "in format 2; this version reads 1"),
        (sealed(b""), "damaged"),
        (sealed(b"\x91" * 100_000), "damaged"),
        (sealed(b"\xdf\xff\xff\xff\xff"), "damaged"),
        (sealed(b"\x84\xa4spec\x80\xa5clock\x00\xa6blocks\x90\xa5state\x90"), "another version"),
    ],
)
def test_what_is_no_dump_of_ours(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    with pytest.raises(DevnetError, match=what) as caught, devnet(load_state=path):
        pass
    assert caught.value.remedy


def test_a_dump_of_another_version_is_refused(tmp_path: Path, sample: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state"
    path.write_bytes(sample)
    options: dict[str, Any] = {"load_state": path, "production": "manual"}
    with devnet(**options):
        pass
    monkeypatch.setattr(dump, "known_metadata", lambda spec: b"other")
    with pytest.raises(DevnetError, match="another version of this software"), devnet(**options):
        pass
    with pytest.raises(DevnetError, match="can't read"), devnet(load_state=tmp_path / "none"):
        pass
