"""Time-locked commits: what is encrypted, to which round, and that the beacon opens it.

Round 1000 of drand's quicknet was published on 2023-08-23; with its signature, ciphertexts to that
round can be opened here, offline.
"""

from __future__ import annotations

import builtins
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.chain import timelock
from subnet.chain.scale import Cursor
from subnet.chain.timelock import QUICKNET_GENESIS, QUICKNET_PERIOD, Schedule, lock, payload
from subnet.errors import MissingExtra
from subnet.keys import load_key

drand = pytest.importorskip("bittensor_drand", reason="the extra drand is not installed")

ALICE = load_key("//Alice").ss58_address
PUBLIC = load_key("//Alice").public_key
ROUND = 1000
SIGNATURE = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"
LAYOUT = "80" + PUBLIC.hex() + "08" + "00000100" + "08" + "6400ffff" + "0700000000000000"


def opened(commit: bytes) -> bytes:
    """What a commit to round 1000 holds; the library wants its own envelope around it."""
    envelope = timelock.compact(len(commit)) + commit + ROUND.to_bytes(8, "little")
    return bytes(drand.decrypt_with_signature(envelope, SIGNATURE))


def test_the_layout() -> None:
    assert payload(ALICE, [0, 1], [100, 65535], 7).hex() == LAYOUT
    assert payload(None, [0, 1], [100, 65535], 7).hex() == LAYOUT[66:]


def test_the_beacon_opens_it() -> None:
    data = payload(ALICE, list(range(256)), [65535] * 256, 7)
    commit = lock(data, ROUND)
    assert len(commit) < timelock.MAX_COMMIT
    assert opened(commit) == data


def test_the_library_s_own_commit_holds_the_same() -> None:
    """Its only entry chooses the round by the clock; a block time below zero leads it back to round 1000."""
    took = QUICKNET_PERIOD
    while took > QUICKNET_PERIOD / 3:  # its clock was read in the same round as ours
        began = time.time()
        back = (began - QUICKNET_GENESIS - QUICKNET_PERIOD * (ROUND + 0.5)) / 33
        commit, found = drand.get_encrypted_commit_v2([0, 1], [100, 65535], 7, 100, 0, 0, 50, 0, 120, 1, -back, PUBLIC)
        took = time.time() - began
    assert found == ROUND
    assert opened(commit).hex() == LAYOUT


@given(
    st.integers(1, 400),
    st.integers(1, 10_000),
    st.integers(0, 600),
    st.integers(0, 700),
    st.integers(1, 3),
)
@settings(max_examples=60)
def test_the_reveal_block_is_the_library_s(tempo: int, last: int, since: int, asked: int, period: int) -> None:
    """A block time of 3000 s makes a thousand rounds of each block, so the round tells the block."""
    block, pending = last + since, last + asked if asked > since else 0
    state = (last, pending, 5, tempo, since, block, period)
    _, found = drand.get_encrypted_commit_v2([0], [1], 0, *state, 3000.0, PUBLIC)
    now = (time.time() - QUICKNET_GENESIS) / QUICKNET_PERIOD
    schedule = Schedule(1, block, tempo, period, last_epoch=last, pending_epoch=pending)
    assert round((found - now) / 1000) + block - timelock.INGEST == schedule.reveal_block()


def test_reveal_blocks_of_runtimes_that_count_by_modulo() -> None:
    """An epoch's number is (block + netuid + 1) // (tempo + 1), as of the block in which the commit lands."""
    assert Schedule(1, 1000, 99, 1).reveal_block() == 1098
    assert Schedule(1, 1097, 99, 1).reveal_block() == 1198  # lands in 1098, the first block of the next epoch
    assert Schedule(1, 1000, 99, 2).reveal_block() == 1198


def test_the_round_is_out_three_blocks_into_the_epoch() -> None:
    schedule = Schedule(1, 1000, 99, 1, block_seconds=12.0)
    now = QUICKNET_GENESIS + 3000.0
    assert schedule.reveal_round(now) == (3000 + (98 + timelock.INGEST) * 12) // 3
    assert schedule.reveal_round(0.0) == 1


def test_without_the_extra_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "bittensor_drand":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingExtra, match="bittensor-drand") as caught:
        lock(b"weights", ROUND)
    assert "pip install 'subnetkit[drand]'" in caught.value.remedy


def test_a_commit_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="5000"):
        lock(bytes(timelock.MAX_COMMIT), ROUND)


def test_the_envelope_is_taken_off() -> None:
    wrapped, _ = drand.encrypt_at_round(b"weights", ROUND)
    cursor = Cursor(bytes(wrapped))
    assert opened(cursor.blob()) == b"weights"
    assert int.from_bytes(cursor.take(8), "little") == ROUND
    cursor.finish()
