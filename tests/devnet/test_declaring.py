"""A pallet is what its class says: from one declaration come metadata, keys, dispatch, events, errors and the docs."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from types import ModuleType
from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from subnet.devnet import chain as chains
from subnet.devnet.context import Context
from subnet.devnet.pallet import Constant, Event, Item, Pallet, ensure
from subnet.devnet.runtime import PALLETS, Runtime, runtime
from subnet.devnet.scale import ACCOUNT, U16, U32, u16, u32
from subnet.devnet.shapes import NETUID
from tests.devnet.conftest import Bench
from tests.devnet.test_docs import script  # noqa: F401 - a fixture

Error = IntEnum("Error", "TooMuch", start=0)


class Counter(Pallet, index=99, rust="pallet_counter"):
    errors = Error

    Count = Item(U32, NETUID, default=7)
    Counted = Event(0, netuid=U16, who=ACCOUNT)
    Most = Constant(U32, 10)


@Counter.call(3)
def count(ctx: Context, who: bytes, netuid: u16, by: u32) -> None:
    """Add to a subnet's count."""
    ensure(ctx.state.get(Counter.Count, netuid) + by <= Counter.Most.value, Error.TooMuch)
    ctx.state.add(Counter.Count, netuid, by=by)
    ctx.emit(Counter.Counted, netuid, who)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Runtime(pallets=(*PALLETS, Counter))
    monkeypatch.setattr(chains, "runtime", lambda rule: made)
    bench = Bench()
    yield bench
    bench.chain.store.close()
    runtime().activate()


def test_its_calls_run_and_tell(toy: Bench) -> None:
    assert toy.send(toy.bob, "Counter", "count", netuid=1, by=2) is None
    assert toy.state.get(Counter.Count, 1) == 9
    assert toy.events("Counter") == [("Counted", {"netuid": 1, "who": toy.bob})]
    assert toy.send(toy.bob, "Counter", "count", netuid=1, by=2) == "TooMuch"
    assert toy.state.get(Counter.Count, 1) == 9


def test_clients_learn_of_it(toy: Bench) -> None:
    config = RuntimeConfigurationObject()
    config.update_type_registry(load_type_registry_preset("core"))
    metadata: Any = config.create_scale_object("MetadataVersioned", ScaleBytes(toy.chain.runtime.metadata))
    metadata.decode()
    config.add_portable_registry(metadata)
    (pallet,) = [one for one in metadata.pallets if one.value["name"] == "Counter"]
    assert [one.value["name"] for one in pallet.calls] == ["count"]
    assert [one.value["name"] for one in pallet.events] == ["Counted"]
    assert [one.value["name"] for one in pallet.errors] == ["TooMuch"]
    assert "Count" in [one.value["name"] for one in pallet.storage]
    assert b"pallet_counter" not in runtime().metadata


def test_the_page_shows_it(toy: Bench, script: ModuleType) -> None:  # noqa: F811 - the fixture
    tables = script.tables(toy.chain.runtime.pallets)
    assert "| `Counter.count` | netuid: u16, by: u32 | anyone | yes | Add to a subnet's count. |" in tables["calls"]
    assert "| `Counter.Count` | u16 (Identity) | u32 | 7 |" in tables["storage"]
    assert "`Counter.Counted`" in tables["events"]
    assert "Counter: `TooMuch`." in tables["errors"]
