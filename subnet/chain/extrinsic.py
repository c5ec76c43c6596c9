"""Extrinsics: signed once, sent until the pool has them, found in a block, read for their outcome.

A write goes through :class:`Submitter.submit`: under a lock per account it takes the next nonce
and signs a mortal extrinsic; the same bytes are sent again while nobody answers, since a copy can
land only once; then blocks are polled until one holds it, its era is over, or the deadline is
reached. The outcome is an :class:`Included`, or ExtrinsicFailed: one error for the pool's refusal,
the dispatch error in the block, and the failed call inside an accepted sudo.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import stamina

from subnet.chain.connection import Connection
from subnet.chain.events import Event, block_events
from subnet.chain.remedies import pool_error, remedy
from subnet.chain.session import Entry, Session, block_hash, block_number
from subnet.errors import ChainMalformed, ChainRefused, ChainTimeout, ChainUnreachable, ExtrinsicFailed
from subnet.types import Block, Netuid, Rao

if TYPE_CHECKING:
    from substrateinterface import Keypair

log = logging.getLogger(__name__)

PERIOD = 64
"""Blocks in which a signed extrinsic may be included: about 13 minutes at 12 s."""
REORG = 4
"""Blocks below the head that are looked at again when their hash changed."""
LOADING = 60.0
"""Seconds that substrate-interface may take for a full runtime's metadata on a slow, busy machine."""
_NONCE_TRIES = 4
_WINDOW = 32  # blocks looked at in one job
_POOL = range(1000, 1100)  # JSON-RPC codes of author_submitExtrinsic


@dataclass(frozen=True)
class Included:
    """An extrinsic that is in a block and succeeded. ``fee`` is in RAO, 0 for calls that pay none."""

    block: Block
    block_hash: str
    extrinsic_hash: str
    fee: Rao
    events: tuple[Event, ...]

    def event(self, module: str, name: str) -> Event | None:
        """The first event of this name, or None."""
        return next((event for event in self.events if event[:2] == (module, name)), None)

    @property
    def netuid(self) -> Netuid:
        """The subnet that this extrinsic created. Raises ChainMalformed where it created none."""
        event = self.event("SubtensorModule", "NetworkAdded")
        if event is None:
            raise ChainMalformed(f"extrinsic {self.extrinsic_hash} created no subnet")
        return Netuid(int(_first(event.attributes)))


@dataclass(frozen=True)
class _Signed:
    """What is on its way: its bytes, and the blocks between which it can land."""

    call: str
    data: str
    hash: str
    account: str
    nonce: int
    start: int
    dies: int


@dataclass
class _Watch:
    """How far the search for an extrinsic has come."""

    signed: _Signed
    next: int
    head: str = ""
    number: int = 0
    seen: dict[int, str] = field(default_factory=dict)


class _Place(NamedTuple):
    """Where an extrinsic is: the block, its hash, and the extrinsic's position in it."""

    block: int
    hash: str
    position: int


class Pace:
    """How long to wait between two looks at the head: a quarter of the block time as seen, 0.05 to 2 s."""

    def __init__(self) -> None:
        self._changed = 0.0
        self._number = -1
        self.delay = 0.15

    def saw(self, number: int) -> float:
        """Note the head's number; returns the seconds to sleep."""
        now = time.monotonic()
        if number > self._number:
            if self._number >= 0:
                gap = (now - self._changed) / (number - self._number)
                self.delay = min(max(gap / 4, 0.05), 2.0)
            self._number, self._changed = number, now
        return self.delay


class Submitter:
    """Signs, sends and follows extrinsics over one connection; keeps each account's nonces in order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._in_flight: defaultdict[str, set[int]] = defaultdict(set)

    async def submit(
        self, pallet: str, function: str, params: Mapping[str, Any], key: Keypair, *, timeout: float
    ) -> Included:
        """Sign and send a call and wait for its block, at most ``timeout`` seconds.

        Raises ExtrinsicFailed; ChainTimeout where the outcome is not known yet (the message says
        until which block it may still land); ChainUnreachable, ChainMalformed.
        """
        deadline = time.monotonic() + timeout
        account = _address(key)
        async with self._locks[account]:
            signed = await self._send(pallet, function, params, key, deadline)
            self._in_flight[account].add(signed.nonce)
        try:
            return await self._follow(signed, deadline)
        finally:
            self._in_flight[account].discard(signed.nonce)

    async def _send(
        self, pallet: str, function: str, params: Mapping[str, Any], key: Keypair, deadline: float
    ) -> _Signed:
        """Signed and in the pool. A nonce that another process took meanwhile is replaced."""
        taken = self._in_flight[_address(key)]
        await self._connection.read(_load_composer, grace=LOADING)
        for attempt in range(1, _NONCE_TRIES + 1):
            signed = await self._connection.read(lambda session: _sign(session, pallet, function, params, key, taken))
            try:
                await self._push(signed, deadline)
            except ExtrinsicFailed as failed:
                if failed.name not in ("Stale", "PriorityTooLow") or attempt == _NONCE_TRIES:
                    raise
                log.info("nonce %d of %s was taken; signing anew", signed.nonce, signed.account)
                await asyncio.sleep(0.2 * attempt)
            else:
                break
        return signed

    async def _push(self, signed: _Signed, deadline: float) -> None:
        """Hand the bytes to the pool; the same bytes again while nobody answers."""
        uncertain = False
        try:
            async for attempt in stamina.retry_context(
                on=(ChainUnreachable, ChainTimeout),
                attempts=None,
                timeout=max(deadline - time.monotonic(), 0.1),
                wait_initial=0.1,
                wait_max=2.0,
                wait_jitter=0.2,
            ):
                with attempt:
                    try:
                        await self._connection.run(lambda session: session.call("author_submitExtrinsic", signed.data))
                    except (ChainUnreachable, ChainTimeout):
                        uncertain = True
                        raise
                    except ChainRefused as refused:
                        _check_refusal(refused, signed, uncertain=uncertain)
        except (ChainUnreachable, ChainTimeout) as lost:
            raise _unknown(signed, "was sent, but the node never answered") from lost

    async def _follow(self, signed: _Signed, deadline: float) -> Included:
        """Look for the extrinsic until it is in a block or can't be; a lost node is waited for."""
        watch, pace = _Watch(signed, signed.start), Pace()
        while True:
            lost: ChainUnreachable | ChainTimeout | None = None
            try:
                found = await self._connection.read(partial(_look, watch=watch), patience=1.0)
                if found is not None:
                    return await self._connection.read(partial(_outcome, signed=signed, place=found))
            except (ChainUnreachable, ChainTimeout) as error:
                lost = error
            if watch.number > signed.dies + REORG:
                raise _failure(f"{signed.call} was not included by block {signed.dies}", "Expired", "pool")
            left = deadline - time.monotonic()
            if left <= 0:
                raise _unknown(signed, f"is in no block up to {watch.number}") from lost
            await asyncio.sleep(min(pace.saw(watch.number), left))


def _load_composer(session: Session) -> None:
    """A job: what signing needs, with a deadline of its own, since it may take longer than a call."""
    _ = session.runtime().composer


def _sign(
    session: Session, pallet: str, function: str, params: Mapping[str, Any], key: Keypair, taken: set[int]
) -> _Signed:
    """A job: the call under the account's next free nonce, mortal from the finalised block."""
    account = _address(key)
    version, finalized, head, nonce = session.calls(
        [
            ("state_getRuntimeVersion", []),
            ("chain_getFinalizedHead", []),
            ("chain_getHeader", []),
            ("system_accountNextIndex", [account]),
        ]
    )
    final = block_number(session.call("chain_getHeader", block_hash(finalized)))
    birth = max(final, block_number(head) - PERIOD // 4)  # a localnet may finalise late, or never
    if not isinstance(nonce, int) or not 0 <= nonce < 2**32:
        raise ChainMalformed(f"the node gives {str(nonce)[:40]!r} as a nonce")
    while nonce in taken:
        nonce += 1
    runtime = session.runtime_of(version, None)
    era = {"period": PERIOD, "current": birth}
    data = runtime.signed(pallet, function, params, key, nonce=nonce, era=era)
    digest = "0x" + blake2b(bytes.fromhex(data[2:]), digest_size=32).hexdigest()
    call = f"{pallet}.{function}"
    return _Signed(call, data, digest, account, nonce, start=birth + 1, dies=birth + PERIOD)


def _look(session: Session, *, watch: _Watch) -> _Place | None:
    """A job: search the blocks that are new, or were replaced, since the last look."""
    head = block_hash(session.call("chain_getBlockHash"))
    if head == watch.head:
        return None
    number = block_number(session.call("chain_getHeader", head))
    last = min(number, watch.next + _WINDOW)
    numbers = range(max(watch.signed.start, watch.next - REORG), last + 1)
    hashes = session.calls([("chain_getBlockHash", [i]) for i in numbers]) if numbers else []
    for i, found in zip(numbers, hashes, strict=True):
        if found is None or watch.seen.get(i) == found:
            continue
        index = _index_in(session.call("chain_getBlock", block_hash(found)), watch.signed.data)
        if index is not None:
            return _Place(i, block_hash(found), index)
        watch.seen[i] = found
    watch.number = last
    watch.next = max(watch.next, last + 1)
    watch.head = head if last == number else ""
    return None


def _index_in(answer: Any, data: str) -> int | None:
    try:
        extrinsics = answer["block"]["extrinsics"]
        return next((i for i, extrinsic in enumerate(extrinsics) if extrinsic.lower() == data), None)
    except (TypeError, KeyError, AttributeError):
        raise ChainMalformed("an answer to chain_getBlock holds no extrinsics") from None


def _outcome(session: Session, *, signed: _Signed, place: _Place) -> Included:
    """A job: the extrinsic's own events, and from them success, fee or the typed failure."""
    entry = Entry("Events", (), "System")
    snapshot = session.read([entry], place.hash)
    found = block_events(snapshot.runtime, snapshot[entry])
    events = tuple(event for event in found if event.extrinsic == place.position)
    fee = 0
    for event in events:
        named = event.attributes if isinstance(event.attributes, Mapping) else {}
        if event[:2] == ("TransactionPayment", "TransactionFeePaid"):
            fee = int(named["actual_fee"]) if named else int(event.attributes[1])
        error, where = _error_in(event)
        if error is not None:
            name, words = snapshot.runtime.error_name(error)
            raise _failure(f"{signed.call} failed in block {place.block}: {name}", name, where, words)
    return Included(Block(place.block), place.hash, signed.hash, Rao(fee), events)


def _error_in(event: Event) -> tuple[Any, str]:
    """The dispatch error that an event reports, and where it happened; (None, "") for good news."""
    attributes = event.attributes
    match event[:2]:
        case ("System", "ExtrinsicFailed"):
            return _field(attributes, "dispatch_error", 0), "block"
        case ("Utility", "BatchInterrupted"):
            return _field(attributes, "error", 1), "block"
        case ("Sudo", "Sudid" | "SudoAsDone"):
            result = _field(attributes, "sudo_result", 0)
            if isinstance(result, Mapping) and "Err" in result:
                return result["Err"], "sudo"
    return None, ""


def _field(attributes: Any, name: str, place: int) -> Any:
    """An event's attribute by name, or by place where the runtime does not name it."""
    if isinstance(attributes, Mapping):
        return attributes.get(name, attributes)
    if isinstance(attributes, Sequence) and not isinstance(attributes, str) and len(attributes) > place:
        return attributes[place]
    return attributes


def _first(attributes: Any) -> Any:
    if isinstance(attributes, Mapping):
        return next(iter(attributes.values()))
    return attributes[0] if isinstance(attributes, Sequence) else attributes


def _check_refusal(refused: ChainRefused, signed: _Signed, *, uncertain: bool) -> None:
    """Raise what a refusal means; return where it says that an earlier copy was taken.

    A refusal by the JSON-RPC server, not the pool, is raised as it is.
    """
    if refused.rpc_code not in _POOL:
        raise refused
    name = pool_error(refused.rpc_code, refused.message, signed.call)
    if name != "AlreadyImported" and not (uncertain and name in ("Stale", "TemporarilyBanned")):
        message = f"{signed.call} was refused by the pool: {name}"
        raise _failure(message, name, "pool", refused.data) from None
    log.debug("%s: an earlier copy of %s was taken", name, signed.hash)


def _unknown(signed: _Signed, words: str) -> ChainTimeout:
    return ChainTimeout(
        f"{signed.call} ({signed.hash}) {words}",
        remedy=f"It may still land until block {signed.dies}; look before you send it again.",
    )


def _failure(message: str, name: str, where: str, words: str = "") -> ExtrinsicFailed:
    return ExtrinsicFailed(f"{message}{f' ({words})' if words else ''}", name=name, where=where, remedy=remedy(name))


def _address(key: Keypair) -> str:
    from subnet.keys import ss58_of

    return ss58_of(key.public_key)
