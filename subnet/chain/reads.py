"""Jobs that read blocks, and what the other reading modules share.

A job takes the connection's Session, blocks, and returns plain or typed values. By subject:
:mod:`~subnet.chain.metagraph`, :mod:`~subnet.chain.matrices` (weights, bonds), :mod:`~subnet.chain.history`,
:mod:`~subnet.chain.subnets`, :mod:`~subnet.chain.hyperparameters`, :mod:`~subnet.chain.accounts`,
:mod:`~subnet.chain.stakes`, :mod:`~subnet.chain.commitments`.
"""

from __future__ import annotations

from typing import Any

from subnet.chain import decode
from subnet.chain.events import Event, block_events
from subnet.chain.session import Entry, Session, Snapshot, block_hash, block_number
from subnet.errors import ChainError, ChainMalformed, NoSuchSubnet
from subnet.types import Block

BLOCK_NUMBER = Entry("Number", (), "System")
_EVENTS = Entry("Events", (), "System")


def read_block_hash(session: Session, block: int | None) -> str:
    """A block's hash (None: the head's). Raises ChainError where the chain has no such block."""
    found = session.call("chain_getBlockHash", *([] if block is None else [block]))
    if found is None:
        raise ChainError(
            f"the chain has no block {block}",
            remedy="The block lies ahead, or the node is behind; check the number.",
        )
    return block_hash(found)


def read_block_number(session: Session) -> Block:
    """The head's number."""
    return Block(session.head())


def read_events(session: Session, block: int | None) -> tuple[Event, ...]:
    """All events of a block (None: the head's), in order."""
    snapshot = session.read([_EVENTS], None if block is None else read_block_hash(session, block))
    return block_events(snapshot.runtime, snapshot[_EVENTS])


def block_of(session: Session, snapshot: Snapshot) -> Block:
    """The snapshot's block number: from its own System.Number, else from its header."""
    number = decode.unsigned(snapshot[BLOCK_NUMBER], 4)
    return Block(number or block_number(session.call("chain_getHeader", snapshot.block_hash)))


def check_subnet(snapshot: Snapshot, added: Entry, netuid: int) -> None:
    """Raises NoSuchSubnet unless ``added``, the entry of NetworksAdded, says that there is one."""
    if not decode.unsigned(snapshot[added], 1):
        raise NoSuchSubnet(f"there is no subnet {netuid}")


def from_hex(value: Any) -> bytes | None:
    """Bytes of a storage value as the node sends it; None for an absent one. Raises ChainMalformed."""
    try:
        return None if value is None else bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError, TypeError):
        raise ChainMalformed("a storage value is not hex") from None
