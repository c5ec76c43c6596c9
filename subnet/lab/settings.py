"""Settings by name, from a command line or a file, as the fields of a dataclass want them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import msgspec

from subnet.errors import ConfigError

T = TypeVar("T")


def converted(
    kind: type, values: Mapping[str, Any], where: str, *, strict: bool = True, hidden: Set[str] = frozenset()
) -> dict[str, Any]:
    """``values`` by the types of ``kind``'s fields, those in ``hidden`` apart; ``strict=False`` reads numbers from
    strings.

    Raises ConfigError, which names ``where``, for a field that isn't there and a value that it can't have.
    """
    known = [f.name for f in fields(kind) if f.name not in hidden]
    hints = get_type_hints(kind)
    made = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{where} has no {key!r}", remedy=f"It has {', '.join(known)}.")
        try:
            made[key] = msgspec.convert(value, hints[key], strict=strict)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{where}: {key} can't be {value!r}: {error}") from None
    return made


def built(kind: type[T], values: Mapping[str, Any], where: str, *, strict: bool = True) -> T:
    """An instance of the dataclass ``kind`` with these settings; ConfigError as :func:`converted`, and for what it
    refuses."""
    try:
        return kind(**converted(kind, values, where, strict=strict))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
