"""Weights and bonds: a row a validator, as rows of pairs and as sparse matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from subnet.chain import decode
from subnet.chain.metagraph import check_mechanism, mechanism_count, storage_index
from subnet.chain.reads import check_subnet
from subnet.chain.session import Entry, Session
from subnet.chain.storage import u16
from subnet.errors import ChainMalformed
from subnet.types import Uid


def read_rows(
    session: Session, item: str, netuid: int, at: str | None, guess: int, mecid: int = 0
) -> list[bytes | None]:
    """The rows of ``Weights`` or ``Bonds`` as stored, one a uid. Raises NoSuchSubnet, ChainError, ChainMalformed."""
    size, added = Entry("SubnetworkN", (u16(netuid),)), Entry("NetworksAdded", (u16(netuid),))
    key = u16(storage_index(netuid, mecid))
    wanted = [size, added, mechanism_count(netuid)]
    first = session.read([*wanted, *(Entry(item, (key, u16(uid))) for uid in range(guess))], at)
    check_subnet(first, added, netuid)
    check_mechanism(first, netuid, mecid)
    n = decode.unsigned(first[size], 2)
    entries = first.entries
    if n > guess:
        more = [Entry(item, (key, u16(uid))) for uid in range(guess, n)]
        entries = entries | session.read(more, first.block_hash).entries
    return [entries[Entry(item, (key, u16(uid)))] for uid in range(n)]


def as_pairs(rows: list[bytes | None]) -> dict[Uid, list[tuple[Uid, int]]]:
    """Rows by validator's uid: (uid, u16) in stored order; empty ones are left out."""
    found = {Uid(uid): decode.pairs(row) for uid, row in enumerate(rows)}
    return {uid: [(Uid(target), value) for target, value in row] for uid, row in found.items() if row}


def as_matrix(rows: list[bytes | None]) -> Any:
    """Rows as a read-only scipy.sparse.csr_array, u16, shape (n, n), columns ascending.

    What a row says of a uid that the subnet does not have (any more) is left out; a uid named twice
    is malformed, since the runtime refuses that.
    """
    from scipy.sparse import csr_array

    n = len(rows)
    columns, values, counts = [], [], np.zeros(n + 1, np.int32)
    for uid, data in enumerate(rows):
        row = decode.pair_array(data)
        row = np.sort(row[row["uid"] < n], order="uid")
        if np.any(row["uid"][1:] == row["uid"][:-1]):
            raise ChainMalformed(f"the row of uid {uid} names a uid twice")
        columns.append(row["uid"].astype(np.int32))
        values.append(row["value"].astype(np.uint16))
        counts[uid + 1] = len(row)
    starts = np.cumsum(counts, dtype=np.int32)
    empty: list[Any] = [np.zeros(0, np.int32)]
    matrix = csr_array(
        (np.concatenate(values or empty).astype(np.uint16), np.concatenate(columns or empty), starts), shape=(n, n)
    )
    matrix.has_sorted_indices = matrix.has_canonical_format = True
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    return matrix
