"""Jobs that follow an extrinsic: the search for its block, also through reorganised ones, and its outcome.

A :class:`Watch` remembers which block hashes were looked at. Blocks below the finalised one are done
with; above it, a block whose hash changed is looked at again. What can never land any more is known
for sure: its era is over, or another extrinsic has used its nonce in a finalised block.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from subnet.chain.events import Event, block_events
from subnet.chain.remedies import remedy
from subnet.chain.sending import Included, Prepared
from subnet.chain.session import Entry, Session, block_hash, block_number
from subnet.errors import ChainMalformed, ExtrinsicFailed
from subnet.keys import public_key_of
from subnet.types import Block, Rao

log = logging.getLogger(__name__)

DEPTH = 64
"""Blocks below the head that are looked at again when their hash changed, on a chain that does not finalise."""
_WINDOW = 32  # blocks looked at in one job


class Place(NamedTuple):
    """Where an extrinsic is: the block, its hash, and the extrinsic's position in it."""

    block: int
    hash: str
    position: int


@dataclass
class Watch:
    """How far the search for an extrinsic has come."""

    prepared: Prepared
    next: int  # the first block not looked at
    settled: int = 0  # the last block that was looked at and can't be replaced
    number: int = 0  # the last block looked at
    head: str = ""
    place: Place | None = None
    usurped: bool = False
    seen: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, prepared: Prepared) -> Watch:
        return cls(prepared, prepared.start, settled=prepared.start - 1)

    @property
    def is_final(self) -> bool:
        """Whether the extrinsic is in a block that can't be replaced."""
        return self.place is not None and self.place.block <= self.settled

    @property
    def is_over(self) -> bool:
        """Whether it is in no block and can't be in any: its last one is settled, or deep under the head."""
        dies = self.prepared.dies
        if self.place is not None or dies is None or self.next <= dies:
            return False
        return self.settled >= dies or self.number > dies + DEPTH


def look(session: Session, *, watch: Watch) -> None:
    """A job: search the blocks that are new, or were replaced, since the last look."""
    prepared = watch.prepared
    head, finalized = (
        block_hash(found) for found in session.calls([("chain_getBlockHash", []), ("chain_getFinalizedHead", [])])
    )
    if head + finalized == watch.head:
        return
    number, final = (
        block_number(header) for header in session.calls([("chain_getHeader", [h]) for h in (head, finalized)])
    )
    number = max(number, final)  # a block may come, and be final, between the two questions
    end = number if prepared.dies is None else min(number, prepared.dies)
    first = max(watch.settled + 1, watch.next - DEPTH)
    last = min(end, watch.next + _WINDOW)
    numbers = range(first, last + 1)
    hashes = session.calls([("chain_getBlockHash", [i]) for i in numbers]) if numbers else []
    for i, found in zip(numbers, hashes, strict=True):
        if found is None:  # the node fell behind itself
            last = i - 1
            break
        if watch.seen.get(i) != found:
            _look_into(session, watch, i, block_hash(found))
    watch.next = max(watch.next, last + 1)
    watch.number = number if last >= end else last
    watch.settled = max(watch.settled, min(final, last))
    watch.seen = {i: found for i, found in watch.seen.items() if i > watch.settled}
    if last >= end:
        watch.head = head + finalized
        watch.usurped = watch.place is None and watch.settled >= min(final, end) and _used(session, prepared, finalized)


def _look_into(session: Session, watch: Watch, number: int, found: str) -> None:
    position = _index_in(session.call("chain_getBlock", found), watch.prepared.data)
    if position is not None:
        watch.place = Place(number, found, position)
    elif watch.place is not None and watch.place.block == number:
        log.info("block %d was replaced by one without %s", number, watch.prepared.hash)
        watch.place = None
    watch.seen[number] = found


def _index_in(answer: Any, data: str) -> int | None:
    try:
        extrinsics = answer["block"]["extrinsics"]
        return next((i for i, extrinsic in enumerate(extrinsics) if extrinsic.lower() == data), None)
    except (TypeError, KeyError, AttributeError):
        raise ChainMalformed("an answer to chain_getBlock holds no extrinsics") from None


def _used(session: Session, prepared: Prepared, at: str) -> bool:
    """Whether the account's nonce at this block is past the extrinsic's. AccountInfo begins with the nonce, a u32."""
    entry = Entry("Account", (public_key_of(prepared.account),), "System")
    info = session.read([entry], at)[entry] or b""
    return int.from_bytes(info[:4], "little") > prepared.nonce


def outcome(session: Session, *, watch: Watch) -> Included:
    """A job: the extrinsic's own events, and from them success, fee or the typed failure."""
    place, prepared = watch.place, watch.prepared
    if place is None:
        raise ChainMalformed(f"{prepared.hash} is in no block")
    entry = Entry("Events", (), "System")
    snapshot = session.read([entry], place.hash)
    found = block_events(snapshot.runtime, snapshot[entry])
    events = tuple(event for event in found if event.extrinsic == place.position)
    errors = errors_in(events)
    if errors:
        error = errors[0]
        name, words = snapshot.runtime.error_name(error.error)
        which = "" if error.item is None else f", call {error.item} of the batch"
        more = f" ({len(errors)} calls failed)" if len(errors) > 1 else ""
        message = f"{prepared.call} failed in block {place.block}{which}: {name}{more}"
        raise failure(message, name, error.where, words, index=error.item)
    return Included(Block(place.block), place.hash, prepared.hash, Rao(_fee(events)), events, finalized=watch.is_final)


def _fee(events: Sequence[Event]) -> int:
    for event in events:
        if event[:2] == ("TransactionPayment", "TransactionFeePaid"):
            return int(_field(event.attributes, "actual_fee", 1))
    return 0


class InnerError(NamedTuple):
    """A dispatch error: in the block itself, or of a call inside; ``item`` is the call's place in a batch."""

    error: Any
    where: str
    item: int | None


_RESULTS = {  # events that tell the result of a call inside a call: its attribute, and where that is
    ("Sudo", "Sudid"): ("sudo_result", "sudo"),
    ("Sudo", "SudoAsDone"): ("sudo_result", "sudo"),
    ("Proxy", "ProxyExecuted"): ("result", "proxy"),
    ("Utility", "DispatchedAs"): ("result", "proxy"),
    ("Multisig", "MultisigExecuted"): ("result", "multisig"),
}


def errors_in(events: Sequence[Event]) -> list[InnerError]:
    """The dispatch errors that an extrinsic's events report, in their order; none for good news."""
    errors: list[InnerError] = []
    item = 0
    for event in events:
        attributes = event.attributes
        match event[:2]:
            case ("System", "ExtrinsicFailed"):
                errors.append(InnerError(_field(attributes, "dispatch_error", 0), "block", None))
            case ("Utility", "BatchInterrupted"):
                index = _field(attributes, "index", 0)
                errors.append(InnerError(_field(attributes, "error", 1), "batch", int(index)))
            case ("Utility", "ItemCompleted"):
                item += 1
            case ("Utility", "ItemFailed"):
                errors.append(InnerError(_field(attributes, "error", 0), "batch", item))
                item += 1
            case known if known in _RESULTS:
                name, where = _RESULTS[known]
                result = _result(attributes, name)
                if result is not None:
                    errors.append(InnerError(result, where, None))
    return errors


def _result(attributes: Any, name: str) -> Any:
    """The error in a DispatchResult that an event carries, or None."""
    values = attributes.values() if isinstance(attributes, Mapping) else attributes
    if isinstance(attributes, Mapping) and "Err" in attributes:
        return attributes["Err"]
    if isinstance(attributes, Mapping) and name in attributes:
        values = [attributes[name]]
    for value in values if isinstance(values, Sequence) and not isinstance(values, str) else ():
        if isinstance(value, Mapping) and "Err" in value:
            return value["Err"]
    return None


def _field(attributes: Any, name: str, place: int) -> Any:
    """An event's attribute by name, or by place where the runtime does not name it."""
    if isinstance(attributes, Mapping):
        return attributes.get(name, attributes)
    if isinstance(attributes, Sequence) and not isinstance(attributes, str) and len(attributes) > place:
        return attributes[place]
    return attributes


def failure(message: str, name: str, where: str, words: str = "", index: int | None = None) -> ExtrinsicFailed:
    """The one error for both shapes of failure, with the remedy that goes with its name."""
    message = f"{message}{f' ({words})' if words else ''}"
    return ExtrinsicFailed(message, name=name, where=where, remedy=remedy(name), index=index)
