"""The pool: every reason a Substrate node has to refuse an extrinsic, in its own words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from substrateinterface import Keypair, KeypairType

from subnet.devnet import pool as pools
from subnet.devnet.chain import Chain
from subnet.devnet.pool import Pool
from subnet.devnet.rpc import RpcError

ALICE = Keypair.create_from_uri("//Alice")
Sign = Callable[..., bytes]
TAO = 10**9


@pytest.fixture
def pool(bench: Any) -> Pool:
    return Pool(bench.chain)


def transfer(chain: Chain, value: int = TAO) -> Any:
    return chain.runtime.call("Balances", "transfer_keep_alive", dest=("Id", b"\7" * 32), value=value)


def refusal(pool: Pool, raw: bytes) -> tuple[int, Any]:
    with pytest.raises(RpcError) as caught:
        pool.submit(raw)
    return caught.value.code, caught.value.data


def build(pool: Pool) -> None:
    pool.chain.build(one for one in pool.ready() if pool.still_valid(one))
    for extrinsic in pool.stale():
        pool.remove(extrinsic)


@pytest.mark.parametrize("kind", [KeypairType.SR25519, KeypairType.ED25519])
def test_both_signature_schemes_are_taken(pool: Pool, signed: Sign, bench: Any, kind: int) -> None:
    key = Keypair.create_from_seed("0x" + "5a" * 32, crypto_type=kind)
    call = bench.call("Balances", "transfer_allow_death", dest=("Id", key.public_key), value=5 * TAO)
    bench.chain.build([bench.extrinsic(bench.bob, call)])
    raw = signed(bench.chain, key, transfer(bench.chain), 0)
    pool.submit(raw)
    build(pool)
    assert bench.failure() is None
    assert pool.nonce(key.public_key) == 1


def test_a_long_payload_is_signed_by_its_hash(pool: Pool, signed: Sign, bench: Any) -> None:
    call = bench.call("System", "remark_with_event", remark=b"r" * 1000)
    pool.submit(signed(bench.chain, ALICE, call, 0))
    build(pool)
    assert [event for event, _ in bench.events("System")].count("Remarked") == 1


def test_a_flipped_bit_is_a_bad_signature(pool: Pool, signed: Sign, bench: Any) -> None:
    raw = bytearray(signed(bench.chain, ALICE, transfer(bench.chain), 0))
    raw[-1] ^= 1  # the amount
    assert refusal(pool, bytes(raw)) == (1010, pools.BAD_PROOF)


@pytest.mark.parametrize("lie", [{"genesis": b"\1" * 32}, {"spec_version": 293}])
def test_another_chain_or_version_is_a_bad_signature(pool: Pool, signed: Sign, bench: Any, lie: dict[str, Any]) -> None:
    assert refusal(pool, signed(bench.chain, ALICE, transfer(bench.chain), 0, **lie)) == (1010, pools.BAD_PROOF)


def test_nonces(pool: Pool, signed: Sign, bench: Any) -> None:
    chain = bench.chain
    pool.submit(signed(chain, ALICE, transfer(chain), 0))
    assert pool.next_nonce(bench.alice) == 1
    build(pool)
    assert refusal(pool, signed(chain, ALICE, transfer(chain), 0)) == (1010, pools.STALE)
    later = pool.submit(signed(chain, ALICE, transfer(chain), 2))[0]
    assert not pool.is_ready(later)
    assert pool.ready() == []
    pool.submit(signed(chain, ALICE, transfer(chain), 1))
    assert [one.nonce for one in pool.ready()] == [1, 2]
    too_far = signed(chain, ALICE, transfer(chain), 2 + pools.MAX_AHEAD)
    assert refusal(pool, too_far) == (1010, pools.FUTURE)


def test_the_same_twice_and_a_better_offer(pool: Pool, signed: Sign, bench: Any) -> None:
    raw = signed(bench.chain, ALICE, transfer(bench.chain), 0)
    first, _ = pool.submit(raw)
    assert refusal(pool, raw) == (1013, f"(0x{first.hash.hex()})")
    assert refusal(pool, signed(bench.chain, ALICE, transfer(bench.chain, 2 * TAO), 0))[0] == 1014
    better, replaced = pool.submit(signed(bench.chain, ALICE, transfer(bench.chain), 0, tip=5))
    assert replaced is first
    assert pool.ready() == [better]


def test_eras(pool: Pool, signed: Sign, bench: Any) -> None:
    chain = bench.chain
    bench.blocks(10)
    era = (0x21).to_bytes(2, "little")  # period 4, phase 2: born at 10
    raw = signed(chain, ALICE, transfer(chain), 0, era=(era, chain.hash_of(10)))
    pool.submit(raw)
    pool.remove(pool.ready()[0])
    bench.blocks(4)  # 14 is a birth of the next cycle, whose hash was not signed
    assert refusal(pool, raw) == (1010, pools.BAD_PROOF)


def test_a_mortal_extrinsic_that_waits_too_long_is_left_out(pool: Pool, signed: Sign, bench: Any) -> None:
    chain = bench.chain
    bench.blocks(10)
    era = (0x21).to_bytes(2, "little")
    late = pool.submit(signed(chain, ALICE, transfer(chain), 0, era=(era, chain.hash_of(10))))[0]
    bench.blocks(4)
    assert not pool.still_valid(late)


def test_who_cannot_pay_is_refused(pool: Pool, signed: Sign, bench: Any) -> None:
    poor = Keypair.create_from_uri("//poor")
    assert refusal(pool, signed(bench.chain, poor, transfer(bench.chain), 0)) == (1010, pools.PAYMENT)


def test_a_call_without_fee_needs_no_balance(pool: Pool, signed: Sign, bench: Any) -> None:
    poor = Keypair.create_from_uri("//poor")
    bench.subnet()
    call = bench.call("SubtensorModule", "set_weights", netuid=1, dests=[0], weights=[1], version_key=0)
    pool.submit(signed(bench.chain, poor, call, 0))
    build(pool)
    assert bench.failure() == "HotKeyNotRegisteredInSubNet"
    assert pool.nonce(poor.public_key) == 1


def test_a_metadata_hash_is_not_looked_up(pool: Pool, signed: Sign, bench: Any) -> None:
    assert refusal(pool, signed(bench.chain, ALICE, transfer(bench.chain), 0, mode=b"\1"))[0] == 1011


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0", b"\x04\x84", b"\xff" * 300, bytes(1000), b"\x10\x04\x02\x00\x00", b"\4" * (pools.MAX_BYTES // 64)],
)
def test_garbage_is_refused(pool: Pool, raw: bytes) -> None:
    assert refusal(pool, raw)[0] == 1002


@given(st.binary(max_size=400), st.integers(0, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_extrinsic_is_refused(pool: Pool, signed: Sign, bench: Any, noise: bytes, at: int) -> None:
    raw = signed(bench.chain, ALICE, transfer(bench.chain), 0)
    damaged = raw[:at] + noise + raw[at + len(noise) :]
    if damaged != raw:
        assert refusal(pool, damaged)[0] in (1002, 1010)
    assert len(pool) == 0


def test_the_pool_is_bounded(pool: Pool, signed: Sign, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_COUNT", 2)
    for nonce in range(2):
        pool.submit(signed(bench.chain, ALICE, transfer(bench.chain), nonce))
    assert refusal(pool, signed(bench.chain, ALICE, transfer(bench.chain), 2))[0] == 1016
    build(pool)
    assert len(pool) == 0
    pool.submit(signed(bench.chain, ALICE, transfer(bench.chain), 2))


def test_a_block_is_bounded(pool: Pool, signed: Sign, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MAX_BLOCK_COUNT", 3)
    for nonce in range(5):
        pool.submit(signed(bench.chain, ALICE, transfer(bench.chain), nonce))
    assert [one.nonce for one in pool.ready()] == [0, 1, 2]
    build(pool)
    assert [one.nonce for one in pool.ready()] == [3, 4]


def test_what_waits_in_vain_is_dropped(pool: Pool, signed: Sign, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gap = pool.submit(signed(bench.chain, ALICE, transfer(bench.chain), 3))[0]
    ready = pool.submit(signed(bench.chain, ALICE, transfer(bench.chain), 0))[0]
    assert pool.overdue() == []
    monkeypatch.setattr(pools, "MAX_WAIT", -1.0)
    assert pool.overdue() == [gap]
    assert ready in pool.ready()
