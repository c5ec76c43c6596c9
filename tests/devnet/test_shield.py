"""The MEV shield: what a client encrypts, the node opens and runs right behind its carrier."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import ChaCha20_Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st
from substrateinterface import Keypair

from subnet.devnet.hashing import blake2_256, twox128
from subnet.devnet.ml_kem import CIPHERTEXT, PUBLIC_KEY, KeyPair, encapsulate
from subnet.devnet.node import Node
from subnet.devnet.pallets.shield import MevShield
from subnet.devnet.pallets.system import System
from subnet.devnet.shield import MAX_OPENED, Shield
from tests.devnet.conftest import Bench

ALICE, BOB, DAVE = (Keypair.create_from_uri(f"//{name}") for name in ("Alice", "Bob", "Dave"))
KEYS = KeyPair(bytes(range(64)))
HEAD = twox128(KEYS.public) + CIPHERTEXT.to_bytes(2, "little")
MADE_BY_BITTENSOR = json.loads((Path(__file__).parents[1] / "data" / "mev_shield.json").read_text())


def seal(public: bytes, plain: bytes) -> bytes:
    """What a client sends, from what the pallet's documentation says of it."""
    shared, kem = encapsulate(public, os.urandom(32))
    nonce = os.urandom(24)
    sealed, tag = ChaCha20_Poly1305.new(key=shared, nonce=nonce).encrypt_and_digest(plain)
    return twox128(public) + len(kem).to_bytes(2, "little") + kem + nonce + sealed + tag


# the key encapsulation
@settings(max_examples=15, deadline=None)
@given(seed=st.binary(min_size=64, max_size=64), message=st.binary(min_size=32, max_size=32), at=st.integers(0, 1087))
def test_what_was_encapsulated_comes_out_and_what_was_changed_does_not(seed: bytes, message: bytes, at: int) -> None:
    keys = KeyPair(seed)
    shared, ciphertext = encapsulate(keys.public, message)
    assert (len(keys.public), len(ciphertext)) == (PUBLIC_KEY, CIPHERTEXT) == (1184, 1088)
    assert keys.decapsulate(ciphertext) == shared
    changed = ciphertext[:at] + bytes([ciphertext[at] ^ 1]) + ciphertext[at + 1 :]
    assert keys.decapsulate(changed) != shared


def test_a_ciphertext_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="1088 belong"):
        KEYS.decapsulate(bytes(1087))


def test_it_opens_what_bittensors_own_library_encrypted() -> None:
    opened = Shield(KEYS).open(bytes.fromhex(MADE_BY_BITTENSOR["ciphertext"]))
    assert opened == MADE_BY_BITTENSOR["plain"].encode()


def test_the_key_is_the_salts() -> None:
    assert Shield.of(b"a").public == Shield.of(b"a").public != Shield.of(b"b").public


@given(data=st.binary(max_size=200))
def test_no_bytes_open_that_were_not_encrypted(data: bytes) -> None:
    shield = Shield(KEYS)
    assert shield.open(data) is None
    assert shield.open(HEAD + data) is None


def test_every_changed_part_closes_it() -> None:
    shield = Shield(KEYS)
    sealed = seal(shield.public, b"plain")
    assert shield.open(sealed) == b"plain"
    for at in (0, 16, 18, 18 + CIPHERTEXT, 18 + CIPHERTEXT + 24, len(sealed) - 1):
        assert shield.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) is None
    assert shield.open(sealed[:-1]) is None


# the node
class Carriers:
    """A node that builds blocks by hand, and signed extrinsics in carriers for it."""

    def __init__(self, bench: Bench, signed: Callable[..., bytes]) -> None:
        self.bench, self.signed = bench, signed
        self.node = Node(bench.chain, production="manual")

    def transfer(self, key: Keypair, nonce: int, **options: Any) -> bytes:
        call = self.bench.call("Balances", "transfer_keep_alive", dest=("Id", self.bench.charlie), value=10**9)
        return self.signed(self.bench.chain, key, call, nonce, **options)

    def carrier(self, key: Keypair, nonce: int, plain: bytes) -> bytes:
        public = self.bench.state.get(MevShield.NextKey)
        assert public is not None
        call = self.bench.call("MevShield", "submit_encrypted", ciphertext=seal(public, plain))
        return self.signed(self.bench.chain, key, call, nonce)

    def block(self, *raws: bytes) -> list[bytes]:
        """Submit these; the hashes of what the next block holds besides the time."""
        for raw in raws:
            self.node.submit(raw)
        return [blake2_256(raw) for raw in self.node.produce().extrinsics[1:]]


@pytest.fixture
def carriers(bench: Bench, signed: Callable[..., bytes]) -> Carriers:
    return Carriers(bench, signed)


def test_what_a_carrier_holds_runs_right_behind_it(carriers: Carriers) -> None:
    inner = carriers.transfer(ALICE, 1)
    outer = carriers.carrier(ALICE, 0, inner)
    other = carriers.transfer(BOB, 0)
    assert carriers.block(outer, other) == [blake2_256(raw) for raw in (outer, inner, other)]
    assert carriers.bench.state.get(System.Account, carriers.bench.alice)["nonce"] == 2
    assert len(carriers.node.pool) == 0


@pytest.mark.parametrize("what", ["garbage", "bad signature", "used nonce", "unaffordable", "another key"])
def test_a_carrier_of_nothing_valid_runs_alone(carriers: Carriers, what: str) -> None:
    plain = {
        "garbage": b"\xff" * 40,
        "bad signature": carriers.transfer(ALICE, 1)[:-1] + b"\0",
        "used nonce": carriers.transfer(ALICE, 0),
        "unaffordable": carriers.transfer(ALICE, 1, tip=2**63),
        "another key": carriers.transfer(ALICE, 1, genesis=bytes(32)),
    }[what]
    outer = carriers.carrier(ALICE, 0, plain)
    assert carriers.block(outer) == [blake2_256(outer)]
    assert len(carriers.node.pool) == 0


def test_a_failed_call_in_a_carrier_is_included_as_any_other(carriers: Carriers) -> None:
    call = carriers.bench.call("SubtensorModule", "start_call", netuid=9)
    inner = carriers.signed(carriers.bench.chain, ALICE, call, 1)
    assert len(carriers.block(carriers.carrier(ALICE, 0, inner))) == 2
    assert carriers.bench.failure() == "SubnetNotExists"


def test_a_block_opens_so_many_and_the_rest_wait_with_what_follows_them(carriers: Carriers) -> None:
    sent = [carriers.carrier(ALICE, nonce, b"nothing") for nonce in range(MAX_OPENED)]
    sent += [carriers.carrier(BOB, 0, b"nothing"), carriers.transfer(BOB, 1), carriers.transfer(DAVE, 0)]
    first = carriers.block(*sent)
    assert first == [blake2_256(raw) for raw in [*sent[:MAX_OPENED], sent[-1]]]
    assert carriers.block() == [blake2_256(raw) for raw in sent[-3:-1]]


def test_a_restart_keeps_the_key(tmp_path: Path) -> None:
    from subnet.devnet.accounts import DEVELOPMENT
    from subnet.devnet.chain import Chain
    from subnet.devnet.context import Spec
    from subnet.devnet.state import Store

    keys = []
    for _ in range(2):
        store = Store(tmp_path / "state")
        chain = Chain(store, Spec(), DEVELOPMENT, 10**9)
        assert chain.state.get(MevShield.NextKey) == chain.shield.public
        keys.append(chain.shield.public)
        store.close()
    assert keys[0] == keys[1]
