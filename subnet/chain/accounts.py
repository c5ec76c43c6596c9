"""Accounts: balances, identities, who owns whom, children and parents, takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from subnet.chain import decode
from subnet.chain.session import Entry, Session
from subnet.chain.storage import u16
from subnet.chain.subnets import texts
from subnet.errors import ChainMalformed
from subnet.keys import public_key_of
from subnet.types import Hotkey, Rao, Uid

_IDENTITIES = ("IdentitiesV2", "Identities")  # the newest that a runtime has counts


@dataclass(frozen=True, slots=True)
class Identity:
    """How a coldkey describes itself; what was left out, or this runtime does not have, is empty."""

    name: str = ""
    url: str = ""
    github: str = ""
    image: str = ""
    discord: str = ""
    description: str = ""
    additional: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    """A child or a parent of a hotkey, and how much of the parent's stake the child is lent."""

    hotkey: Hotkey
    proportion: int
    """u64: 2**64 - 1 is all of it."""

    @property
    def share(self) -> float:
        """The proportion from 0 to 1."""
        return self.proportion / (2**64 - 1)


def read_balances(session: Session, addresses: Sequence[str], at: str | None) -> dict[str, Rao]:
    """Free balances by address; an account that the chain does not know has 0."""
    entries = {address: Entry("Account", (public_key_of(address),), "System") for address in addresses}
    snapshot = session.read(entries.values(), at)
    try:
        return {name: Rao(int(snapshot.value(entry)["data"]["free"])) for name, entry in entries.items()}
    except (TypeError, KeyError, ValueError):
        raise ChainMalformed("System.Account holds no free balance") from None


def read_identities(session: Session, coldkeys: Sequence[str], at: str | None) -> dict[str, Identity | None]:
    """Identities by coldkey; None for those that have set none."""
    keys = {coldkey: public_key_of(coldkey) for coldkey in coldkeys}
    snapshot = session.read([Entry(item, (key,)) for key in keys.values() for item in _IDENTITIES], at)
    found: dict[str, Identity | None] = dict.fromkeys(keys)
    for coldkey, key in keys.items():
        values = (snapshot.value(Entry(item, (key,)), raw=True) for item in _IDENTITIES)
        value = next((one for one in values if one is not None), None)
        if value is not None:
            found[coldkey] = Identity(**texts(value, Identity, {"github_repo": "github"}))
    return found


def read_uid(session: Session, netuid: int, hotkey: str) -> Uid | None:
    """The hotkey's uid, or None where it is not registered."""
    entry = Entry("Uids", (u16(netuid), public_key_of(hotkey)))
    value = session.read([entry])[entry]
    return None if value is None else Uid(decode.unsigned(value, 2))


def read_relations(session: Session, item: str, hotkey: str, netuid: int, at: str | None) -> tuple[Relation, ...]:
    """``ChildKeys`` or ``ParentKeys`` of a hotkey on a subnet."""
    entry = Entry(item, (public_key_of(hotkey), u16(netuid)))
    found = session.read([entry], at).value(entry)
    try:
        return tuple(Relation(Hotkey(str(other)), int(proportion)) for proportion, other in found or ())
    except (TypeError, ValueError):
        raise ChainMalformed(f"{item} holds no relations") from None


def read_take(session: Session, hotkey: str, netuid: int | None, at: str | None) -> int:
    """The hotkey's take, u16: as delegate, or as a child on a subnet."""
    parts: tuple[Any, ...] = (public_key_of(hotkey),)
    entry = Entry("Delegates", parts) if netuid is None else Entry("ChildkeyTake", (*parts, u16(netuid)))
    return decode.unsigned(session.read([entry], at)[entry], 2)
