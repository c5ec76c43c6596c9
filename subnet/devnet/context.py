"""What a running call sees: the state, the block it is in, and where events go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from subnet.devnet.pallet import Call, Event
from subnet.devnet.scale import U32, compact
from subnet.devnet.state import State

DispatchError = tuple[str, Any]
"""A value of the ``DispatchError`` type: ``("Module", {"index": 7, "error": b"..."})``, ``("BadOrigin", None)`` …"""


TempoRule = Literal["head", "legacy"]


@dataclass(frozen=True)
class Spec:
    """What distinguishes one local chain from another; part of its genesis.

    Amounts in RAO, delays and tempos in blocks. ``tempo_rule`` is when epochs run: "head" by the last one's
    block, or "legacy" by the block's number, as runtimes up to 343; a legacy chain also lacks what came with it.
    """

    tempo: int = 360
    start_call_delay: int = 10
    allow_loopback: bool = True
    admin_freeze_window: int = 0
    tempo_rule: TempoRule = "head"

    @property
    def legacy(self) -> bool:
        return self.tempo_rule == "legacy"


@dataclass
class Context:
    """One block under way."""

    state: State
    block: int
    spec: Spec
    dispatch: Callable[[Context, Call, bytes | None], DispatchError | None]
    now_ms: int = 0
    phase: bytes = b"\2"  # Initialization
    events: list[bytes] = field(default_factory=list)
    free: bool = False  # set by a call that turns out to cost no fee

    def emit(self, event: Event, *values: Any) -> None:
        """Deposit an event, with its values in the order of its declaration."""
        self.events.append(self.phase + event.encode(values) + b"\0")

    def applying(self, index: int) -> None:
        self.phase = b"\0" + U32.encode(index)
        self.free = False

    def encoded_events(self) -> bytes:
        return compact(len(self.events)) + b"".join(self.events)
