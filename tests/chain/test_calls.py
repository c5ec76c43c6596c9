"""Calls as values: what they name, and what can't be meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from subnet.chain import calls, weights
from subnet.chain.calls import Call
from subnet.chain.weights import WeightCommit
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


# Names and arguments as the recorded runtimes have them

CATALOG = json.loads((Path(__file__).parents[1] / "data/subtensor_catalog.json").read_text())["calls"]
MAIN = WeightCommit(ALICE, 1, (0,), (1,), (2,))
SECOND = WeightCommit(ALICE, 1, (0,), (1,), (2,), mechanism=1)
EVERY = [
    calls.add_stake(ALICE, 1, 1),
    calls.add_stake(ALICE, 1, 1, limit_price=1),
    calls.remove_stake(ALICE, 1, 1),
    calls.remove_stake(ALICE, 1, 1, limit_price=1),
    calls.unstake_all(ALICE),
    calls.register_network(ALICE),
    calls.start_call(1),
    calls.burned_register(1, ALICE),
    calls.register(1, ALICE, BOB, 1, 1, bytes(32)),
    calls.serve_axon(1, "::1", 1),
    calls.serve_axon(1, "::1", 1, certificate=b"1"),
    calls.serve_prometheus(1, "::1", 1),
    calls.increase_take(ALICE, 1),
    calls.decrease_take(ALICE, 1),
    calls.set_childkey_take(ALICE, 1, 1),
    calls.set_children(ALICE, 1, {}),
    calls.set_identity(),
    calls.set_subnet_identity(1),
    weights.set_weights(1, [0], [1]),
    weights.set_weights(1, [0], [1], mechanism=1),
    weights.batch_set_weights([(1, {0: 1}, 0)]),
    weights.commit_weights(MAIN),
    weights.commit_weights(SECOND),
    weights.batch_commit_weights([MAIN]),
    weights.reveal_weights(MAIN),
    weights.reveal_weights(SECOND),
    weights.batch_reveal_weights([MAIN]),
]


def recorded(version: dict[str, object]) -> list[str]:
    """The arguments' names; those of the head are written as in Rust, a tuple's parts apart."""
    args = version["args"]
    assert isinstance(args, list)
    pairs = [one if isinstance(one, list) else one.split(":") for one in args]
    named = [name for name, *kind in pairs if kind]
    return [name.strip() for name in named if not name.startswith("//")]


@pytest.mark.parametrize("call", EVERY, ids=lambda call: call.function)
@pytest.mark.parametrize("spec", ["293", "343", "head"])
def test_each_call_has_the_arguments_of_the_recorded_runtimes(call: Call, spec: str) -> None:
    known = CATALOG[call.function]
    if spec not in known:
        pytest.skip(f"spec {spec} has no {call.function}")
    wanted = recorded(known[spec])
    given = {**call.params, **{name: value for name, value in call.optional.items() if name in wanted}}
    if call.function == "register" and spec == "head":
        assert "work" not in wanted  # which is how Writer.register knows that work is not taken there
    else:
        assert sorted(given) == sorted(wanted)
