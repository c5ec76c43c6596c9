"""Receipts verify offline, and a change of any byte shows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from substrateinterface import Keypair

from subnet.errors import BadReceipt
from subnet.keys import load_key
from subnet.receipts import Receipt, signed
from subnet.types import Hotkey

MINER = Keypair.create_from_uri("//Miner")
MINER_ED = load_key("//Miner", scheme="ed25519")
FIELDS: dict[str, Any] = {
    "genesis_hash": "0x" + "ab" * 32,
    "netuid": 2,
    "path": "/Classify",
    "request_digest": "11" * 32,
    "nonce_ns": 1_760_000_000_000_000_000,
    "sender": Hotkey("5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty"),
    "receiver": Hotkey(MINER.ss58_address),
    "status": 200,
    "response_digest": "22" * 32,
    "artifact": "-",
    "time_ns": 1_760_000_000_100_000_000,
    "scheme": "sr25519",
}
RECEIPT = signed(MINER, Receipt(**FIELDS))


def test_the_signed_lines_are_the_documented_ones() -> None:
    assert RECEIPT.lines().decode().split("\n") == [
        "subnet-receipt/1",
        "0x" + "ab" * 32,
        "2",
        "/Classify",
        "11" * 32,
        "1760000000000000000",
        "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty",
        MINER.ss58_address,
        "200",
        "22" * 32,
        "-",
        "1760000000100000000",
    ]


def test_a_receipt_verifies_from_its_bytes_alone() -> None:
    back = Receipt.from_bytes(RECEIPT.to_bytes())
    assert back == RECEIPT
    back.verify()


def test_ed25519_miners_sign_too() -> None:
    receipt = signed(MINER_ED, Receipt(**FIELDS | {"receiver": MINER_ED.ss58_address, "scheme": "ed25519"}))
    receipt.verify()
    with pytest.raises(BadReceipt):
        msgspec.structs.replace(receipt, scheme="sr25519").verify()


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_change_of_any_field_shows(field: str) -> None:
    value = FIELDS[field]
    other = value + 1 if isinstance(value, int) else "ed25519" if field == "scheme" else value + "0"
    with pytest.raises(BadReceipt):
        msgspec.structs.replace(RECEIPT, **{field: other}).verify()


def test_another_byte_anywhere_is_another_receipt_or_none() -> None:
    """Of each byte every other value: the same receipt never has two forms, so that two roots can't mean one round."""
    data = RECEIPT.to_bytes()
    for at, old in enumerate(data):
        for new in range(256):
            try:
                found = Receipt.from_bytes(data[:at] + bytes([new]) + data[at + 1 :])
            except BadReceipt:
                continue
            assert (found == RECEIPT) == (new == old), (at, new)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_of_any_byte_does_not_verify(bit: int) -> None:
    data = RECEIPT.to_bytes()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        with pytest.raises(BadReceipt):
            Receipt.from_bytes(bytes(flipped)).verify()


def test_the_header_carries_what_the_reader_lacks() -> None:
    known = {name: FIELDS[name] for name in FIELDS if name not in ("artifact", "time_ns", "scheme")}
    back = Receipt.from_header(RECEIPT.header(), **known)
    assert back == RECEIPT
    back.verify()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "1",
        "2 3 - sr25519 00",
        "1 x - sr25519 00",
        "1 3 - rsa 00",
        "1 3 - sr25519 zz",
        "1 3  sr25519 00",
        "1 " * 400,
    ],
)
def test_headers_that_are_no_receipt(header: str) -> None:
    known = {name: FIELDS[name] for name in FIELDS if name not in ("artifact", "time_ns", "scheme")}
    with pytest.raises(BadReceipt, match="malformed"):
        Receipt.from_header(header, **known)


@given(st.binary(max_size=100))
def test_random_bytes_are_no_receipt(data: bytes) -> None:
    with pytest.raises(BadReceipt):
        Receipt.from_bytes(data).verify()
