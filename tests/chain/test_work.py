"""Proof of work: seals by hand, searches that end."""

from __future__ import annotations

from hashlib import sha256
from threading import Event

import pytest
from Crypto.Hash import keccak

from subnet.chain.work import Order, Task, bind, meets, seal, solve
from subnet.keys import load_key

BLOCK = "0x" + "11" * 32
HOTKEY = load_key("//Alice").public_key


def test_a_seal_by_hand() -> None:
    bound = keccak.new(digest_bits=256, data=bytes.fromhex("11" * 32) + HOTKEY).digest()
    assert bind(BLOCK, HOTKEY) == bound
    inner = sha256(bytes([2, 1, 0, 0, 0, 0, 0, 0]) + bound).digest()
    assert seal(bound, 258) == keccak.new(digest_bits=256, data=inner).digest()


@pytest.mark.parametrize(
    ("found", "difficulty", "enough"),
    [
        (b"\xff" * 32, 1, True),
        (b"\xff" * 32, 2, False),
        (b"\x7f" + b"\xff" * 31, 2, True),
        (b"\x80" + bytes(31), 2, False),
        (bytes(31) + b"\xff", 2**248, True),
    ],
)
def test_a_product_that_overflows_256_bits_is_not_enough(found: bytes, difficulty: int, enough: bool) -> None:
    assert meets(found, difficulty, "big") is enough
    assert meets(found[::-1], difficulty, "little") is enough


def task(difficulty: int, order: Order = "little") -> Task:
    return Task(7, bind(BLOCK, HOTKEY), difficulty, order, 60)


@pytest.mark.parametrize("order", ["big", "little"])
def test_a_search_finds(order: Order) -> None:
    work = solve(task(200, order), seconds=60, stop=Event())
    assert work is not None
    assert work.block == 7
    assert work.seal == seal(bind(BLOCK, HOTKEY), work.nonce)
    assert meets(work.seal, 200, order)


def test_a_search_ends() -> None:
    stop = Event()
    assert solve(task(2**255), seconds=0.01, stop=stop) is None
    stop.set()
    assert solve(task(2**255), seconds=1e9, stop=stop) is None
