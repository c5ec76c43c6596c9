"""A neuron's past: what its uid earned and weighed at each of many blocks, some blocks to a round trip."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from subnet.chain import decode
from subnet.chain.metagraph import VECTORS, vector_entries
from subnet.chain.session import Entry, Session, block_hash
from subnet.chain.storage import u16
from subnet.errors import ChainError
from subnet.keys import ss58_of
from subnet.types import Hotkey, Netuid, Uid, data_frame

if TYPE_CHECKING:
    import numpy.typing as npt

MAX_BLOCKS = 10_000
"""Blocks that one history holds."""


@dataclass(frozen=True)
class NeuronHistory:
    """One uid at each of ``block``; row i of every column is block i. Arrays are read-only.

    Columns of u16 hold the chain's integers (65535 = 1.0), ``stake`` and ``emission`` RAO of alpha.
    ``hotkey`` is who held the uid then: None where nobody did, and a change is a replaced neuron.
    """

    netuid: Netuid
    uid: Uid
    mecid: int
    hotkey: tuple[Hotkey | None, ...]
    block: npt.NDArray[np.uint64]
    stake: npt.NDArray[np.uint64]
    active: npt.NDArray[np.bool_]
    validator_permit: npt.NDArray[np.bool_]
    consensus: npt.NDArray[np.uint16]
    incentive: npt.NDArray[np.uint16]
    dividends: npt.NDArray[np.uint16]
    validator_trust: npt.NDArray[np.uint16]
    emission: npt.NDArray[np.uint64]
    last_update: npt.NDArray[np.uint64]
    stake_weight: npt.NDArray[np.uint16]

    def __post_init__(self) -> None:
        for name in _columns():
            getattr(self, name).flags.writeable = False

    def __len__(self) -> int:
        return len(self.hotkey)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, one row a block. Raises ConfigError where pandas is not installed."""
        columns = {"hotkey": self.hotkey, **{name: getattr(self, name) for name in _columns()}}
        return data_frame(columns, index="row").set_index("block")


def _columns() -> list[str]:
    return [one.name for one in fields(NeuronHistory) if one.name not in ("netuid", "uid", "mecid", "hotkey")]


def read_history(session: Session, netuid: int, uid: int, blocks: range, mecid: int = 0) -> NeuronHistory:
    """A uid at each of ``blocks``. Raises ChainError where the chain has one of them not, or not any more."""
    hashes = _hashes(session, blocks)
    owner, size = Entry("Keys", (u16(netuid), u16(uid))), Entry("SubnetworkN", (u16(netuid),))
    vectors = vector_entries(netuid, mecid)
    hotkeys: list[bytes | None] = []
    rows: list[dict[str, Any]] = []
    for snapshot in session.read_each([owner, size, *vectors.values()], hashes):
        there = uid < decode.unsigned(snapshot[size], 2)
        hotkeys.append(decode.account(snapshot[owner]) if there else None)
        rows.append({name: _at(snapshot[vectors[name]], dtype, uid) for name, (_, dtype) in VECTORS.items()})
    columns: dict[str, Any] = {
        name: np.array([row[name] for row in rows], dtype) for name, (_, dtype) in VECTORS.items()
    }
    return NeuronHistory(
        netuid=Netuid(netuid),
        uid=Uid(uid),
        mecid=mecid,
        hotkey=tuple(None if one is None else ss58_of(one) for one in hotkeys),
        block=np.array(blocks, np.uint64),
        stake=_stake(session, netuid, hotkeys, hashes),
        **columns,
    )


def _hashes(session: Session, blocks: range) -> list[str]:
    if not blocks or len(blocks) > MAX_BLOCKS or blocks[0] < 0:
        raise ValueError(f"a history takes 1 to {MAX_BLOCKS} blocks, not {len(blocks)}")
    found: list[Any] = []
    for start in range(0, len(blocks), 256):
        turn = blocks[start : start + 256]
        found += session.calls([("chain_getBlockHash", [block]) for block in turn])
        if None in found:
            raise ChainError(
                f"the chain has no block {blocks[found.index(None)]}",
                remedy="The block lies ahead, or the node is behind; check the numbers.",
            )
    return [block_hash(one) for one in found]


def _at(data: bytes | None, dtype: Any, uid: int) -> Any:
    """The uid's value of a vector; a shorter vector reads as 0."""
    values = decode.sequence(data, np.uint8 if dtype is np.bool_ else dtype)
    return values[uid] if uid < len(values) else 0


def _stake(session: Session, netuid: int, hotkeys: list[bytes | None], hashes: list[str]) -> npt.NDArray[np.uint64]:
    """Alpha on the uid's hotkey of then, at each block: one pass for each hotkey that held the uid."""
    stake = np.zeros(len(hashes), np.uint64)
    for hotkey in dict.fromkeys(one for one in hotkeys if one is not None):
        places = [i for i, one in enumerate(hotkeys) if one == hotkey]
        entry = Entry("TotalHotkeyAlpha", (hotkey, u16(netuid)))
        found = session.read_each([entry], [hashes[i] for i in places])
        for i, snapshot in zip(places, found, strict=True):
            stake[i] = decode.unsigned(snapshot[entry], 8)
    return stake
