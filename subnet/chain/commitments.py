"""What neurons commit: a few bytes that anybody may read, and weights that are revealed later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from subnet.chain.metagraph import storage_index
from subnet.chain.reads import read_block_hash
from subnet.chain.scan import entries_under
from subnet.chain.session import Entry, Session
from subnet.chain.storage import u16
from subnet.errors import ChainMalformed
from subnet.keys import public_key_of
from subnet.types import Block, Hotkey

PALLET = "Commitments"


@dataclass(frozen=True, slots=True)
class Datum:
    """One field of a commitment; ``kind`` is Raw, BigRaw, a hash's name (Sha256 ...), TimelockEncrypted or a flag."""

    kind: str
    data: bytes = b""
    reveal_round: int | None = None
    """The drand round that opens it, where it is time-locked."""

    @property
    def text(self) -> str:
        """The bytes as text; what is not UTF-8 is replaced."""
        return self.data.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a hotkey published on a subnet, and in which block; at most a few hundred bytes."""

    hotkey: Hotkey
    block: Block
    data: tuple[Datum, ...]


@dataclass(frozen=True, slots=True)
class OpenCommit:
    """Weights that a validator committed by hash. When it may reveal them, runtimes up to 343 keep as blocks;
    later ones keep the commit's epoch, which the reveal's follows by RevealPeriodEpochs (see ``reveal_block``)."""

    hotkey: Hotkey
    hash: str
    block: Block
    epoch: int | None = None
    first_reveal: Block | None = None
    last_reveal: Block | None = None


@dataclass(frozen=True, slots=True)
class TimelockedCommit:
    """Encrypted weights, which the chain opens with the drand round ``reveal_round``."""

    hotkey: Hotkey
    epoch: int
    block: Block | None
    """None on runtimes that do not keep it."""
    data: bytes
    reveal_round: int


def read_commitment(session: Session, netuid: int, hotkey: str, at: str | None) -> Commitment | None:
    """A hotkey's commitment; None where it has none, or the chain has no commitments."""
    entry = Entry("CommitmentOf", (u16(netuid), public_key_of(hotkey)), PALLET)
    found = session.read([entry], at).value(entry, raw=True)
    return None if found is None else _commitment(Hotkey(hotkey), found)


def read_commitments(session: Session, netuid: int, at: str | None) -> dict[Hotkey, Commitment]:
    """All commitments on a subnet, by hotkey."""
    at = at or read_block_hash(session, None)
    runtime = session.runtime_at(at)
    found = entries_under(session, Entry("CommitmentOf", (u16(netuid),), PALLET), at)
    values = {Hotkey(hotkey): runtime.value(PALLET, "CommitmentOf", data, raw=True) for (hotkey,), data in found}
    return {hotkey: _commitment(hotkey, value) for hotkey, value in values.items()}


def _commitment(hotkey: Hotkey, value: Any) -> Commitment:
    try:
        return Commitment(hotkey, Block(int(value["block"])), tuple(data_of(value["info"]["fields"])))
    except (TypeError, KeyError, ValueError):
        raise ChainMalformed("CommitmentOf holds no commitment") from None


def data_of(fields: Any) -> Iterator[Datum]:
    """The fields of a commitment, flat as they decode or nested in lists as they are sent. Raises ChainMalformed."""
    for field in fields:
        match field:
            case list() | tuple():
                yield from data_of(field)
            case str(flag):
                if flag != "None":
                    yield Datum(flag)
            case {"TimelockEncrypted": {"encrypted": encrypted, "reveal_round": int(reveal_round)}}:
                yield Datum("TimelockEncrypted", _as_bytes(encrypted), reveal_round)
            case Mapping() if len(field) == 1:
                ((kind, content),) = field.items()
                yield Datum("Raw" if kind[:3] == "Raw" and kind[3:].isdecimal() else kind, _as_bytes(content))
            case _:
                raise ChainMalformed(f"{str(field)[:100]} is no field of a commitment")


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            raise ChainMalformed("a field of a commitment is not hex") from None
    raise ChainMalformed(f"{str(value)[:100]} is no content of a commitment")


def read_weight_commits(
    session: Session, netuid: int, mecid: int, hotkey: str | None, at: str | None
) -> tuple[OpenCommit, ...]:
    """Open commits by hash, oldest first by hotkey; of one hotkey if it is given."""
    at, key = at or read_block_hash(session, None), u16(storage_index(netuid, mecid))
    runtime = session.runtime_at(at)
    by_epoch = runtime.item("SubtensorModule", "SubnetEpochIndex") is not None  # the same four fields, but others
    if hotkey is not None:
        entry = Entry("WeightCommits", (key, public_key_of(hotkey)))
        data = session.read([entry], at)[entry]
        found: list[tuple[tuple[Any, ...], bytes]] = [] if data is None else [((hotkey,), data)]
    else:
        found = entries_under(session, Entry("WeightCommits", (key,)), at)
    commits = []
    for (owner,), data in found:
        for digest, *when in _rows(runtime.value("SubtensorModule", "WeightCommits", data), 4):
            if by_epoch:
                epoch, block, _ = when
                commits.append(OpenCommit(Hotkey(owner), str(digest), Block(block), epoch=epoch))
            else:
                block, first, last = map(Block, when)
                commits.append(OpenCommit(Hotkey(owner), str(digest), block, None, first, last))
    return tuple(commits)


def read_timelocked_commits(session: Session, netuid: int, mecid: int, at: str | None) -> tuple[TimelockedCommit, ...]:
    """Commits that the chain has still to open, by epoch."""
    at, key = at or read_block_hash(session, None), u16(storage_index(netuid, mecid))
    runtime = session.runtime_at(at)
    commits = []
    for item, width in (("TimelockedWeightCommits", 4), ("CRV3WeightCommits", 3)):  # the second up to spec 293
        for (epoch,), value in entries_under(session, Entry(item, (key,)), at):
            for row in _rows(runtime.value("SubtensorModule", item, value, raw=True), width):
                owner, *block, data, reveal_round = row
                when = Block(block[0]) if block else None
                commits.append(TimelockedCommit(Hotkey(owner), int(epoch), when, _as_bytes(data), int(reveal_round)))
    return tuple(sorted(commits, key=lambda commit: commit.epoch))


def _rows(value: Any, width: int) -> list[Any]:
    if not isinstance(value, list) or any(not isinstance(row, tuple) or len(row) != width for row in value):
        raise ChainMalformed("a list of weight commits holds something else")
    return value
