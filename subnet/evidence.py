"""A round's receipts as one document: a Merkle root that commits to all of them, and a proof for each.

A validator exports it (:func:`export_round`); anybody verifies it offline (:meth:`Evidence.verify`), or
only the entry that concerns them: a receipt, its place, its proof and the root are enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from subnet import merkle
from subnet.errors import BadReceipt, StoreError
from subnet.receipts import Receipt
from subnet.store import MAX_RECEIPT, History
from subnet.types import Hotkey

PROTOCOL: Final = "subnet-evidence/1"
MAX_RECEIPTS: Final = 1_000_000
"""Receipts in one document."""

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Entry(msgspec.Struct, frozen=True):
    """Receipt ``index`` of the round: whose reply it signs, its bytes (:meth:`Receipt.to_bytes`) in hex, and
    the sibling hashes from its leaf up to the root."""

    index: int
    hotkey: Hotkey
    receipt: Annotated[str, msgspec.Meta(max_length=2 * MAX_RECEIPT)]
    proof: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=merkle.MAX_PROOF)]

    def verify(self, root: bytes, size: int) -> Receipt:
        """The receipt. Raises BadReceipt unless it is member ``index`` of the ``size`` under ``root`` and its
        miner signed it."""
        try:
            data = bytes.fromhex(self.receipt)
        except ValueError:
            raise BadReceipt(f"receipt {self.index} is not hex") from None
        if not merkle.is_member(data, self.index, size, [bytes.fromhex(one) for one in self.proof], root):
            raise BadReceipt(f"receipt {self.index} is not under this root")
        receipt = Receipt.from_bytes(data)
        if receipt.receiver != self.hotkey:
            raise BadReceipt(f"receipt {self.index} is of {receipt.receiver}, not of {self.hotkey}")
        receipt.verify()
        return receipt


@dataclass(frozen=True)
class Verified:
    """What held: how many receipts, by how many miners."""

    receipts: int
    miners: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All receipts of one round of one validator; ``size`` of them, in the order of their leaves."""

    protocol: str
    genesis_hash: str
    netuid: int
    validator: Hotkey
    round: int
    size: int
    root: Hash
    receipts: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=MAX_RECEIPTS)]

    def verify(self) -> Verified:
        """Check every entry, and that the entries are all that the root commits to. Raises BadReceipt."""
        if self.protocol != PROTOCOL:
            raise BadReceipt(f"this document follows {self.protocol[:40]!r}, not {PROTOCOL}")
        if [entry.index for entry in self.receipts] != list(range(self.size)):
            raise BadReceipt(f"the document says {self.size} receipts and holds others")
        if not self.receipts and self.root != merkle.root([]).hex():
            raise BadReceipt("the root is not that of no receipts")
        root = bytes.fromhex(self.root)
        about = (self.genesis_hash, self.netuid, self.validator)
        for entry in self.receipts:
            receipt = entry.verify(root, self.size)
            if (receipt.genesis_hash, receipt.netuid, receipt.sender) != about:
                raise BadReceipt(f"receipt {entry.index} belongs to another chain, subnet or validator")
        return Verified(self.size, len({entry.hotkey for entry in self.receipts}))

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Evidence:
        """A document back; BadReceipt if it is none. Does not verify."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadReceipt(f"this is no {PROTOCOL} document: {error}") from None


def export_round(history: History, round_id: int) -> Evidence:
    """The kept receipts of a round, by uid and then in the order they came.

    Raises StoreError for a round that is not (or no longer) in the ledger.
    """
    results = history.results(round_id)
    if not results:
        raise StoreError(
            f"round {round_id} is not in {history.path}", remedy="`subnet receipts LEDGER` lists the rounds that are."
        )
    kept = [(one.hotkey, body) for one in results for body in history.receipts(round_id, one.hotkey)]
    bodies = [body for _, body in kept]
    entries = [
        Entry(index, hotkey, body.hex(), tuple(one.hex() for one in proof))
        for index, ((hotkey, body), proof) in enumerate(zip(kept, merkle.proofs(bodies), strict=True))
    ]
    genesis_hash, netuid, validator = history.identity()
    return Evidence(
        protocol=PROTOCOL,
        genesis_hash=genesis_hash,
        netuid=netuid,
        validator=validator,
        round=round_id,
        size=len(entries),
        root=merkle.root(bodies).hex(),
        receipts=tuple(entries),
    )
