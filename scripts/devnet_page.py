"""Write the tables of docs/reference/devnet.md from the pallets' declarations; a test compares the two.

A table stands between ``<!-- NAME -->`` and ``<!-- /NAME -->``; the text around it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from subnet.devnet.metadata import type_name
from subnet.devnet.methods import METHODS
from subnet.devnet.pallet import CallSpec, Item, Pallet
from subnet.devnet.runtime import runtime
from subnet.devnet.runtime_api.declare import Method
from subnet.devnet.scale import Scale

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/devnet.md"
BY = {"signed": "anyone", "root": "root", "any": "owner or root", "none": "each block"}


def table(heads: str, rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, "|" + "---|" * (heads.count("|") - 1)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def kind(scale: Scale[Any]) -> str:
    return type_name(scale).replace("T::", "")


def sentence(docs: str) -> str:
    """The first paragraph, on one line."""
    return re.sub(r"\s+", " ", docs.split("\n\n")[0]).replace("``", "`")


def call_row(pallet: Pallet, spec: CallSpec) -> Sequence[str]:
    args = ", ".join(f"{name}: {kind(scale)}" for name, scale in spec.args.items())
    by = "anyone" if pallet.name == "Utility" else BY[spec.origin]
    name = spec.name if pallet.name == "AdminUtils" else f"{pallet.name}.{spec.name}"
    return f"`{name}`", args, by, "yes" if spec.pays else "no", sentence(spec.docs)


def calls(pallets: Iterable[Pallet]) -> str:
    rows = [call_row(pallet, spec) for pallet in pallets for spec in sorted_calls(pallet)]
    return table("| call | arguments | by | fee | what it does |", rows)


def sorted_calls(pallet: Pallet) -> list[CallSpec]:
    return sorted(pallet.calls.values(), key=lambda spec: spec.name)


def storage(pallets: Iterable[Pallet]) -> str:
    rows = [
        (f"`{pallet.name}.{name}`", keys(item), kind(item.value) + ("?" if item.optional else ""), default(item))
        for pallet in pallets
        for name, item in pallet.storage.items()
    ]
    return table("| item | keys | value | default |", rows)


def keys(item: Item[Any]) -> str:
    return ", ".join(f"{kind(scale)} ({hasher.name})" for hasher, scale in item.keys)


def default(item: Item[Any]) -> str:
    """A number that is not zero; what else is unwritten is zero, empty or none."""
    value = None if item.optional or not any(item.default_bytes) else item.default()
    return (
        f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "" if value is None else str(value)
    )


def events(pallets: Iterable[Pallet]) -> str:
    rows = [
        (
            f"`{pallet.name}.{event.name}`",
            ", ".join(
                kind(scale) if name is None else f"{name.rstrip('_')}: {kind(scale)}" for name, scale in event.fields
            ),
        )
        for pallet in pallets
        for event in sorted(pallet.events.values(), key=lambda event: event.index)
    ]
    return table("| event | fields |", rows)


def errors(pallets: Iterable[Pallet]) -> str:
    return "\n\n".join(
        f"{pallet.name}: " + ", ".join(f"`{error.name}`" for error in pallet.errors) + "."
        for pallet in pallets
        if pallet.errors
    )


def names(listed: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(listed)) + "."


def apis(methods: Mapping[str, Method]) -> str:
    rows = [
        (
            f"`{name}`",
            ", ".join(f"{argument}: {kind(scale)}" for argument, scale in method.inputs.items()),
            kind(method.output),
            sentence(method.docs),
        )
        for name, method in methods.items()
    ]
    return table("| method | input | output | what it says |", rows)


def tables(pallets: Sequence[Pallet]) -> dict[str, str]:
    """What stands between each pair of markers."""
    admin = [pallet for pallet in pallets if pallet.name == "AdminUtils"]
    others = [pallet for pallet in pallets if pallet.name != "AdminUtils"]
    return {
        "calls": calls(others),
        "admin": calls(admin),
        "storage": storage(pallets),
        "events": events(pallets),
        "errors": errors(pallets),
        "methods": names(METHODS),
        "apis": apis(runtime().methods),
    }


def page(text: str) -> str:
    """The page, with its tables written anew."""
    for name, body in tables(runtime().pallets).items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise SystemExit(f"{PAGE} has no {start} … {end}")
        text = f"{before}{start}\n{body}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
