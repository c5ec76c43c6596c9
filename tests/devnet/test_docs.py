"""The reference page names every call, method and runtime API that there is."""

from __future__ import annotations

from pathlib import Path

from subnet.devnet.methods import METHODS
from subnet.devnet.runtime import runtime
from subnet.devnet.runtime_api import APIS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "devnet.md").read_text()


def test_every_call_is_on_the_page() -> None:
    for pallet in runtime().pallets:
        for spec in pallet.calls.values():
            name = spec.name if pallet.name == "AdminUtils" else f"{pallet.name}.{spec.name}"
            assert f"`{name}`" in PAGE


def test_every_method_and_api_is_on_the_page() -> None:
    assert [name for name in [*METHODS, *APIS] if f"`{name}`" not in PAGE] == []
