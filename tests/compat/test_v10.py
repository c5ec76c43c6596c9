"""The bridge to v10 by itself; against bittensor 10.5 it is tested in tests/clients."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from substrateinterface import Keypair

from subnet.auth import Caller
from subnet.compat.v10 import V10Axon, V10Dendrite, body_hash, signed_message
from subnet.dendrite import Failure, Ok, Reason
from subnet.errors import NotPermitted, WireError
from subnet.synapse import Message, Synapse
from subnet.types import AxonInfo, Hotkey, Neuron, Uid

MINER, CALLER = (Keypair.create_from_uri(f"//{name}") for name in ("Miner", "Caller"))


class Repeated(Message):
    repeated: str


class Repeat(Synapse[Repeated], timeout=30.0, max_request=2000):
    text: str
    times: int = 1


async def repeat(request: Repeat, caller: Caller) -> Repeated:
    if request.text == "no":
        raise NotPermitted("not that")
    return Repeated(repeated=request.text * request.times)


@pytest.fixture
async def axon() -> AsyncIterator[V10Axon]:
    async with V10Axon(MINER, repeat, hashed=("text",)) as axon:
        yield axon


def neuron(axon: V10Axon) -> Neuron:
    return Neuron(Uid(0), Hotkey(MINER.ss58_address), axon=AxonInfo("127.0.0.1", axon.port))


def headers(fields: dict[str, Any], **changes: Any) -> dict[str, str]:
    nonce = changes.pop("nonce", time.time_ns())
    digest = body_hash(fields, ("text",))
    message = signed_message(nonce, CALLER.ss58_address, MINER.ss58_address, "u", digest)
    made = {
        "timeout": "1.0",
        "bt_header_axon_hotkey": MINER.ss58_address,
        "bt_header_dendrite_nonce": str(nonce),
        "bt_header_dendrite_uuid": "u",
        "bt_header_dendrite_hotkey": CALLER.ss58_address,
        "bt_header_dendrite_signature": "0x" + CALLER.sign(message).hex(),
        "computed_body_hash": digest,
    } | changes
    return {name: value for name, value in made.items() if value is not None}


async def post(axon: V10Axon, fields: Any, said: dict[str, str], path: str = "/Repeat") -> tuple[int, dict[str, Any]]:
    url = f"http://127.0.0.1:{axon.port}{path}"
    async with aiohttp.ClientSession() as session, session.post(url, json=fields, headers=said) as response:
        return response.status, await response.json()


def test_the_hash_is_v10_s() -> None:
    """sha3-256 of nothing, and of the joined sha3-256 of each field's text (computed with bittensor 10.5)."""
    assert body_hash({}) == "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"
    assert (
        body_hash({"text": "ab", "times": 3}, ("text", "times"))
        == "b704e103115a22a6eb79f93ab241afd99d339bd61d8d18705bbb57144b31e3eb"
    )


async def test_our_two_ends_understand_each_other(axon: V10Axon) -> None:
    async with V10Dendrite[Repeated](CALLER, hashed=("text",)) as dendrite:
        (good,) = await dendrite.query([neuron(axon)], Repeat(text="ab", times=2))
        assert isinstance(good, Ok)
        assert (good.value, good.receipt) == (Repeated(repeated="abab"), None)
        (refused,) = await dendrite.query([neuron(axon)], Repeat(text="no"))
        (nobody,) = await dendrite.query([Neuron(Uid(1), Hotkey(MINER.ss58_address))], Repeat(text="ab"))
    assert isinstance(refused, Failure)
    assert refused.reason is Reason.REFUSED
    assert isinstance(nobody, Failure)
    assert nobody.reason is Reason.NO_AXON


async def test_any_order_is_served_and_each_nonce_once(axon: V10Axon) -> None:
    fields = {"text": "ab", "times": 1}
    now = time.time_ns()
    for nonce in (now, now - 1000, now + 1000):
        assert (await post(axon, fields, headers(fields, nonce=nonce)))[0] == 200
    assert (await post(axon, fields, headers(fields, nonce=now)))[0] == 401


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"bt_header_axon_hotkey": CALLER.ss58_address}, 401),
        ({"bt_header_dendrite_hotkey": MINER.ss58_address}, 401),
        ({"bt_header_dendrite_signature": "0x" + "00" * 64}, 401),
        ({"bt_header_dendrite_signature": "zz"}, 401),
        ({"bt_header_dendrite_nonce": "1"}, 401),
        ({"bt_header_dendrite_nonce": "x"}, 401),
        ({"bt_header_dendrite_nonce": str(1 << 80)}, 401),
        ({"bt_header_dendrite_uuid": None}, 401),
        ({"bt_header_dendrite_uuid": "u" * 1000}, 401),
        ({"computed_body_hash": "00"}, 401),
        ({"timeout": "1e300"}, 401),
        ({"timeout": "nan"}, 401),
        ({"nonce": time.time_ns() - 3600 * 10**9}, 401),
        ({"nonce": time.time_ns() + 3600 * 10**9}, 401),
    ],
)
async def test_what_does_not_prove_the_sender_is_refused(axon: V10Axon, change: dict[str, Any], status: int) -> None:
    fields = {"text": "ab", "times": 1}
    assert (await post(axon, fields, headers(fields, **change)))[0] == status


async def test_hashed_fields_can_t_be_changed_and_the_others_can(axon: V10Axon) -> None:
    """Which is this wire's weakness, and why there is another."""
    fields = {"text": "ab", "times": 1}
    assert (await post(axon, fields | {"text": "cd"}, headers(fields)))[0] == 401
    assert (await post(axon, fields | {"times": 2}, headers(fields)))[1]["repeated"] == "abab"
    assert (await post(axon, {"times": 2}, headers(fields)))[0] == 400


async def test_bodies_that_are_none(axon: V10Axon) -> None:
    fields = {"text": "ab", "times": 1}
    assert (await post(axon, [1], headers(fields)))[0] == 400
    assert (await post(axon, fields | {"times": "x"}, headers(fields)))[0] == 422
    assert (await post(axon, fields | {"more": "x" * 3000}, headers(fields)))[0] == 413
    assert (await post(axon, fields, headers(fields), "/Other"))[0] == 404


async def test_who_is_not_admitted_is_refused_before_the_body() -> None:
    def admit(caller: Hotkey, synapse: type[Synapse[Any]]) -> None:
        raise NotPermitted(f"{caller} is nobody")

    fields = {"text": "ab", "times": 1}
    async with V10Axon(MINER, repeat, hashed=("text",), admit=admit) as axon:
        assert (await post(axon, fields, headers(fields)))[0] == 403


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=60), max_size=8))
def test_any_headers_are_a_claim_or_malformed(said: dict[str, str]) -> None:
    from subnet.compat.v10 import _Claim

    names = list(headers({"text": "a"}))
    for each in (said, dict(zip(names, said.values(), strict=False)), headers({"text": "a"}) | said):
        try:
            _Claim(each)
        except WireError:
            pass
