"""Time-locked commits: weights that nobody can read, their sender included, before a round of the drand beacon.

The chain opens them by itself, in the epoch that a hash commit would be revealed in; there is nothing
to keep and nothing to send later. What is sent is SCALE (hotkey, uids, weights, version key), encrypted
to the round of drand's quicknet (a round every three seconds) that is out a few blocks into that epoch.
The encryption is bittensor-drand's (extra ``drand``); layout and epochs follow its 2.0 and the runtime's
``WeightsTlockPayload``. Runtimes up to spec 293 take ``commit_crv3_weights``, whose payload has no hotkey.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subnet.chain.calls import PALLET, Call
from subnet.chain.decode import unsigned
from subnet.chain.scale import Cursor
from subnet.chain.session import Entry, Session, block_hash
from subnet.chain.storage import u16
from subnet.chain.weights import compact, mechanism_form, u16s, vec_u16
from subnet.errors import ChainError, MissingExtra, NoSuchSubnet
from subnet.keys import public_key_of
from subnet.types import Block

if TYPE_CHECKING:
    from subnet.chain.runtime import Runtime

QUICKNET_GENESIS = 1_692_803_367
"""Unix time of quicknet's round 1, in seconds."""
QUICKNET_PERIOD = 3
"""Seconds between two rounds."""
INGEST = 3
"""Blocks into its epoch at which a commit's round is out: the chain retries for as long as the epoch lasts."""
MAX_COMMIT = 5000
"""Bytes of a commit that the chain takes."""
BLOCK_SECONDS = 12.0


@dataclass(frozen=True)
class Schedule:
    """When a subnet's epochs run, as of a block; ``last_epoch`` is None where they run by modulo (up to spec 343)."""

    netuid: int
    block: int
    tempo: int
    reveal_period: int
    block_seconds: float = BLOCK_SECONDS
    last_epoch: int | None = None
    pending_epoch: int = 0

    def reveal_block(self) -> Block:
        """The first block of the epoch that opens a commit which lands in the next block."""
        lands = self.block + 1
        if self.last_epoch is None:
            epoch = (lands + self.netuid + 1) // (self.tempo + 1) + self.reveal_period
            return Block(epoch * (self.tempo + 1) - self.netuid - 1)
        due = self.last_epoch + self.tempo
        due = max(lands, min(due, self.pending_epoch) if self.pending_epoch else due)
        later = self.reveal_period - (due != lands)  # in the block of an epoch a commit counts for the new one
        return Block(due + later * self.tempo)

    def reveal_round(self, now: float) -> int:
        """The drand round that is out when the reveal block is; ``now`` is Unix time in seconds."""
        seconds = (self.reveal_block() + INGEST - self.block) * self.block_seconds
        return max(int((now + seconds - QUICKNET_GENESIS) // QUICKNET_PERIOD), 1)


@dataclass(frozen=True)
class Timelocked:
    """A commit ready to be sent, the drand round that opens it, and the block from which the chain will."""

    call: Call
    reveal_round: int
    reveal_block: Block


def payload(hotkey: str | None, uids: Sequence[int], weights: Sequence[int], version_key: int) -> bytes:
    """What is encrypted; without a hotkey for ``commit_crv3_weights``."""
    key = b"" if hotkey is None else compact(32) + public_key_of(hotkey)
    return key + vec_u16(u16s(uids)) + vec_u16(u16s(weights)) + version_key.to_bytes(8, "little")


def lock(data: bytes, reveal_round: int) -> bytes:
    """Encrypt to a drand round. Raises MissingExtra, ChainError."""
    try:
        from bittensor_drand import encrypt_at_round
    except ImportError:
        raise MissingExtra(
            "time-locked commits need bittensor-drand", remedy="Run: pip install 'subnetkit[drand]'"
        ) from None
    try:
        wrapped, _ = encrypt_at_round(data, reveal_round)  # SCALE (Vec<u8> ciphertext, u64 round)
    except ValueError as error:
        raise ChainError(f"weights can't be encrypted: {error}", remedy="Update bittensor-drand.") from error
    commit = Cursor(bytes(wrapped)).blob()
    if len(commit) > MAX_COMMIT:
        raise ValueError(f"these weights make a commit of {len(commit)} bytes; the chain takes {MAX_COMMIT}")
    return commit


def timelocked(
    session: Session,
    hotkey: str,
    netuid: int,
    uids: Sequence[int],
    weights: Sequence[int],
    *,
    version_key: int,
    mechanism: int,
    seconds: float | None,
) -> Timelocked:
    """A job: the commit for the chain's schedule and runtime as they are now."""
    schedule, version = _read_schedule(session, netuid, seconds)
    reveal_round = schedule.reveal_round(time.time())
    commit = lock(payload(None if version is None else hotkey, uids, weights, version_key), reveal_round)
    name = "commit_crv3_weights" if version is None else "commit_timelocked_weights"
    function, base = mechanism_form(name, netuid, mechanism)
    params = {**base, "commit": "0x" + commit.hex(), "reveal_round": reveal_round}
    if version is not None:
        params["commit_reveal_version"] = version
    return Timelocked(Call(PALLET, function, params), reveal_round, schedule.reveal_block())


def block_seconds(runtime: Runtime) -> float:
    """Seconds between two blocks, as the runtime says."""
    slot = runtime.constant("Aura", "SlotDuration")  # milliseconds
    return slot / 1000 if isinstance(slot, int) and slot else BLOCK_SECONDS


def read_reveal_block(session: Session, netuid: int, committed: int) -> Block:
    """A job: the first block of the epoch that opens what was committed in a block."""
    before = block_hash(session.call("chain_getBlockHash", committed - 1))
    return _read_schedule(session, netuid, None, before)[0].reveal_block()


def _read_schedule(
    session: Session, netuid: int, seconds: float | None, at: str | None = None
) -> tuple[Schedule, int | None]:
    """The schedule at a block (None: the head), and the commit-reveal version; None where the runtime has none."""
    key = (u16(netuid),)
    names = ("NetworksAdded", "Tempo", "RevealPeriodEpochs", "LastEpochBlock", "PendingEpochAt")
    added, tempo, period, last, pending = (Entry(name, key) for name in names)
    number, version = Entry("Number", (), "System"), Entry("CommitRevealWeightsVersion")
    found = session.read([number, added, tempo, period, last, pending, version], at)
    if not unsigned(found[added], 1):
        raise NoSuchSubnet(f"there is no subnet {netuid}")
    schedule = Schedule(
        netuid=netuid,
        block=unsigned(found[number], 4),
        tempo=unsigned(found[tempo], 2),
        reveal_period=unsigned(found[period], 8),
        block_seconds=seconds or block_seconds(found.runtime),
        last_epoch=unsigned(found[last], 8) if found.has("LastEpochBlock") else None,
        pending_epoch=unsigned(found[pending], 8),
    )
    if not schedule.tempo:
        raise ChainError(f"subnet {netuid} has no epochs", remedy="Its tempo is 0: nothing would open a commit.")
    return schedule, unsigned(found[version], 2) if found.has("CommitRevealWeightsVersion") else None
