"""btauth/1 against golden vectors that Bittensor SDK 11.3 made, and each way to fail it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from substrateinterface import Keypair

from subnet import auth
from subnet.errors import AuthError, BadSignature, MalformedAuth, ReplayedRequest, StaleRequest, WrongReceiver
from subnet.keys import load_key
from subnet.nonces import NonceTable

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "btauth.json").read_text())["cases"]
ALICE, BOB = Keypair.create_from_uri("//Alice"), Keypair.create_from_uri("//Bob")
NOW = 1_760_000_000_000_000_000


def claim_of(case: dict[str, Any], **changes: Any) -> auth.Caller:
    arguments: dict[str, Any] = {
        "headers": case["headers"],
        "body": base64.b64decode(case["body_b64"]),
        "method": case["method"],
        "path": case["path"],
        "self_hotkey_ss58": case["receiver"] or "nobody",
        "require_receiver": case["receiver"] is not None,
        "now_ns": case["nonce_ns"] + 10**9,
        "nonce_store": NonceTable(),
    } | changes
    return auth.verify(arguments.pop("headers"), arguments.pop("body"), **arguments)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["headers"]["X-Bittensor-Nonce"][-6:])
def test_what_the_sdk_signed_verifies(case: dict[str, Any]) -> None:
    caller = claim_of(case)
    assert caller.hotkey == caller.hotkey_ss58 == case["headers"]["X-Bittensor-Hotkey"]
    assert caller.nonce_ns == case["nonce_ns"]
    for change in ({"body": b"other"}, {"path": case["path"] + "x"}, {"method": "PATCH"}):
        with pytest.raises(BadSignature):
            claim_of(case, **change)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["headers"]["X-Bittensor-Nonce"][-6:])
def test_we_sign_what_the_sdk_signs(case: dict[str, Any]) -> None:
    scheme = case["headers"].get("X-Bittensor-Crypto", "sr25519")
    key = load_key(case["uri"], scheme=scheme)
    assert key.ss58_address == case["headers"]["X-Bittensor-Hotkey"]
    body = base64.b64decode(case["body_b64"])
    payload = auth.build_payload(
        scheme=scheme,
        method=case["method"],
        path=case["path"],
        body=body,
        nonce_ns=case["nonce_ns"],
        sender_ss58=key.ss58_address,
        receiver_ss58=case["receiver"],
    )
    assert payload.decode() == case["payload"]
    made = auth.sign(
        key,
        method=case["method"],
        path=case["path"],
        body=body,
        receiver_ss58=case["receiver"],
        nonce_ns=case["nonce_ns"],
    )
    if scheme == "ed25519":  # deterministic, so the very headers
        assert made == case["headers"]
    else:
        assert made.keys() == case["headers"].keys()
        assert claim_of(case | {"headers": made}).hotkey == key.ss58_address


def request(**changes: Any) -> dict[str, Any]:
    headers = auth.sign(ALICE, method="POST", path="/x", body=b"b", receiver_ss58=BOB.ss58_address, nonce_ns=NOW)
    return {
        "headers": headers | changes.pop("headers", {}),
        "body": b"b",
        "method": "POST",
        "path": "/x",
        "self_hotkey_ss58": BOB.ss58_address,
        "now_ns": NOW,
        "nonce_store": NonceTable(),
    } | changes


def check(**changes: Any) -> auth.Caller:
    arguments = request(**changes)
    return auth.verify(arguments.pop("headers"), arguments.pop("body"), **arguments)


@pytest.mark.parametrize(
    ("age_ns", "fresh"),
    [(10_000_000_000, True), (10_000_000_001, False), (-2_000_000_000, True), (-2_000_000_001, False)],
)
def test_the_window_is_inclusive_to_the_nanosecond(age_ns: int, fresh: bool) -> None:
    if fresh:
        assert check(now_ns=NOW + age_ns).hotkey == ALICE.ss58_address
    else:
        with pytest.raises(StaleRequest):
            check(now_ns=NOW + age_ns)


def test_a_second_use_is_a_replay() -> None:
    store = NonceTable()
    check(nonce_store=store)
    with pytest.raises(ReplayedRequest):
        check(nonce_store=store)


def test_the_same_key_under_another_prefix_is_the_same_caller() -> None:
    store = NonceTable()
    key = Keypair.create_from_uri("//Alice", ss58_format=0)
    headers = auth.sign(key, method="POST", path="/x", body=b"b", receiver_ss58=BOB.ss58_address, nonce_ns=NOW)
    assert headers["X-Bittensor-Hotkey"] != ALICE.ss58_address
    assert check(headers=headers, nonce_store=store).hotkey == ALICE.ss58_address
    with pytest.raises(ReplayedRequest):  # or one key could use each nonce once a prefix
        check(nonce_store=store)


@pytest.mark.parametrize("receiver", [ALICE.ss58_address, "-", ""])
def test_a_request_for_another_is_refused(receiver: str) -> None:
    with pytest.raises(WrongReceiver):
        check(headers={"X-Bittensor-Receiver": receiver})


def test_a_request_for_nobody_is_refused_unless_allowed() -> None:
    headers = auth.sign(ALICE, method="POST", path="/x", body=b"b", nonce_ns=NOW)
    arguments = request()
    arguments["headers"] = headers
    with pytest.raises(WrongReceiver):
        auth.verify(arguments.pop("headers"), arguments.pop("body"), **arguments)
    arguments = request() | {"require_receiver": False}
    del arguments["headers"]
    assert auth.verify(headers, arguments.pop("body"), **arguments).hotkey == ALICE.ss58_address


@pytest.mark.parametrize(
    "broken",
    [
        {"X-Bittensor-Version": "2"},
        {"X-Bittensor-Version": ""},
        {"X-Bittensor-Hotkey": ""},
        {"X-Bittensor-Hotkey": "5Grw"},
        {"X-Bittensor-Hotkey": "5" * 5000},
        {"X-Bittensor-Hotkey": ALICE.ss58_address + " "},
        {"X-Bittensor-Hotkey": ALICE.ss58_address[:-1] + "1"},
        {"X-Bittensor-Nonce": "soon"},
        {"X-Bittensor-Nonce": "1e18"},
        {"X-Bittensor-Crypto": "ecdsa"},
        {"X-Bittensor-Signature": "0xzz"},
        {"X-Bittensor-Signature": "0x" + "00" * 63},
    ],
)
def test_headers_that_make_no_sense(broken: dict[str, str]) -> None:
    with pytest.raises(MalformedAuth):
        check(headers=broken)


@pytest.mark.parametrize("missing", ["Version", "Hotkey", "Nonce", "Signature"])
def test_headers_that_are_missing(missing: str) -> None:
    arguments = request()
    del arguments["headers"][f"X-Bittensor-{missing}"]
    with pytest.raises(MalformedAuth):
        auth.verify(arguments.pop("headers"), arguments.pop("body"), **arguments)


def test_a_huge_nonce_costs_nothing() -> None:
    with pytest.raises(MalformedAuth):
        check(headers={"X-Bittensor-Nonce": "9" * 5000})


def test_only_the_declared_scheme_is_tried() -> None:
    with pytest.raises(BadSignature):
        check(headers={"X-Bittensor-Crypto": "ed25519"})


@pytest.mark.parametrize("signature", ["00" * 64, "00" * 63 + "80", "ff" * 64])
@pytest.mark.parametrize("scheme", ["sr25519", "ed25519"])
def test_the_account_of_nobody_signs_nothing(signature: str, scheme: str) -> None:
    """32 zero bytes are the curve's neutral point; both libraries accept a signature that anyone can make."""
    from subnet.keys import ss58_of

    with pytest.raises(BadSignature):
        check(
            headers={
                "X-Bittensor-Hotkey": ss58_of(bytes(32)),
                "X-Bittensor-Signature": "0x" + signature,
                "X-Bittensor-Crypto": scheme,
            }
        )


def test_errors_do_not_echo_what_was_sent() -> None:
    with pytest.raises(AuthError) as caught:
        check(headers={"X-Bittensor-Signature": "0xdeadbeef", "X-Bittensor-Nonce": "injected"})
    assert "deadbeef" not in str(caught.value)
    assert "injected" not in str(caught.value)


def test_a_store_that_forgets_too_soon_is_refused() -> None:
    with pytest.raises(ValueError, match="remembers"):
        check(max_age=60.0)
    with pytest.raises(ValueError, match="remembers"):
        check(max_age=60.0, nonce_store=auth.InMemoryNonceStore())
    assert check(max_age=58.0, nonce_store=auth.InMemoryNonceStore()).crypto_type == 1


_KEYS = [load_key("//Fuzzer", scheme=scheme) for scheme in ("sr25519", "ed25519")]
_ANY = st.text(max_size=140) | st.binary(max_size=70).map(bytes.hex) | st.integers(-(2**80), 2**80).map(str)


@given(st.data())
def test_a_changed_byte_or_word_anywhere_is_one_of_the_five_errors(data: st.DataObject) -> None:
    """Of method, path, body and every header; what is not changed verifies."""
    key = data.draw(st.sampled_from(_KEYS))
    now = 1_760_000_000_000_000_000
    said: dict[str, Any] = {"method": "POST", "path": "/Classify?a=1", "body": b"\x81\xa1n\x01"}
    headers = auth.sign(key, **said, receiver_ss58=BOB.ss58_address, nonce_ns=now)
    sent = said | {"headers": dict(headers)}
    place = data.draw(st.sampled_from(["nothing", "method", "path", "body", *headers]))
    if place in headers:
        old = headers[place]
        new = data.draw(
            _ANY | st.integers(0, len(old) - 1).map(lambda i: old[:i] + chr(ord(old[i]) ^ 1) + old[i + 1 :])
        )
        sent["headers"][place] = new
    elif place != "nothing":
        old = said[place]
        new = data.draw(st.binary(max_size=40) if isinstance(old, bytes) else st.text(max_size=40))
        sent[place] = new
    else:
        old = new = ""

    def verified() -> auth.Caller:
        return auth.verify(
            sent["headers"],
            sent["body"],
            method=sent["method"],
            path=sent["path"],
            self_hotkey_ss58=BOB.ss58_address,
            nonce_store=NonceTable(capacity=64),
            now_ns=now,
        )

    if new == old:
        assert verified().nonce_ns == now
    elif place == auth.HEADER_SIGNATURE and new.lower().removeprefix("0x") == old.lower().removeprefix("0x"):
        assert verified().nonce_ns == now  # hex has no case, and 0x may be left out
    elif place == "method" and new.upper() == old:
        assert verified().nonce_ns == now  # it is signed in capitals
    else:
        with pytest.raises(AuthError):
            verified()
