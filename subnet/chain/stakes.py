"""Stake: how much alpha who has on which hotkey on which subnet.

The chain keeps a total by hotkey and subnet (TotalHotkeyAlpha) and each coldkey's shares in it, in one
of three ways: as whole numbers (u64), as fixed-point shares (U64F64), as decimal floats (AlphaV2, which
counts before Alpha where both hold an entry). Amounts reckoned from shares are those of the runtime to 1 RAO.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from subnet.chain import decode
from subnet.chain.reads import read_block_hash
from subnet.chain.scan import entries_under, keys_under
from subnet.chain.session import Entry, Session, Snapshot
from subnet.chain.storage import u16
from subnet.errors import ChainMalformed
from subnet.keys import public_key_of, ss58_of
from subnet.types import Coldkey, Hotkey, Netuid, Rao

_SHARES = (("AlphaV2", "TotalHotkeySharesV2"), ("Alpha", "TotalHotkeyShares"))
_MAX_EXPONENT = 128  # a SafeFloat's is within some tens


@dataclass(frozen=True, slots=True)
class Stake:
    """A coldkey's alpha on a hotkey on a subnet, in RAO (of TAO on the root network)."""

    hotkey: Hotkey
    coldkey: Coldkey
    netuid: Netuid
    alpha: Rao


class _Place(NamedTuple):
    hotkey: bytes
    coldkey: bytes
    netuid: int


def read_stake(session: Session, hotkey: str, netuid: int, at: str | None) -> Rao:
    """Alpha on the hotkey, its own and its nominators'."""
    entry = Entry("TotalHotkeyAlpha", (public_key_of(hotkey), u16(netuid)))
    return Rao(decode.unsigned(session.read([entry], at)[entry], 8))


def read_stakes_of(session: Session, coldkey: str, at: str | None) -> tuple[Stake, ...]:
    """All that a coldkey has staked, by hotkey and subnet."""
    at, cold = at or read_block_hash(session, None), public_key_of(coldkey)
    staking, owned = Entry("StakingHotkeys", (cold,)), Entry("OwnedHotkeys", (cold,))
    first = session.read([staking, owned], at)
    hotkeys = list(dict.fromkeys([*_accounts(first[staking]), *_accounts(first[owned])]))
    entries: dict[_Place, Entry] = {}
    for item, _ in reversed(_SHARES):  # what stands in the first of the maps counts
        found = first.runtime.item("SubtensorModule", item)
        if found is None:
            continue
        pages = keys_under(session, [found.under(hotkey, cold) for hotkey in hotkeys], at)
        for hotkey, keys in zip(hotkeys, pages, strict=True):
            for netuid in (bytes.fromhex(key[-4:]) for key in keys):
                place = _Place(hotkey, cold, int.from_bytes(netuid, "little"))
                entries[place] = Entry(item, (hotkey, cold, netuid))
    if not entries:
        return ()
    snapshot = session.read(entries.values(), at)
    return _stakes(session, at, {place: snapshot.value(entry) for place, entry in entries.items()})


def read_stakes_on(session: Session, hotkey: str, netuid: int | None, at: str | None) -> tuple[Stake, ...]:
    """All that is staked on a hotkey, by coldkey and subnet (``netuid`` None: on all)."""
    at, hot = at or read_block_hash(session, None), public_key_of(hotkey)
    runtime = session.runtime_at(at)
    shares: dict[_Place, Any] = {}
    for item, _ in reversed(_SHARES):
        for (coldkey, number), value in entries_under(session, Entry(item, (hot,)), at):
            if netuid is None or number == netuid:
                place = _Place(hot, public_key_of(coldkey), int(number))
                shares[place] = runtime.value("SubtensorModule", item, value)
    return _stakes(session, at, shares) if shares else ()


def _accounts(data: bytes | None) -> Iterable[bytes]:
    return (bytes(one) for one in decode.sequence(data, "V32"))


def _stakes(session: Session, at: str, shares: Mapping[_Place, Any]) -> tuple[Stake, ...]:
    """Shares as alpha, with the totals that they are shares of."""
    pools = {place: (place.hotkey, u16(place.netuid)) for place in shares}
    items = ["TotalHotkeyAlpha", *(total for _, total in _SHARES)]
    totals = session.read([Entry(item, pool) for pool in sorted(set(pools.values())) for item in items], at)
    return tuple(
        Stake(Hotkey(ss58_of(place.hotkey)), Coldkey(ss58_of(place.coldkey)), Netuid(place.netuid), Rao(alpha))
        for place, share in sorted(shares.items())
        if (alpha := _alpha(share, totals, pools[place]))
    )


def _alpha(share: Any, totals: Snapshot, pool: tuple[bytes, ...]) -> int:
    total = next((number for _, item in _SHARES if (number := as_number(totals.value(Entry(item, pool))))), None)
    if total is None:  # where nothing counts the shares, whole ones are alpha, and any others are worth nothing
        return share if isinstance(share, int) else 0
    alpha = decode.unsigned(totals[Entry("TotalHotkeyAlpha", pool)], 8)
    # to the nearest: decimal shares keep 21 digits of what can have more
    return round(as_number(share) * alpha / total)


def as_number(value: Any) -> Fraction:
    """A share as an exact number: whole, fixed-point bits, or a decimal float. Raises ChainMalformed."""
    match value:
        case None:
            return Fraction(0)
        case int():
            return Fraction(value)
        case {"bits": int(bits)}:
            return Fraction(bits, 2**64)
        case {"mantissa": int(mantissa), "exponent": int(exponent)} if abs(exponent) <= _MAX_EXPONENT:
            return mantissa * Fraction(10) ** exponent
    raise ChainMalformed(f"{str(value)[:100]} is no share of stake")
