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
from subnet.devnet.extrinsic import MAX_EXTRINSIC, Envelope, Extrinsic
from subnet.devnet.pool import Pool
from subnet.devnet.rpc import RpcError
from subnet.devnet.runtime import BASE_WEIGHT
from tests.devnet.conftest import sign

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


@pytest.mark.parametrize("lie", [{"genesis": b"\1" * 32}, {"spec_version": 293}, {"transaction_version": 9}])
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


def test_a_block_is_bounded_by_weight_and_bytes(
    pool: Pool, signed: Sign, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = bench.chain
    inner = bench.call("System", "remark", remark=b"")
    for nonce in range(3):
        pool.submit(signed(chain, ALICE, bench.call("Utility", "batch", calls=[inner] * 9), nonce))
    monkeypatch.setattr(pools, "MAX_BLOCK_WEIGHT", 25 * BASE_WEIGHT)
    assert [one.nonce for one in pool.ready()] == [0, 1]
    monkeypatch.setattr(pools, "MAX_BLOCK_BYTES", len(pool.ready()[0].raw))
    assert [one.nonce for one in pool.ready()] == [0]


def test_more_calls_than_a_block_holds_are_refused(pool: Pool, signed: Sign, bench: Any) -> None:
    inner = bench.call("System", "remark", remark=b"")
    many = bench.call("Utility", "batch", calls=[inner] * 1000)
    heavy = bench.call("Utility", "batch", calls=[many] * 12)
    assert refusal(pool, signed(bench.chain, ALICE, heavy, 0)) == (1010, pools.EXHAUSTS)
    pool.submit(signed(bench.chain, ALICE, bench.call("Utility", "batch", calls=[many] * 11), 0))


def test_a_free_batch_weighs_as_much_as_its_items(pool: Pool, signed: Sign, bench: Any) -> None:
    nobody = Keypair.create_from_uri("//nobody")
    args: dict[str, Any] = {"netuids": [1] * 2000, "commit_hashes": [bytes(32)] * 2000}
    raw = signed(bench.chain, nobody, bench.call("SubtensorModule", "batch_commit_weights", **args), 0)
    assert len(raw) > pools.MAX_FREE
    assert refusal(pool, raw) == (1010, pools.EXHAUSTS)
    args = {"netuids": [1] * 12_001, "weights": [[]] * 12_001, "version_keys": [0] * 12_001}
    raw = signed(bench.chain, nobody, bench.call("SubtensorModule", "batch_set_weights", **args), 0)
    assert refusal(pool, raw) == (1010, pools.EXHAUSTS)


def test_a_call_is_decoded_for_its_signer_only(
    pool: Pool, signed: Sign, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = bench.call("Utility", "batch", calls=[bench.call("System", "remark", remark=b"")] * 1000)
    forged, unknown, poor = (bytearray(signed(bench.chain, ALICE, many, 0)) for _ in range(3))
    forged[50] ^= 1
    unknown[-len(many.raw)] = 250  # no such pallet
    poor = bytearray(signed(bench.chain, Keypair.create_from_uri("//poor"), many, 0))

    def decoded(envelope: Envelope) -> Extrinsic:
        raise AssertionError("decoded")

    monkeypatch.setattr(Envelope, "open", decoded)
    assert refusal(pool, bytes(forged)) == (1010, pools.BAD_PROOF)
    assert refusal(pool, bytes(unknown)) == (1002, "no such pallet")
    assert refusal(pool, bytes(poor)) == (1010, pools.PAYMENT)


def test_a_longer_one_than_the_limit_is_refused(pool: Pool, signed: Sign, bench: Any) -> None:
    long = bench.call("System", "remark", remark=bytes(MAX_EXTRINSIC))
    assert refusal(pool, signed(bench.chain, ALICE, long, 0))[0] == 1002


def test_an_ancient_birth(pool: Pool, signed: Sign, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.blocks(10)
    era = (0x21).to_bytes(2, "little")  # born at 10
    raw = signed(bench.chain, ALICE, transfer(bench.chain), 0, era=(era, bench.chain.hash_of(10)))
    monkeypatch.setattr(pools, "BLOCK_HASH_COUNT", 0)
    assert refusal(pool, raw) == (1010, pools.ANCIENT)


def custom(pool: Pool, bench: Any, who: Keypair, name: str, **args: Any) -> int:
    """The code of the pool's refusal."""
    raw = sign(bench.chain, who, bench.call("SubtensorModule", name, **args), pool.nonce(who.public_key))
    with pytest.raises(RpcError) as caught:
        pool.submit(raw)
    assert caught.value.code == 1010
    return int(str(caught.value.data).removeprefix("Custom error: "))


def test_the_codes_of_what_subtensor_refuses_at_once(pool: Pool, bench: Any) -> None:
    keys = {name: Keypair.create_from_uri(f"//{name}") for name in ("Hot", "Other")}
    hot, other = keys["Hot"], keys["Other"]
    bench.subnet()
    call = {"netuid": 1, "hotkey": hot.public_key}
    assert bench.send(bench.bob, "SubtensorModule", "burned_register", **call) is None
    axon = {"netuid": 1, "version": 1, "ip": 1 << 25, "port": 80, "ip_type": 4, "protocol": 4}
    axon |= {"placeholder1": 0, "placeholder2": 0}
    weights = {"netuid": 1, "dests": [0], "weights": [1], "version_key": 0}
    reveal = {"netuid": 1, "uids": [0], "values": [1], "salt": [1], "version_key": 0}
    assert custom(pool, bench, other, "serve_axon", **axon) == 10
    assert custom(pool, bench, hot, "serve_axon", **{**axon, "ip": 2**32 - 1}) == 11
    assert custom(pool, bench, hot, "serve_axon", **{**axon, "port": 0}) == 13
    assert custom(pool, bench, hot, "serve_axon", **{**axon, "ip_type": 5}) == 255
    assert custom(pool, bench, hot, "reveal_weights", **reveal) == 16
    take = {"hotkey": hot.public_key, "take": 11_797}
    assert custom(pool, bench, hot, "increase_take", **take) == 27
    assert custom(pool, bench, hot, "increase_take", **{**take, "take": 1}) == 25
    lengths = {"netuids": [1], "weights": [], "version_keys": [0]}
    assert custom(pool, bench, hot, "batch_set_weights", **lengths) == 18
    assert bench.send(hot.public_key, "SubtensorModule", "serve_axon", **axon) is None
    assert custom(pool, bench, hot, "serve_axon", **axon) == 12
    assert bench.sudo("sudo_set_weights_set_rate_limit", netuid=1, weights_set_rate_limit=100) is None
    assert custom(pool, bench, hot, "set_weights", **weights) == 6
    assert bench.sudo("sudo_set_stake_threshold", min_stake=1) is None
    assert custom(pool, bench, hot, "set_weights", **weights) == 1
    assert custom(pool, bench, Keypair.create_from_uri("//Bob"), "register_network", hotkey=other.public_key) == 6
