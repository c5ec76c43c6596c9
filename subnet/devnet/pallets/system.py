"""System, Timestamp, Aura and TransactionPayment: what every Substrate chain has."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from subnet.devnet.context import Context
from subnet.devnet.hashing import TWOX64_CONCAT, blake2_256
from subnet.devnet.pallet import Constant, Event, Item, Maybe, Pallet
from subnet.devnet.scale import (
    ACCOUNT,
    BOOL,
    H256,
    TEXT,
    U8,
    U16,
    U32,
    U64,
    U128,
    Compact,
    Lazy,
    Reader,
    Scale,
    Struct,
    Vec,
    compact_u64,
    octets,
)
from subnet.devnet.shapes import ACCOUNT_INFO, ACCOUNT_KEY, DIGEST, DISPATCH_ERROR, DISPATCH_INFO, PHASE

SPEC_NAME = "node-subtensor"
SPEC_VERSION = 425
TRANSACTION_VERSION = 1
SS58_PREFIX = 42
BLOCK_HASH_COUNT = 2400

RuntimeEvent: Lazy[bytes] = Lazy(lambda: _event_type[0])
_event_type: list[Scale[bytes]] = []
EVENT_RECORD = Struct("frame_system::EventRecord", phase=PHASE, event=RuntimeEvent, topics=Vec(H256)).of(
    E=RuntimeEvent, T=H256
)


class EventRecords(Vec[Any]):
    """``Vec<EventRecord>``, kept as the bytes that the block's context wrote."""

    def __init__(self) -> None:
        super().__init__(EVENT_RECORD)

    def encode(self, value: Any) -> bytes:
        return bytes(value)

    def read(self, reader: Reader) -> Any:
        return reader.take(reader.left)


SystemError = IntEnum(  # noqa: A001 - the pallet's name for it
    "SystemError",
    "InvalidSpecName SpecVersionNeedsToIncrease FailedToExtractRuntimeVersion NonDefaultComposite "
    "NonZeroRefCount CallFiltered",
    start=0,
)


class System(Pallet, index=0, rust="frame_system"):
    """Accounts, block hashes and events: what every Substrate chain keeps."""

    errors = SystemError

    Account = Item(ACCOUNT_INFO, ACCOUNT_KEY, docs="The full account information for a particular account ID.")
    ExtrinsicCount = Maybe(U32)
    BlockHash = Item(H256, (TWOX64_CONCAT, U32), docs="Map of block numbers to block hashes.")
    Number = Item(U32, docs="The current block number being processed.")
    ParentHash = Item(H256)
    Digest = Item(DIGEST)
    Events = Item(EventRecords(), docs="Events deposited for the current block.")
    EventCount = Item(U32)
    LastRuntimeUpgrade = Maybe(
        Struct("frame_system::LastRuntimeUpgradeInfo", spec_version=Compact(U32), spec_name=TEXT)
    )

    ExtrinsicSuccess = Event(0, dispatch_info=DISPATCH_INFO)
    ExtrinsicFailed = Event(1, dispatch_error=DISPATCH_ERROR, dispatch_info=DISPATCH_INFO)
    NewAccount = Event(3, account=ACCOUNT)
    KilledAccount = Event(4, account=ACCOUNT)
    Remarked = Event(5, sender=ACCOUNT, hash=H256)

    BlockHashCount = Constant(U32, BLOCK_HASH_COUNT)
    SS58Prefix = Constant(U16, SS58_PREFIX)


@System.call(0)
def remark(ctx: Context, who: bytes, remark: octets) -> None:
    """Make some on-chain remark."""


@System.call(7)
def remark_with_event(ctx: Context, who: bytes, remark: octets) -> None:
    """Make some on-chain remark and emit an event."""
    ctx.emit(System.Remarked, who, blake2_256(remark))


class Timestamp(Pallet, index=2, rust="pallet_timestamp"):
    """The time of each block."""

    Now = Item(U64, docs="The current time for the current block, in milliseconds.")
    DidUpdate = Item(BOOL)

    MinimumPeriod = Constant(U64, 0)


@Timestamp.call(0, origin="none")
def set(  # noqa: A001 - the call's name
    ctx: Context, who: bytes | None, now: compact_u64
) -> None:
    """Set the current time."""
    ctx.state.put(Timestamp.Now, to=now)


class Aura(Pallet, index=3, rust="pallet_aura"):
    """Slots; a local chain has one author and no turns."""

    CurrentSlot = Item(U64)

    SlotDuration = Constant(U64, 12_000, docs="Milliseconds a slot lasts on the real chain.")


class TransactionPayment(Pallet, index=6, rust="pallet_transaction_payment"):
    """Fees."""

    NextFeeMultiplier = Item(U128, default=10**18)

    TransactionFeePaid = Event(0, who=ACCOUNT, actual_fee=U64, tip=U64)

    OperationalFeeMultiplier = Constant(U8, 5)


def set_event_type(scale: Scale[bytes]) -> None:
    """Called by the runtime once it knows all pallets' events."""
    _event_type[:] = [scale]
