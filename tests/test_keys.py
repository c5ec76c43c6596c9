"""Keys: where they come from, how addresses are written, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from substrateinterface import Keypair

from subnet.errors import KeyfileError
from subnet.keys import (
    canonical_ss58,
    load_coldkey,
    load_hotkey,
    load_key,
    public_key_of,
    read_keyfile,
    scheme_of,
    sign_bytes,
    ss58_of,
    verify_bytes,
)

ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"  # Substrate's well-known development account
ALICE_SEED = "0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a"
MNEMONIC = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"


def test_every_way_to_name_a_key() -> None:
    assert load_key("//Alice").ss58_address == ALICE
    assert load_key(ALICE_SEED).ss58_address == ALICE
    assert load_key(MNEMONIC).ss58_address == Keypair.create_from_mnemonic(MNEMONIC).ss58_address
    # sp_core's own test vector for //Alice under ed25519
    assert load_key("//Alice", scheme="ed25519").ss58_address == "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"


@pytest.mark.parametrize(
    "text",
    [
        "0x12",
        "0xzz",
        "zoo key",
        " ".join(["zoo"] * 12),
        " ".join(["zoo"] * 11),
        " ".join(["zoo"] * 11) + "//0",
        "abc200" * 10 + "abcd",  # a seed without its 0x
        '{"secretSeed":"0xzoo"}',
        "zoo" * 2000,
        "",
    ],
)
@pytest.mark.parametrize("scheme", ["sr25519", "ed25519"])
def test_what_is_no_key_is_refused_without_repeating_it(text: str, scheme: str) -> None:
    with pytest.raises(KeyfileError) as caught:
        load_key(text, scheme=scheme)
    assert "zoo" not in str(caught.value)
    assert "abc200" not in str(caught.value)


@pytest.mark.parametrize("text", ["/no/such/file", "./no/such/file", "~/no/such/file", "~nobody-of-this-name/x"])
def test_a_path_that_leads_nowhere_is_no_key_that_everybody_can_derive(text: str) -> None:
    with pytest.raises(KeyfileError, match="No such file"):
        load_key(text)


def keyfile(folder: Path, **fields: object) -> Path:
    path = folder / "key"
    path.write_text(json.dumps(fields))
    return path


def test_the_ecosystems_keyfiles(tmp_path: Path) -> None:
    hotkeys = tmp_path / "w" / "hotkeys"
    hotkeys.mkdir(parents=True)
    (hotkeys / "h").write_text(json.dumps({"secretSeed": ALICE_SEED, "ss58Address": ALICE, "secretPhrase": None}))
    (tmp_path / "w" / "coldkey").write_text(json.dumps({"secretPhrase": MNEMONIC}))
    assert load_hotkey("w", "h", str(tmp_path)).ss58_address == ALICE
    assert load_coldkey("w", str(tmp_path)).ss58_address == load_key(MNEMONIC).ss58_address
    key = load_key("//Alice")
    private = keyfile(tmp_path, privateKey="0x" + key.private_key.hex(), publicKey="0x" + key.public_key.hex())
    assert read_keyfile(private).ss58_address == ALICE
    assert load_key(str(private)).ss58_address == ALICE


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"$NACL\x00\x01", "encrypted"),
        (b"$ANSIBLE_VAULT;1.1", "encrypted"),
        (b"not json", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"publicKey": "0x00"}', "no secret"),
        (b'{"secretSeed": "0x12"}', "can't be read"),
        (b'{"secretSeed": 5}', "can't be read"),
        (json.dumps({"secretSeed": ALICE_SEED, "ss58Address": "5F..."}).encode(), "belongs to"),
        (b"x" * 100_000, "no keyfile"),
    ],
)
def test_keyfiles_that_cannot_be_used_say_why(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(KeyfileError, match=says) as caught:
        read_keyfile(path)
    assert ALICE_SEED not in str(caught.value)


def test_a_fifo_or_folder_is_no_keyfile(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(KeyfileError):
            read_keyfile(path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\0b"])
def test_names_that_leave_the_wallet(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyfileError, match="no name"):
        load_hotkey(name, "h", str(tmp_path))
    with pytest.raises(KeyfileError, match="no name"):
        load_hotkey("w", name, str(tmp_path))


@given(st.binary(min_size=32, max_size=32), st.sampled_from([0, 2, 42, 1000]))
def test_one_key_has_one_canonical_address(public: bytes, prefix: int) -> None:
    from scalecodec.utils.ss58 import ss58_encode

    address = ss58_encode(public, prefix)
    assert public_key_of(address) == public
    assert canonical_ss58(address) == ss58_of(public) == ss58_encode(public, 42)


@given(st.text(max_size=60))
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        public_key_of(text)


@pytest.mark.parametrize("scheme", ["sr25519", "ed25519"])
def test_signatures_hold_for_the_exact_bytes_and_scheme(scheme: str) -> None:
    key = load_key("//Alice", scheme=scheme)
    assert scheme_of(key) == scheme
    signature = sign_bytes(key, b"message")
    assert verify_bytes(scheme, key.public_key, b"message", signature)
    assert not verify_bytes(scheme, key.public_key, b"<Bytes>message</Bytes>", signature)
    wrapped = sign_bytes(key, b"<Bytes>message</Bytes>")  # Keypair.verify would take it for b"message"
    assert not verify_bytes(scheme, key.public_key, b"message", wrapped)
    other = {"sr25519": "ed25519", "ed25519": "sr25519"}[scheme]
    assert not verify_bytes(other, key.public_key, b"message", signature)


@given(st.sampled_from(["sr25519", "ed25519", "ecdsa", ""]), st.binary(max_size=70), st.binary(max_size=70))
def test_garbage_never_verifies_and_never_raises(scheme: str, public: bytes, signature: bytes) -> None:
    assert verify_bytes(scheme, public, b"m", signature) is False


def test_a_key_without_its_secret_cannot_sign() -> None:
    with pytest.raises(KeyfileError, match="no private key"):
        sign_bytes(Keypair(ss58_address=ALICE), b"m")
