"""A block's events, typed: what happened, and which extrinsic made it happen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from subnet.chain.runtime import Runtime
from subnet.errors import ChainMalformed


class Event(NamedTuple):
    """One event; ``attributes`` as decoded: a mapping where named, else a tuple, a single value or None.

    ``extrinsic`` is the position in the block of the extrinsic that caused it; None for the block's own.
    """

    module: str
    name: str
    attributes: Any
    extrinsic: int | None = None


def block_events(runtime: Runtime, data: bytes | None) -> tuple[Event, ...]:
    """All events in the bytes of ``System.Events``, in order. Raises ChainMalformed."""
    records = runtime.value("System", "Events", data)
    try:
        return tuple(_event(record["event"], record["phase"]) for record in records)
    except (TypeError, KeyError, ValueError, AttributeError):
        raise ChainMalformed("System.Events holds no events") from None


def _event(event: Any, phase: Any) -> Event:
    ((module, inner),) = event.items()
    name, attributes = (inner, None) if isinstance(inner, str) else next(iter(inner.items()))
    return Event(module, name, attributes, phase.get("ApplyExtrinsic") if isinstance(phase, Mapping) else None)
