"""What goes into a send and what comes out: options, what was signed, what it would cost, what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Literal, Self, TypedDict

from subnet.chain.events import Event
from subnet.errors import ChainMalformed
from subnet.types import Block, Netuid, Rao

PERIOD = 64
"""Blocks in which a signed extrinsic may be included: about 13 minutes at 12 s."""
LONGEST = 2048
"""The longest period: nodes forget the hash of the block it was born in soon after (2,400 or 4,096 blocks)."""
PATIENCE = 120.0
"""Seconds that a write waits for its block: ten blocks of a real network."""

Wait = Literal["inclusion", "finality"]


class Signing(TypedDict, total=False):
    """How a call is signed."""

    period: int | None
    """Blocks in which it may be included (4 to 2,048, rounded up to a power of two; default 64). None: for ever,
    also after the account was closed and opened anew, when nonces begin again."""
    nonce: int
    """The account's nonce; without it, the next one that is free."""
    tip: int
    """RAO on top of the fee; what replaces another extrinsic of the same nonce needs more than that one."""


class Sending(Signing, total=False):
    """How a call is signed, sent and followed."""

    wait: Wait
    """``"inclusion"`` (default): until it is in a block; ``"finality"``: until that block can't be replaced."""
    timeout: float
    """Seconds after which ChainTimeout says that the outcome is not known yet (default 120)."""


@dataclass(frozen=True)
class Included:
    """An extrinsic that is in a block and succeeded. ``fee`` is in RAO, 0 for calls that pay none."""

    block: Block
    block_hash: str
    extrinsic_hash: str
    fee: Rao
    events: tuple[Event, ...]
    finalized: bool = False

    def event(self, module: str, name: str) -> Event | None:
        """The first event of this name, or None."""
        return next((event for event in self.events if event[:2] == (module, name)), None)

    @property
    def netuid(self) -> Netuid:
        """The subnet that this extrinsic created. Raises ChainMalformed where it created none."""
        event = self.event("SubtensorModule", "NetworkAdded")
        if event is None:
            raise ChainMalformed(f"extrinsic {self.extrinsic_hash} created no subnet")
        return Netuid(int(_first(event.attributes)))


@dataclass(frozen=True)
class Estimate:
    """What a call would cost; nothing was sent, and nothing that could be sent was shown to the node.

    ``data`` is the encoded call as 0x-hex, ``fee`` is in RAO (0 for calls that pay none; a tip is part of
    it), ``ref_time`` in picoseconds of the chain's reference machine, ``proof_size`` in bytes.
    """

    call: str
    data: str
    account: str
    nonce: int
    fee: Rao
    ref_time: int
    proof_size: int


@dataclass(frozen=True)
class Prepared:
    """A signed extrinsic that can be kept, and sent again as often as one likes: it lands once at most.

    It can be in a block from ``start`` to ``dies`` (None: for ever) of the chain with this genesis hash.
    """

    call: str
    data: str
    account: str
    nonce: int
    start: Block
    dies: Block | None
    genesis: str

    @property
    def hash(self) -> str:
        """The extrinsic's hash, 0x-hex."""
        return "0x" + blake2b(bytes.fromhex(self.data[2:]), digest_size=32).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What :meth:`as_dict` gave. ValueError for anything else."""
        try:
            made = cls(**data)
            numbers = (made.nonce, made.start, 0 if made.dies is None else made.dies)
            ok = all(type(n) is int and n >= 0 for n in numbers) and len(made.hash) == 66
            ok = ok and all(isinstance(text, str) for text in (made.call, made.account, made.genesis))
        except (TypeError, ValueError) as error:
            raise ValueError(f"this is no prepared extrinsic: {error}") from None
        if not ok:
            raise ValueError("this is no prepared extrinsic")
        return made


def _first(attributes: Any) -> Any:
    if isinstance(attributes, Mapping):
        return next(iter(attributes.values()))
    return attributes[0] if isinstance(attributes, Sequence) else attributes
