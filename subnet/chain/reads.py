"""Jobs that read: each takes the connection's Session, blocks, and returns plain or typed values.

The metagraph takes two round trips: the per-subnet vectors with the uids' hotkeys (as many as the
subnet had last time, so that its size need not be asked first), then what is kept by hotkey, at
the same block. Bytes are taken apart with numpy (:mod:`subnet.chain.decode`), not scalecodec.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.chain import decode
from subnet.chain.session import Entry, Session, Snapshot, block_hash, block_number
from subnet.chain.storage import u16
from subnet.errors import ChainError, ChainMalformed, NoSuchSubnet
from subnet.keys import public_key_of, ss58_of
from subnet.types import AxonInfo, Block, Coldkey, Metagraph, Netuid, Rao, Uid

_VECTORS: dict[str, tuple[str, Any]] = {  # column of Metagraph: (item, dtype)
    "active": ("Active", np.bool_),
    "validator_permit": ("ValidatorPermit", np.bool_),
    "consensus": ("Consensus", np.uint16),
    "incentive": ("Incentive", np.uint16),
    "dividends": ("Dividends", np.uint16),
    "validator_trust": ("ValidatorTrust", np.uint16),
    "emission": ("Emission", np.uint64),
    "last_update": ("LastUpdate", np.uint64),
}
_NUMBER = Entry("Number", (), "System")
_PAGE = 1000
_DELAYS = ("InitialStartCallDelay", "DurationOfStartCall")  # constants of runtimes without StartCallDelay


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


def read_metagraph(session: Session, netuid: int, at: str | None, guess: int) -> Metagraph:
    """A subnet's neurons at block hash ``at`` (None: the head); ``guess`` is how many there may be.

    Raises NoSuchSubnet, ChainMalformed.
    """
    key = u16(netuid)
    scalars = [Entry(item, (key,)) for item in ("NetworksAdded", "SubnetworkN", "Tempo", "SubnetOwnerHotkey")]
    vectors = [Entry(item, (key,)) for item, _ in _VECTORS.values()]
    first = session.read([_NUMBER, *scalars, *vectors, *_uid_entries(key, range(guess))], at)
    if not decode.unsigned(first[scalars[0]], 1):
        raise NoSuchSubnet(f"there is no subnet {netuid}")
    n = decode.unsigned(first[scalars[1]], 2)
    by_uid = dict(first.entries)
    if n > guess:
        by_uid |= session.read(_uid_entries(key, range(guess, n)), first.block_hash).entries
    accounts = [decode.account(by_uid[Entry("Keys", (key, u16(uid)))]) for uid in range(n)]
    columns: dict[str, Any] = {
        name: decode.column(first[Entry(item, (key,))], dtype, n) for name, (item, dtype) in _VECTORS.items()
    }
    born = [decode.unsigned(by_uid[Entry("BlockAtRegistration", (key, u16(uid)))], 8) for uid in range(n)]
    columns["block_at_registration"] = np.array(born, np.uint64)
    owner = decode.account(first[scalars[3]])
    axons, coldkeys, stake = _by_hotkey(session, key, accounts, first.block_hash)
    return Metagraph(
        netuid=Netuid(netuid),
        block=_block_of(session, first),
        block_hash=first.block_hash,
        tempo=decode.unsigned(first[scalars[2]], 2),
        hotkeys=tuple(map(ss58_of, accounts)),
        owner_hotkey=ss58_of(owner),
        axons=axons,
        coldkeys=coldkeys,
        stake=stake,
        **columns,
    )


def _uid_entries(key: bytes, uids: range) -> list[Entry]:
    return [Entry(item, (key, u16(uid))) for item in ("Keys", "BlockAtRegistration") for uid in uids]


def _by_hotkey(
    session: Session, key: bytes, accounts: list[bytes], at: str
) -> tuple[tuple[AxonInfo | None, ...], tuple[Coldkey, ...], npt.NDArray[np.uint64]]:
    """The columns that the chain keeps by hotkey: axons, coldkeys, stake."""
    axons = [Entry("Axons", (key, account)) for account in accounts]
    owners = [Entry("Owner", (account,)) for account in accounts]
    stakes = [Entry("TotalHotkeyAlpha", (account, key)) for account in accounts]
    second = session.read([*axons, *owners, *stakes], at)
    return (
        tuple(decode.axon(second[entry]) for entry in axons),
        tuple(Coldkey(ss58_of(decode.account(second[entry]))) for entry in owners),
        np.array([decode.unsigned(second[entry], 8) for entry in stakes], np.uint64),
    )


def _block_of(session: Session, snapshot: Snapshot) -> Block:
    """The snapshot's block number: from its own System.Number, else from its header."""
    number = decode.unsigned(snapshot[_NUMBER], 4)
    return Block(number or block_number(session.call("chain_getHeader", snapshot.block_hash)))


def read_weights(session: Session, netuid: int, at: str | None, guess: int) -> dict[Uid, list[tuple[Uid, int]]]:
    """Weights by validator uid as stored: (uid, u16); validators without any are left out."""
    key = u16(netuid)
    size = Entry("SubnetworkN", (key,))
    first = session.read([size, *_weight_entries(key, range(guess))], at)
    n = decode.unsigned(first[size], 2)
    entries = dict(first.entries)
    if n > guess:
        entries |= session.read(_weight_entries(key, range(guess, n)), first.block_hash).entries
    rows = {Uid(uid): decode.pairs(entries[Entry("Weights", (key, u16(uid)))]) for uid in range(n)}
    return {uid: [(Uid(target), value) for target, value in row] for uid, row in rows.items() if row}


def _weight_entries(key: bytes, uids: range) -> list[Entry]:
    return [Entry("Weights", (key, u16(uid))) for uid in uids]


def read_subnets(session: Session) -> list[Netuid]:
    """The numbers of all subnets, ascending (0 is the root network where the chain has it)."""
    item = session.runtime().item("SubtensorModule", "NetworksAdded")
    if item is None:
        return []
    prefix, start = "0x" + item.prefix.hex(), None
    netuids: set[int] = set()
    while len(netuids) <= decode.MAX_NEURONS:
        page = session.call("state_getKeysPaged", prefix, _PAGE, *([start] if start else []))
        found = _netuids(page, prefix)
        if not found:
            break
        netuids.update(found)
        start = page[-1]
        if len(page) < _PAGE:
            break
    entries = [Entry("NetworksAdded", (u16(netuid),)) for netuid in sorted(netuids)]
    if not entries:
        return []
    snapshot = session.read(entries)
    return [
        Netuid(netuid)
        for netuid, entry in zip(sorted(netuids), entries, strict=True)
        if decode.unsigned(snapshot[entry], 1)
    ]


def _netuids(page: Any, prefix: str) -> list[int]:
    """Netuids from storage keys: the last two bytes, since every hasher in use ends in its input."""
    if not isinstance(page, list) or len(page) > _PAGE:
        raise ChainMalformed("an answer to state_getKeysPaged is no page of keys")
    try:
        return [int.from_bytes(bytes.fromhex(key[-4:]), "little") for key in page if key.lower().startswith(prefix)]
    except (AttributeError, TypeError, ValueError):
        raise ChainMalformed("an answer to state_getKeysPaged holds no keys") from None


def read_balance(session: Session, address: str) -> Rao:
    """Free balance; an account that the chain does not know has 0."""
    entry = Entry("Account", (public_key_of(address),), "System")
    snapshot = session.read([entry])
    account = snapshot.runtime.value("System", "Account", snapshot[entry])
    try:
        return Rao(int(account["data"]["free"]))
    except (TypeError, KeyError):
        raise ChainMalformed("System.Account holds no free balance") from None


def read_stake(session: Session, hotkey: str, netuid: int) -> Rao:
    """Alpha on the hotkey, its own and its nominators'."""
    entry = Entry("TotalHotkeyAlpha", (public_key_of(hotkey), u16(netuid)))
    return Rao(decode.unsigned(session.read([entry])[entry], 8))


def read_uid(session: Session, netuid: int, hotkey: str) -> Uid | None:
    """The hotkey's uid, or None where it is not registered."""
    entry = Entry("Uids", (u16(netuid), public_key_of(hotkey)))
    value = session.read([entry])[entry]
    return None if value is None else Uid(decode.unsigned(value, 2))


def read_next_epoch(session: Session, netuid: int) -> Block | None:
    """The block in which the coming epoch runs; None for a subnet that has none (tempo 0)."""
    key = (u16(netuid),)
    tempo_of, last, pending = (Entry(item, key) for item in ("Tempo", "LastEpochBlock", "PendingEpochAt"))
    added = Entry("NetworksAdded", key)
    snapshot = session.read([_NUMBER, added, tempo_of, last, pending])
    if not decode.unsigned(snapshot[added], 1):
        raise NoSuchSubnet(f"there is no subnet {netuid}")
    tempo, now = decode.unsigned(snapshot[tempo_of], 2), _block_of(session, snapshot)
    if tempo == 0:
        return None
    if not snapshot.has("LastEpochBlock"):
        return Block(legacy_next_epoch(now, netuid, tempo))
    due = decode.unsigned(snapshot[last], 8) + tempo
    asked = decode.unsigned(snapshot[pending], 8)
    return Block(max(min(due, asked) if asked > now else due, now + 1))


def legacy_next_epoch(now: int, netuid: int, tempo: int) -> int:
    """The first block b after ``now`` with (b + netuid + 2) % (tempo + 1) == 0: the rule up to spec 343."""
    return now + 1 + -(now + netuid + 3) % (tempo + 1)


def read_start_block(session: Session, netuid: int) -> Block:
    """The first block at which start_call may be included: registration plus the runtime's delay."""
    registered, stored = Entry("NetworkRegisteredAt", (u16(netuid),)), Entry("StartCallDelay")
    snapshot = session.read([registered, stored])
    blocks = decode.unsigned(snapshot[stored], 8)
    if not snapshot.has("StartCallDelay"):
        found = (snapshot.runtime.constant("SubtensorModule", name) for name in _DELAYS)
        blocks = next((int(delay) for delay in found if delay is not None), 0)
    return Block(decode.unsigned(snapshot[registered], 8) + blocks)


def from_hex(value: Any) -> bytes | None:
    """Bytes of a storage value as the node sends it; None for an absent one. Raises ChainMalformed."""
    try:
        return None if value is None else bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError, TypeError):
        raise ChainMalformed("a storage value is not hex") from None
