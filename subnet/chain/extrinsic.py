"""Sending: signed once, handed to the pool until it answers, followed to its outcome.

A write goes through :class:`Submitter`: under a lock per account it takes the next nonce, signs and
fills the pool, so that sends back to back go in order without waiting for each other's blocks. The
same bytes are sent again while nobody answers, and when the chain goes on without them: a copy can
land only once. A refusal is final only where no copy can be on its way; a nonce that somebody else
used is replaced only once that is certain. So ExtrinsicFailed always means that the call took no
effect, and ChainTimeout that this is not known yet.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Unpack

import stamina

from subnet.chain.calls import Call
from subnet.chain.connection import Connection
from subnet.chain.following import Watch, failure, look, outcome
from subnet.chain.remedies import pool_error
from subnet.chain.sending import PATIENCE, Estimate, Included, Prepared, Sending, Signing, Wait
from subnet.chain.session import Session
from subnet.chain.signing import LOADING, estimate, load_composer, sign
from subnet.errors import (
    ChainError,
    ChainMalformed,
    ChainRefused,
    ChainTimeout,
    ChainUnreachable,
    ExtrinsicFailed,
    WrongNetwork,
)
from subnet.keys import ss58_of

if TYPE_CHECKING:
    from substrateinterface import Keypair

log = logging.getLogger(__name__)

AGAIN = 8
"""Blocks without the extrinsic after which its bytes are sent again: the pool may have lost them."""
LEAST = 2.0
"""Seconds that a call to the node gets although the send's deadline is nearer."""
PAUSE = 0.2
"""Seconds before a call whose nonce was taken is signed anew; longer at each try."""
_TRIES = 5
_MOST_UNTOLD = 4096
_NONCE_TAKEN = ("Stale", "PriorityTooLow", "Usurped")
_ON_ITS_WAY = ("AlreadyImported", "Stale", "TemporarilyBanned")
_POOL = range(1000, 1100)  # JSON-RPC codes of author_submitExtrinsic
_LOST = (ChainUnreachable, ChainTimeout, ChainMalformed)


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
        self._in_pool: defaultdict[str, set[int]] = defaultdict(set)  # nonces that a pool has of us
        self._untold: set[str] = set()  # hashes of what was signed here and shown to nobody

    async def estimate(self, call: Call, key: Keypair, **signing: Unpack[Signing]) -> Estimate:
        """What a call would cost; nothing is sent."""
        await self._connection.read(load_composer, grace=LOADING)
        return await self._connection.read(lambda session: estimate(session, call, key, **signing))

    async def prepare(self, call: Call, key: Keypair, **signing: Unpack[Signing]) -> Prepared:
        """Sign a call, to be sent by :meth:`deliver`."""
        taken = self._in_pool[ss58_of(key.public_key)]
        await self._connection.read(load_composer, grace=LOADING)
        prepared = await self._connection.read(lambda session: sign(session, call, key, taken, **signing))
        if len(self._untold) >= _MOST_UNTOLD:
            self._untold.clear()  # forgetting only makes their delivery more careful
        self._untold.add(prepared.hash)
        return prepared

    async def send(self, call: Call, key: Keypair, **sending: Unpack[Sending]) -> Included:
        """Sign, send, follow. A nonce that somebody else used meanwhile is replaced, unless it was given."""
        wait, timeout = sending.pop("wait", "inclusion"), sending.pop("timeout", PATIENCE)
        signing: Signing = {**sending}  # type: ignore[typeddict-unknown-key]
        deadline = time.monotonic() + timeout
        account = ss58_of(key.public_key)
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._turn(account, call, deadline):
                    prepared = await self.prepare(call, key, **signing)
                    trouble = await self._first_push(prepared, deadline)
                return await self._follow(prepared, deadline, wait, trouble)
            except ExtrinsicFailed as failed:
                if failed.name not in _NONCE_TAKEN or failed.where != "pool":
                    raise
                if "nonce" in sending or attempt == _TRIES:
                    raise
                log.info("a nonce of %s was taken by somebody else; signing anew", account)
            await asyncio.sleep(PAUSE * attempt)
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def _turn(self, account: str, call: Call, deadline: float) -> AsyncIterator[None]:
        """The account's lock; ChainTimeout where earlier sends hold it past the deadline."""
        lock = self._locks[account]
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0.0)):
                await lock.acquire()
        except TimeoutError:
            raise ChainTimeout(
                f"{call} was not sent: the node has not answered earlier sends of {account}",
                remedy="Nothing was sent; try again, or another --endpoint.",
            ) from None
        try:
            yield
        finally:
            lock.release()

    async def deliver(self, prepared: Prepared, *, wait: Wait = "inclusion", timeout: float = PATIENCE) -> Included:
        """Send what was prepared, here or by an earlier process, and follow it.

        It is looked for before it is sent again, so it lands once at most however often this is called.
        """
        if prepared.genesis != self._connection.endpoints.genesis:
            raise WrongNetwork(f"{prepared.call} was signed for genesis {prepared.genesis}")
        deadline = time.monotonic() + timeout
        if prepared.hash in self._untold:
            trouble = await self._first_push(prepared, deadline)
            return await self._follow(prepared, deadline, wait, trouble)
        return await self._follow(prepared, deadline, wait, again=0)

    # To the pool

    async def _first_push(self, prepared: Prepared, deadline: float) -> ExtrinsicFailed | None:
        """Hand the bytes to the pool; the same bytes again while nobody answers.

        Raises ExtrinsicFailed only where no copy can be on its way; else a refusal says nothing sure, and is returned.
        """
        self._untold.discard(prepared.hash)
        told: list[str] = []
        failed: ExtrinsicFailed | None = None
        try:
            async for attempt in stamina.retry_context(
                on=_LOST,
                attempts=None,
                timeout=max(deadline - time.monotonic(), 0.1),
                wait_initial=0.1,
                wait_max=2.0,
                wait_jitter=0.2,
            ):
                with attempt:
                    before = len(told)
                    try:
                        job = partial(_submit, data=prepared.data, told=told)
                        await self._connection.run(job, timeout=self._left(deadline))
                    except ChainRefused as refused:
                        failed = _refusal(refused, prepared)
                        if failed.name != "AlreadyImported" and not before:
                            raise failed from None
                        log.info("%s was refused with a copy under way: %s", prepared.hash, failed.name)
        except _LOST as lost:
            if not told:
                raise
            raise _unknown(prepared, "was sent, but the node never answered") from lost
        self._in_pool[prepared.account].add(prepared.nonce)
        return failed

    async def _push_again(self, prepared: Prepared) -> ExtrinsicFailed | None:
        """Hand over bytes that may have landed; a refusal says nothing sure, and is returned.

        Where the pool no longer wants them their nonce is free for the account's next extrinsic.
        """
        try:
            await self._connection.run(partial(_submit, data=prepared.data, told=[]))
        except ChainRefused as refused:
            failed = _refusal(refused, prepared)
            if failed.name in _ON_ITS_WAY:
                return None
            log.warning("%s (%s) is not taken again: %s", prepared.call, prepared.hash, failed.name)
            self._in_pool[prepared.account].discard(prepared.nonce)
            return failed
        return None

    def _left(self, deadline: float) -> float:
        """Seconds for one call to the node: until the deadline, but enough for an answer."""
        return min(max(deadline - time.monotonic(), LEAST), self._connection.timeout)

    # To its outcome

    async def _follow(
        self,
        prepared: Prepared,
        deadline: float,
        wait: Wait,
        trouble: ChainError | None = None,
        *,
        again: int | None = None,
    ) -> Included:
        """Look for the extrinsic until it is in a block or can't be; a lost node is waited for.

        ``again`` is the head's number from which its bytes are sent anew.
        """
        watch, pace = Watch.of(prepared), Pace()
        try:
            while True:
                try:
                    left = self._left(deadline)
                    await self._connection.read(partial(look, watch=watch), timeout=left, patience=1.0)
                    if watch.is_final or (watch.place and wait == "inclusion"):
                        return await self._connection.read(partial(outcome, watch=watch), timeout=left)
                    if watch.usurped:
                        raise failure(f"{prepared.call}: nonce {prepared.nonce} was used by another", "Usurped", "pool")
                    if watch.is_over:
                        words = f"{prepared.call} was not included by block {prepared.dies}"
                        raise failure(words, "Expired", "pool")
                    again = watch.number + AGAIN if again is None else again
                    if watch.place is None and watch.head and watch.number >= again:
                        again = watch.number + AGAIN
                        trouble = await self._push_again(prepared)
                except (ChainUnreachable, ChainTimeout, ChainRefused) as error:
                    trouble = error  # a node that is behind, or has forgotten, may be followed by one that has not
                left = deadline - time.monotonic()
                if left <= 0:
                    raise _unknown(prepared, _whereabouts(watch, wait)) from trouble
                await asyncio.sleep(min(pace.saw(watch.number), left))
        finally:
            self._in_pool[prepared.account].discard(prepared.nonce)


def _submit(session: Session, *, data: str, told: list[str]) -> None:
    """A job: hand the bytes over; ``told`` grows once the node may have got them."""
    told.append(session.endpoint)
    session.call("author_submitExtrinsic", data)


def _refusal(refused: ChainRefused, prepared: Prepared) -> ExtrinsicFailed:
    """What the pool's refusal means. One by the JSON-RPC server, not the pool, is raised as it is."""
    if refused.rpc_code not in _POOL:
        raise refused
    name = pool_error(refused.rpc_code, refused.message, prepared.call)
    return failure(f"{prepared.call} was refused by the pool: {name}", name, "pool", refused.data)


def _whereabouts(watch: Watch, wait: Wait) -> str:
    if watch.place is None:
        return f"is in no block; the head is {watch.number}"
    doubt = "is not final" if wait == "finality" and not watch.is_final else "can't be read"
    return f"is in block {watch.place.block}, which {doubt}; the head is {watch.number}"


def _unknown(prepared: Prepared, words: str) -> ChainTimeout:
    until = "" if prepared.dies is None else f" until block {prepared.dies}"
    return ChainTimeout(
        f"{prepared.call} ({prepared.hash}) {words}",
        remedy=f"It may still land{until}; look before you send it again.",
    )
