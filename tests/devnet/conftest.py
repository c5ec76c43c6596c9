"""A chain without sockets or time, and signed extrinsics for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.chain import Chain
from subnet.devnet.context import Spec
from subnet.devnet.extrinsic import Era, Extrinsic
from subnet.devnet.hashing import blake2_256
from subnet.devnet.pallets.system import EVENT_RECORD, System
from subnet.devnet.scale import Vec, compact
from subnet.devnet.state import Store

TAO = 10**9
RECORDS = Vec(EVENT_RECORD)


class Bench:
    """A chain whose blocks are built by hand; calls run as if their signatures had been checked."""

    alice, bob, charlie, dave, eve, ferdie = (account.public_key for account in DEVELOPMENT)

    def __init__(self, **spec: Any) -> None:
        options = {"tempo": 5, "start_call_delay": 0, **spec}
        self.chain = Chain(Store(None), Spec(**options), DEVELOPMENT, 100_000 * TAO)
        self.state = self.chain.state
        self._count = 0

    def key(self, name: str) -> bytes:
        return hashlib.sha256(name.encode()).digest()

    def call(self, pallet: str, name: str, /, **args: Any) -> Any:
        return self.chain.runtime.call(pallet, name, **args)

    def extrinsic(self, who: bytes, call: Any, tip: int = 0) -> Extrinsic:
        self._count += 1
        raw = call.raw + self._count.to_bytes(8, "little")
        return Extrinsic(raw, blake2_256(raw), who, "Sr25519", b"", Era(b"\0"), 0, tip, False, call)

    def send(self, who: bytes, pallet: str, name: str, /, **args: Any) -> str | None:
        """One call in one block; the name of its error, or None."""
        self.chain.build([self.extrinsic(who, self.call(pallet, name, **args))])
        return self.failure()

    def sudo(self, name: str, /, **args: Any) -> str | None:
        """One AdminUtils call as root; the name of its error, or None."""
        return self.sudo_call("AdminUtils", name, **args)

    def sudo_call(self, pallet: str, name: str, /, **args: Any) -> str | None:
        """One call as root; the name of its error, or None."""
        inner = self.call(pallet, name, **args)
        assert self.send(self.alice, "Sudo", "sudo", call=inner) is None
        (result,) = [fields["sudo_result"] for event, fields in self.events("Sudo") if event == "Sudid"]
        return None if result[0] == "Ok" else self.error_name(result[1])

    def blocks(self, count: int) -> None:
        for _ in range(count):
            self.chain.build([])

    def write(self, item: Any, *keys: Any, to: Any) -> None:
        """Write storage as dev_setStorage does, in a block of its own."""
        self.chain.build([], {item.key(*keys): item.value.encode(to)})

    def records(self) -> list[dict[str, Any]]:
        return list(RECORDS.decode(self.state.read(System.Events.key()) or b"\0"))

    def events(self, pallet: str) -> list[tuple[str, Any]]:
        return [record["event"][1] for record in self.records() if record["event"][0] == pallet]

    def failure(self) -> str | None:
        found = [fields for event, fields in self.events("System") if event == "ExtrinsicFailed"]
        return self.error_name(found[-1]["dispatch_error"]) if found else None

    def error_name(self, error: tuple[str, Any]) -> str:
        kind, value = error
        if kind != "Module":
            return kind if value is None else f"{kind}.{value[0]}"
        pallet = next(one for one in self.chain.runtime.pallets if one.index == value["index"])
        assert pallet.errors is not None
        return pallet.errors(value["error"][0]).name

    def subnet(self, hotkeys: int = 0, *, started: bool = True) -> list[bytes]:
        """A subnet 1 of Alice's with this many hotkeys of Bob's, without commit-reveal and rate limits."""
        assert self.send(self.alice, "SubtensorModule", "register_network", hotkey=self.key("owner")) is None
        if started:
            assert self.send(self.alice, "SubtensorModule", "start_call", netuid=1) is None
        assert self.sudo("sudo_set_commit_reveal_weights_enabled", netuid=1, enabled=False) is None
        assert self.sudo("sudo_set_weights_set_rate_limit", netuid=1, weights_set_rate_limit=0) is None
        names = [self.key(f"hotkey {number}") for number in range(hotkeys)]
        for name in names:
            assert self.send(self.bob, "SubtensorModule", "burned_register", netuid=1, hotkey=name) is None
        return names


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.chain.store.close()


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**spec: Any) -> Bench:
        made.append(Bench(**spec))
        return made[-1]

    yield make
    for one in made:
        one.chain.store.close()


def sign(
    chain: Chain,
    key: Any,
    call: Any,
    nonce: int,
    *,
    era: tuple[bytes, bytes] | None = None,
    tip: int = 0,
    mode: bytes = b"\0",
    genesis: bytes | None = None,
    spec_version: int | None = None,
    transaction_version: int | None = None,
) -> bytes:
    """A signed extrinsic as bytes; ``era`` is its two bytes and its birth block's hash."""
    era_raw, birth = era or (b"\0", chain.genesis_hash)
    implicit = chain.implicit(birth)
    if spec_version is not None:
        implicit = spec_version.to_bytes(4, "little") + implicit[4:]
    if transaction_version is not None:
        implicit = implicit[:4] + transaction_version.to_bytes(4, "little") + implicit[8:]
    if genesis is not None:
        implicit = implicit[:8] + genesis + (birth if era else genesis)
    extra = era_raw + compact(nonce) + compact(tip) + mode
    data = call.raw + extra + implicit + (b"\1" + bytes(32) if mode == b"\1" else b"\0")
    signature = key.sign(blake2_256(data) if len(data) > 256 else data)
    body = b"\x84\0" + key.public_key + bytes([key.crypto_type]) + signature + extra + call.raw
    return compact(len(body)) + body


@pytest.fixture
def signed() -> Callable[..., bytes]:
    return sign
