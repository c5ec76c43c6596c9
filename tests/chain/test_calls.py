"""Calls as values: what they name, and what can't be meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from subnet.chain import calls
from subnet.chain.calls import Call
from subnet.keys import load_key

ALICE, BOB = (load_key(uri).ss58_address for uri in ("//Alice", "//Bob"))
WHOLE = 2**64 - 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: calls.transfer("nobody", 1), "ss58"),
        (lambda: calls.transfer(ALICE, 0), "can't be moved"),
        (lambda: calls.add_stake(ALICE, 1, -1), "can't be moved"),
        (lambda: calls.remove_stake(ALICE, 1, 2**64), "can't be moved"),
        (lambda: calls.serve_axon(1, "localhost", 80), "address"),
        (lambda: calls.serve_axon(1, "::1", 80, certificate=b""), "65 bytes"),
        (lambda: calls.serve_axon(1, "::1", 80, certificate=bytes(66)), "65 bytes"),
        (lambda: calls.serve_prometheus(1, "x", 80), "address"),
        (lambda: calls.set_commitment(1, bytes(129)), "128 bytes"),
        (lambda: calls.set_children(ALICE, 1, {BOB: 1.1}), "at most 1"),
        (lambda: calls.set_children(ALICE, 1, {BOB: 0.0}), "positive"),
        (lambda: calls.set_children(ALICE, 1, {BOB: -0.5, ALICE: 0.5}), "positive"),
        (lambda: calls.set_identity(nick="x"), "nick"),
        (lambda: calls.set_subnet_identity(1, name="x"), "name"),
        (lambda: calls.batch([]), "at least one"),
    ],
)
def test_what_can_t_be_meant(make: Callable[[], Call], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    ("ip", "number", "kind"),
    [("203.0.113.7", 0xCB007107, 4), ("::1", 1, 6), ("2001:db8::7", 0x20010DB8000000000000000000000007, 6)],
)
def test_addresses_of_both_kinds(ip: str, number: int, kind: int) -> None:
    for call in (calls.serve_axon(1, ip, 80), calls.serve_prometheus(1, ip, 80)):
        assert (call.params["ip"], call.params["ip_type"]) == (number, kind)


def test_a_certificate_makes_it_the_tls_call() -> None:
    call = calls.serve_axon(1, "203.0.113.7", 80, certificate=b"\x01key")
    assert call.function == "serve_axon_tls"
    assert call.params["certificate"] == "0x016b6579"


def test_shares_are_parts_of_a_u64() -> None:
    def shares(children: dict[str, float]) -> list[int]:
        return [share for share, _ in calls.set_children(ALICE, 1, children).params["children"]]

    assert shares({BOB: 1.0}) == [WHOLE]
    assert shares({BOB: 0.5}) == [WHOLE // 2]
    assert shares({}) == []
    many = {load_key(f"//Child{i}").ss58_address: 0.1 for i in range(10)}
    assert sum(many.values()) != 1.0
    assert sum(shares(many)) <= WHOLE


def test_text_that_looks_like_hex_stays_text() -> None:
    assert calls.set_identity(name="0x41").params["name"] == "0x30783431"
    assert calls.set_commitment(1, "0x41").params["info"] == {"fields": [[{"Raw4": "0x30783431"}]]}


def test_a_limit_makes_it_the_limited_call() -> None:
    assert calls.add_stake(ALICE, 1, 5).function == "add_stake"
    limited = calls.remove_stake(ALICE, 1, 5, limit_price=10**9, allow_partial=True)
    assert limited.function == "remove_stake_limit"
    assert (limited.params["limit_price"], limited.params["allow_partial"]) == (10**9, True)


def test_every_address_is_written_the_chain_s_way() -> None:
    from scalecodec.utils.ss58 import ss58_encode

    other = ss58_encode(load_key("//Alice").public_key, 0)
    assert other != ALICE
    assert calls.transfer(other, 1).params["dest"] == ALICE
    assert calls.set_children(ALICE, 1, {other: 0.5}).params["children"][0][1] == ALICE
