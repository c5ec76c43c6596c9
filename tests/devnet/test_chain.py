"""Blocks: how they follow each other, fail, and are found again after a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from substrateinterface import Keypair

from subnet.devnet.accounts import DEVELOPMENT, more, ss58
from subnet.devnet.chain import METADATA_KEY, Chain
from subnet.devnet.context import Spec
from subnet.devnet.hashing import blake2_256
from subnet.devnet.pallets.balances import free
from subnet.devnet.pallets.system import System, Timestamp
from subnet.devnet.pallets.utility import Sudo
from subnet.devnet.shapes import HEADER
from subnet.devnet.state import Store
from subnet.errors import DevnetError

TAO = 10**9


def test_the_accounts_are_the_well_known_ones() -> None:
    for account in DEVELOPMENT:
        key = Keypair.create_from_uri(account.uri)
        assert key.public_key == account.public_key
        assert key.ss58_address == account.address == ss58(account.public_key)
    assert [one.uri for one in more(8)[6:]] == ["//dev/0", "//dev/1"]
    assert more(7)[6].public_key == Keypair.create_from_uri("//dev/0").public_key


def test_genesis_funds_the_accounts_and_makes_alice_sudo(bench: Any) -> None:
    chain = bench.chain
    assert chain.head.number == 0
    assert chain.head.hash == chain.genesis_hash == chain.hash_of(0)
    assert all(free(chain.state, one.public_key) == 100_000 * TAO for one in DEVELOPMENT)
    assert chain.state.get(Sudo.Key) == bench.alice


def test_each_fresh_chain_has_a_genesis_of_its_own(make_bench: Callable[..., Any]) -> None:
    assert make_bench().chain.genesis_hash != make_bench().chain.genesis_hash


def test_blocks_name_their_parents(bench: Any) -> None:
    chain = bench.chain
    bench.blocks(3)
    for number in (1, 2, 3):
        block = chain.block(number)
        assert block.header["parent_hash"] == chain.hash_of(number - 1)
        assert block.hash == blake2_256(HEADER.encode(block.header))
        assert chain.by_hash(block.hash).number == number
        assert chain.state.get(System.BlockHash, number - 1) == chain.hash_of(number - 1)
    assert chain.block(4) is None
    assert chain.by_hash(bytes(32)) is None
    times = [int.from_bytes(chain.read(Timestamp.Now.key(), n), "little") for n in (1, 2, 3)]
    assert times == sorted(set(times))


def test_state_can_be_read_at_any_block(bench: Any) -> None:
    before = free(bench.state, bench.bob)
    bench.send(bench.alice, "Balances", "transfer_keep_alive", dest=("Id", bench.bob), value=5 * TAO)
    bench.blocks(2)
    key = System.Account.key(bench.bob)
    amounts = [System.Account.value.decode(bench.chain.read(key, n))["data"]["free"] for n in range(4)]
    assert amounts == [before] + [before + 5 * TAO] * 3
    assert bench.chain.page(System.Account.prefix, None, 9, 0) == bench.chain.page(System.Account.prefix, None, 9, 3)


def test_a_block_that_fails_leaves_the_head_as_it_was(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = bench.chain
    bench.blocks(1)
    head, digest = chain.head, digest_of(chain)

    def full(*args: Any) -> None:
        raise DevnetError("disk full")

    monkeypatch.setattr(chain.store, "commit", full)
    with pytest.raises(DevnetError):
        chain.build([])
    monkeypatch.undo()
    assert chain.head is head
    assert digest_of(chain) == digest
    bench.blocks(1)
    assert chain.head.number == head.number + 1


def test_a_defect_in_a_call_fails_the_extrinsic_not_the_block(
    bench: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    call = bench.call("System", "remark", remark=b"")
    call.spec = replace(call.spec, function=broken)
    bench.chain.build([bench.extrinsic(bench.alice, call)])
    assert bench.failure() == "Other"
    assert "System.remark failed" in caplog.text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chain.db"


def digest_of(chain: Chain) -> bytes:
    """All of the head's state as one hash."""
    rows = sorted((head + rest, value) for head, items in chain.state.items.items() for rest, value in items.items())
    return blake2_256(b"".join(key + b"=" + value for key, value in rows))


def test_a_restart_goes_on_where_it_was(path: Path) -> None:
    store = Store(path)
    chain = Chain(store, Spec(tempo=9), DEVELOPMENT, TAO)
    for _ in range(4):
        chain.build([])
    genesis, head, digest = chain.genesis_hash, chain.head, digest_of(chain)
    store.close()
    store = Store(path)
    again = Chain(store, Spec(tempo=77), DEVELOPMENT, 5 * TAO)  # the file's own spec holds
    assert (again.genesis_hash, again.head.hash, digest_of(again)) == (genesis, head.hash, digest)
    assert again.spec.tempo == 9
    assert again.head.header == head.header
    assert again.build([]).header["parent_hash"] == head.hash
    store.close()


def test_a_file_of_other_metadata_is_refused(path: Path) -> None:
    store = Store(path)
    chain = Chain(store, Spec(), DEVELOPMENT, TAO)
    chain.build([], {METADATA_KEY: b"older"})
    store.close()
    store = Store(path)
    with pytest.raises(DevnetError, match="another version"):
        Chain(store, Spec(), DEVELOPMENT, TAO)
    store.close()
