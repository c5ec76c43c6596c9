"""What a round hears: each query and stream of its task, and of tasks it starts, writes into one journal."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import msgspec

from subnet.types import Hotkey, Neuron, Uid

if TYPE_CHECKING:
    from subnet.dendrite import Failure, Ok
    from subnet.receipts import Receipt

MAX_RECEIPTS: Final = 64
"""Receipts that are kept of one miner in one round."""


class Heard(msgspec.Struct, gc=False):
    """What one round heard of one miner: its last failure's reason (None: it answered last), seconds
    that its replies took together, and their receipts."""

    uid: Uid
    answered: bool = False
    reason: str | None = None
    elapsed: float = 0.0
    receipts: tuple[bytes, ...] = ()


Journal = dict[Hotkey, Heard]

_journal: ContextVar[Journal | None] = ContextVar("journal", default=None)


def begin_journal() -> Journal:
    """A fresh journal that the queries of this task, and of tasks it starts, are written in."""
    journal: Journal = {}
    _journal.set(journal)
    return journal


def current_journal() -> Journal | None:
    """The journal of the round that runs here; None outside of one."""
    return _journal.get()


def hear_results(journal: Journal, results: Iterable[Ok[Any] | Failure]) -> None:
    """Write down how the queries of some peers ended."""
    from subnet.dendrite import Ok

    for result in results:
        if isinstance(result, Ok):
            hear(journal, result, result.elapsed, result.receipt, None)
        else:
            hear(journal, result, result.elapsed, None, result)


def hear(
    journal: Journal,
    who: Neuron | Ok[Any] | Failure,
    elapsed: float,
    receipt: Receipt | None,
    failure: Failure | None,
) -> None:
    """Write down one exchange: ``elapsed`` in seconds, its receipt if there is one, why it failed if it did."""
    heard = journal.get(who.hotkey)
    if heard is None:
        heard = journal[who.hotkey] = Heard(who.uid)
    heard.elapsed += elapsed
    if receipt is not None and len(heard.receipts) < MAX_RECEIPTS:
        heard.receipts += (receipt.to_bytes(),)  # a stream that failed half way may be signed too
    if failure is None:
        heard.answered, heard.reason = True, None
    else:
        heard.reason = f"{failure.reason}: {failure.code}" if failure.code else str(failure.reason)
