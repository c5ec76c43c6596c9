"""The metagraph: a subnet at one block, in two round trips.

First the per-subnet vectors with the uids' hotkeys (as many as the subnet had last time, so that its
size need not be asked first), then what is kept by hotkey, at the same block. Bytes are taken apart
with numpy (:mod:`subnet.chain.decode`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from subnet.chain import decode
from subnet.chain.reads import BLOCK_NUMBER, block_of, check_subnet
from subnet.chain.session import Entry, Session, Snapshot
from subnet.chain.storage import u16
from subnet.errors import ChainError
from subnet.keys import ss58_of
from subnet.types import Coldkey, Metagraph, Netuid

MECHANISMS = 4096
"""A storage index is mecid * MECHANISMS + netuid, so that mechanism 0 has the netuid itself."""

VECTORS: dict[str, tuple[str, Any]] = {  # column of Metagraph: (item, dtype); Rank and Trust are gone at head
    "active": ("Active", np.bool_),
    "validator_permit": ("ValidatorPermit", np.bool_),
    "consensus": ("Consensus", np.uint16),
    "incentive": ("Incentive", np.uint16),
    "dividends": ("Dividends", np.uint16),
    "validator_trust": ("ValidatorTrust", np.uint16),
    "emission": ("Emission", np.uint64),
    "last_update": ("LastUpdate", np.uint64),
    "stake_weight": ("StakeWeight", np.uint16),
}
PER_MECHANISM = ("Incentive", "LastUpdate", "Weights", "Bonds")
_ROOT = u16(0)


def storage_index(netuid: int, mecid: int) -> int:
    """What items of a mechanism are keyed by. ValueError for numbers that no chain has."""
    if not 0 <= mecid <= (65_535 - netuid) // MECHANISMS or (mecid and netuid >= MECHANISMS):
        raise ValueError(f"there can be no mechanism {mecid} on subnet {netuid}")
    return mecid * MECHANISMS + netuid


def vector_entries(netuid: int, mecid: int) -> dict[str, Entry]:
    """The entry of each column of VECTORS."""
    index = u16(storage_index(netuid, mecid))
    return {
        name: Entry(item, (index if item in PER_MECHANISM else u16(netuid),)) for name, (item, _) in VECTORS.items()
    }


def check_mechanism(snapshot: Snapshot, netuid: int, mecid: int) -> None:
    """Raises ChainError where the subnet has no such mechanism; its count must be in the snapshot."""
    count = decode.unsigned(snapshot[mechanism_count(netuid)], 1) or 1
    if mecid >= count:
        raise ChainError(
            f"subnet {netuid} has no mechanism {mecid}",
            remedy=f"Its mechanisms are 0 to {count - 1}." if count > 1 else "It has one mechanism, number 0.",
        )


def mechanism_count(netuid: int) -> Entry:
    return Entry("MechanismCountCurrent", (u16(netuid),))


def read_metagraph(session: Session, netuid: int, at: str | None, guess: int, mecid: int = 0) -> Metagraph:
    """A subnet's neurons at block hash ``at`` (None: the head); ``guess`` is how many there may be.

    Raises NoSuchSubnet, ChainMalformed; ChainError for a mechanism that the subnet does not have.
    """
    key = u16(netuid)
    added, size, tempo, owner = (
        Entry(item, (key,)) for item in ("NetworksAdded", "SubnetworkN", "Tempo", "SubnetOwnerHotkey")
    )
    tao_weight, count = Entry("TaoWeight"), mechanism_count(netuid)
    vectors = vector_entries(netuid, mecid)
    wanted = [BLOCK_NUMBER, added, size, tempo, owner, tao_weight, count, *vectors.values()]
    first = session.read([*wanted, *_uid_entries(key, range(guess))], at)
    check_subnet(first, added, netuid)
    check_mechanism(first, netuid, mecid)
    n = decode.unsigned(first[size], 2)
    by_uid = first.entries
    if n > guess:
        by_uid = by_uid | session.read(_uid_entries(key, range(guess, n)), first.block_hash).entries
    uids = [u16(uid) for uid in range(n)]
    accounts = [decode.account(by_uid[Entry("Keys", (key, uid))]) for uid in uids]
    columns: dict[str, Any] = {
        name: decode.column(first[vectors[name]], dtype, n) for name, (_, dtype) in VECTORS.items()
    }
    born = [decode.unsigned(by_uid[Entry("BlockAtRegistration", (key, uid))], 8) for uid in uids]
    return Metagraph(
        netuid=Netuid(netuid),
        block=block_of(session, first),
        block_hash=first.block_hash,
        tempo=decode.unsigned(first[tempo], 2),
        hotkeys=tuple(map(ss58_of, accounts)),
        owner_hotkey=ss58_of(decode.account(first[owner])),
        mecid=mecid,
        tao_weight=decode.unsigned(first[tao_weight], 8) / 2**64,
        block_at_registration=np.array(born, np.uint64),
        **columns,
        **_by_hotkey(session, key, accounts, first.block_hash),
    )


def _uid_entries(key: bytes, uids: range) -> list[Entry]:
    return [Entry(item, (key, u16(uid))) for item in ("Keys", "BlockAtRegistration") for uid in uids]


def _by_hotkey(session: Session, key: bytes, accounts: list[bytes], at: str) -> dict[str, Any]:
    """The columns that the chain keeps by hotkey."""
    by_netuid = ("Axons", "Prometheus", "NeuronCertificates")
    axons, prometheus, certificates = ([Entry(item, (key, one)) for one in accounts] for item in by_netuid)
    alpha, tao = ([Entry("TotalHotkeyAlpha", (one, netuid)) for one in accounts] for netuid in (key, _ROOT))
    owners = [Entry("Owner", (one,)) for one in accounts]
    found = session.read([*axons, *prometheus, *certificates, *owners, *alpha, *tao], at)
    return {
        "axons": tuple(decode.axon(found[entry]) for entry in axons),
        "prometheus": tuple(decode.prometheus(found[entry]) for entry in prometheus),
        "certificates": tuple(decode.certificate(found[entry]) for entry in certificates),
        "coldkeys": tuple(Coldkey(ss58_of(decode.account(found[entry]))) for entry in owners),
        "stake": np.array([decode.unsigned(found[entry], 8) for entry in alpha], np.uint64),
        "tao_stake": np.array([decode.unsigned(found[entry], 8) for entry in tao], np.uint64),
    }
