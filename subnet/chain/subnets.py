"""Subnets: which there are, what each is, when its next epoch runs, and what registering one costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from subnet.chain import decode
from subnet.chain.reads import BLOCK_NUMBER, block_of, check_subnet, read_block_hash
from subnet.chain.scan import entries_under
from subnet.chain.session import Entry, Session, Snapshot
from subnet.chain.storage import u16
from subnet.errors import ChainMalformed
from subnet.keys import ss58_of
from subnet.types import Block, Coldkey, Hotkey, Netuid, Rao

_DELAYS = ("InitialStartCallDelay", "DurationOfStartCall")  # constants of runtimes without StartCallDelay
_IDENTITIES = ("SubnetIdentitiesV3", "SubnetIdentitiesV2", "SubnetIdentities")  # the newest that a runtime has counts
_NUMBERS = {  # field of Subnet: (item, bytes of its integer)
    "neurons": ("SubnetworkN", 2),
    "max_neurons": ("MaxAllowedUids", 2),
    "tempo": ("Tempo", 2),
    "burn": ("Burn", 8),
    "registration_open": ("NetworkRegistrationAllowed", 1),
    "started": ("SubtokenEnabled", 1),
    "registered_at": ("NetworkRegisteredAt", 8),
    "emission": ("SubnetAlphaOutEmission", 8),
    "tao": ("SubnetTAO", 8),
    "alpha_in": ("SubnetAlphaIn", 8),
    "alpha_out": ("SubnetAlphaOut", 8),
    "mechanisms": ("MechanismCountCurrent", 1),
}
_PENDING = ("PendingEmission", "PendingServerEmission", "PendingValidatorEmission")  # one, then two of them


@dataclass(frozen=True, slots=True)
class SubnetIdentity:
    """How a subnet's owner describes it; what was left out, or this runtime does not have, is empty."""

    name: str = ""
    github: str = ""
    contact: str = ""
    url: str = ""
    discord: str = ""
    description: str = ""
    logo_url: str = ""
    additional: str = ""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet at one block. Amounts are RAO: of TAO for ``burn`` and ``tao``, of its alpha for the rest."""

    netuid: Netuid
    block_hash: str
    owner: Coldkey
    owner_hotkey: Hotkey
    neurons: int
    max_neurons: int
    tempo: int
    """Blocks between epochs."""
    burn: Rao
    """What a registration costs now."""
    registration_open: bool
    started: bool
    """Whether start_call has run: before it there is no emission. True where the runtime has no start_call."""
    registered_at: Block
    emission: Rao
    """Alpha a block to its neurons and owner, where the chain keeps it."""
    pending: Rao
    """Alpha that waits for the coming epoch."""
    tao: Rao
    alpha_in: Rao
    alpha_out: Rao
    """The pool: TAO and alpha in it, alpha outside."""
    mechanisms: int
    symbol: str
    identity: SubnetIdentity | None


def read_netuids(session: Session, at: str | None) -> list[Netuid]:
    """The numbers of all subnets, ascending (0 is the root network where the chain has it)."""
    found = entries_under(session, Entry("NetworksAdded"), at or read_block_hash(session, None))
    try:
        return sorted(Netuid(int(netuid)) for (netuid,), value in found if decode.unsigned(value, 1))
    except (TypeError, ValueError):
        raise ChainMalformed("NetworksAdded is not keyed by numbers") from None


def read_subnet_details(session: Session, netuids: list[Netuid] | None, at: str | None) -> list[Subnet]:
    """Details of these subnets (None: of all), at one block. Raises NoSuchSubnet."""
    at = at or read_block_hash(session, None)
    wanted = read_netuids(session, at) if netuids is None else netuids
    items = [item for item, _ in _NUMBERS.values()]
    items += ["NetworksAdded", "SubnetOwner", "SubnetOwnerHotkey", "TokenSymbol", *_PENDING, *_IDENTITIES]
    snapshot = session.read([Entry(item, (u16(netuid),)) for netuid in wanted for item in items], at)
    return [_details(snapshot, netuid) for netuid in wanted]


def read_mechanism_count(session: Session, netuid: int, at: str | None) -> int:
    """How many mechanisms a subnet has, 1 at the least. Raises NoSuchSubnet."""
    added, count = Entry("NetworksAdded", (u16(netuid),)), Entry("MechanismCountCurrent", (u16(netuid),))
    snapshot = session.read([added, count], at)
    check_subnet(snapshot, added, netuid)
    return decode.unsigned(snapshot[count], 1) or 1


def _details(snapshot: Snapshot, netuid: Netuid) -> Subnet:
    key = (u16(netuid),)
    check_subnet(snapshot, Entry("NetworksAdded", key), netuid)
    numbers: dict[str, Any] = {
        name: decode.unsigned(snapshot[Entry(item, key)], size) for name, (item, size) in _NUMBERS.items()
    }
    numbers["registration_open"] = bool(numbers["registration_open"])
    numbers["started"] = bool(numbers["started"]) or not snapshot.has("SubtokenEnabled")
    symbol = snapshot.value(Entry("TokenSymbol", key), raw=True)
    return Subnet(
        netuid=netuid,
        block_hash=snapshot.block_hash,
        owner=Coldkey(ss58_of(decode.account(snapshot[Entry("SubnetOwner", key)]))),
        owner_hotkey=ss58_of(decode.account(snapshot[Entry("SubnetOwnerHotkey", key)])),
        pending=Rao(sum(decode.unsigned(snapshot[Entry(item, key)], 8) for item in _PENDING)),
        symbol=as_text(symbol),
        identity=_identity(snapshot, key),
        **numbers | {"mechanisms": numbers["mechanisms"] or 1},
    )


def _identity(snapshot: Snapshot, key: tuple[bytes, ...]) -> SubnetIdentity | None:
    for item in _IDENTITIES:
        found = snapshot.value(Entry(item, key), raw=True)
        if found is not None:
            return SubnetIdentity(**texts(found, SubnetIdentity, {"github_repo": "github"}, prefix="subnet_"))
    return None


def texts(found: Any, kind: type, renamed: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    """The text fields of an identity that ``kind`` has too, by its names for them."""
    if not isinstance(found, Mapping):
        raise ChainMalformed("an identity has no fields")
    named = {renamed.get(name, name.removeprefix(prefix)): value for name, value in found.items()}
    return {name: as_text(value) for name, value in named.items() if name in kind.__annotations__}


def as_text(value: Any) -> str:
    """Text that a stranger wrote on the chain: what is not UTF-8 is replaced."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


# Time and cost


def read_next_epoch(session: Session, netuid: int) -> Block | None:
    """The block in which the coming epoch runs; None for a subnet that has none (tempo 0)."""
    key = (u16(netuid),)
    tempo_of, last, pending = (Entry(item, key) for item in ("Tempo", "LastEpochBlock", "PendingEpochAt"))
    added = Entry("NetworksAdded", key)
    snapshot = session.read([BLOCK_NUMBER, added, tempo_of, last, pending])
    check_subnet(snapshot, added, netuid)
    tempo, now = decode.unsigned(snapshot[tempo_of], 2), block_of(session, snapshot)
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


def read_network_cost(session: Session) -> Rao:
    """RAO that register_network locks now: twice the last cost, falling to the minimum over the interval."""
    items = ("NetworkLastLockCost", "NetworkMinLockCost", "NetworkLockReductionInterval", "NetworkLastRegistered")
    last, least, interval, registered = map(Entry, items)
    snapshot = session.read([BLOCK_NUMBER, last, least, interval, registered])
    cost = decode.unsigned(snapshot[last], 8)
    at = decode.unsigned(snapshot[registered], 8) or _last_registration(session, snapshot)
    blocks = decode.unsigned(snapshot[interval], 8)
    passed = max(block_of(session, snapshot) - at, 0)
    fallen = cost // blocks * passed if blocks else 0
    return Rao(max(cost * (2 if at else 1) - fallen, decode.unsigned(snapshot[least], 8)))


def _last_registration(session: Session, snapshot: Snapshot) -> int:
    """The block of the last register_network, where the runtime keeps it with the other rate limits."""
    if not snapshot.has("LastRateLimitedBlock"):
        return 0
    keys = snapshot.runtime.key_parts("SubtensorModule", "LastRateLimitedBlock", ["NetworkLastRegistered"])
    entry = Entry("LastRateLimitedBlock", keys)
    return decode.unsigned(session.read([entry], snapshot.block_hash)[entry], 8)
