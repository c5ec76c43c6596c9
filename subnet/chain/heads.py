"""Heads as they come: a subscription on a socket and a thread of its own, so that no call waits for it.

:class:`HeadStream` is what ``chain.heads()`` iterates over. Its thread connects as calls do (and fails
over with them), subscribes, and turns headers into :class:`Head`; a node that refuses subscriptions is
polled. Blocks that passed unseen, during a reconnection or because the reader was slow, are fetched by
the parents' hashes, so that each head's parent was yielded before it. A reader that falls behind holds
the thread back: it goes on emptying the socket and remembers the newest header alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from subnet.chain.endpoints import Endpoints
from subnet.chain.extrinsic import Pace
from subnet.chain.session import FAULTS, Session, block_hash, block_number
from subnet.chain.values import compact_bytes
from subnet.errors import ChainError, ChainMalformed, ChainRefused, WrongNetwork
from subnet.types import Block

log = logging.getLogger(__name__)

MAX_GAP = 256
"""Unseen blocks that are fetched before a head; of more, the newest are."""
WAITING = 64
"""Heads that may wait for the reader before the thread holds back (a gap's come on top)."""
QUIET = 10.0
"""Seconds without a header after which the node is asked for its head: a peer that is gone is found out."""
PATIENCE = 10.0
"""Seconds, or the client's timeout if that is shorter, in which it must answer."""
REMEMBERED = 2 * MAX_GAP
"""Blocks below the head whose hashes are known, to tell what was yielded already and what replaces it."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
"""The least and the most seconds between two tries to connect."""
_MAX_LOGS = 64
_SUBSCRIBE = {False: "chain_subscribeNewHeads", True: "chain_subscribeFinalizedHeads"}


@dataclass(frozen=True)
class Head:
    """A block's header. ``hash`` is computed from it, ``parent`` is the hash of the block before.

    ``reorg``: another block of this number was yielded earlier, and is no longer on the chain.
    ``missed``: so many blocks right before this one were not yielded; 0 but after a very long gap.
    """

    number: Block
    hash: str
    parent: str
    state_root: str
    extrinsics_root: str
    reorg: bool = False
    missed: int = 0


class _Line:
    """The numbers and hashes that were yielded last, and how a header continues them."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._wound_back = False

    def knows(self, head: Head) -> bool:
        return self._known.get(head.number) == head.hash

    def is_before(self, number: int) -> bool:
        """Whether a number lies before everything that is remembered."""
        return bool(self._known) and number < min(self._known)

    def continues(self, head: Head) -> bool:
        before = head.number - 1
        return not self._known or self.is_before(before) or self._known.get(before) == head.parent

    def wind_back(self) -> None:
        """Forget all: the chain itself goes on from far below."""
        self._known.clear()
        self._wound_back = True

    def add(self, heads: list[Head]) -> list[Head]:
        """The heads, ascending and each the next one's parent, with their marks; they are remembered."""
        first = heads[0]
        if not self.continues(first):
            below = max((number for number in self._known if number < first.number), default=first.number - 1)
            heads = [replace(first, missed=first.number - 1 - below), *heads[1:]]
        marked = []
        for head in heads:
            other = self._known.get(head.number, head.hash) != head.hash
            marked.append(replace(head, reorg=other or self._wound_back))
            self._known[head.number] = head.hash
            self._wound_back = False
        for number in [number for number in self._known if number < heads[-1].number - REMEMBERED]:
            del self._known[number]
        return marked


class HeadStream:
    """New or finalised heads from now on. Made on the event loop that reads them; ends by :meth:`close`."""

    def __init__(self, endpoints: Endpoints, *, finalized: bool, timeout: float) -> None:
        self._finalized = finalized
        self._timeout = timeout
        self._session = Session(endpoints)
        self._line = _Line()
        self._waiting: deque[Head] = deque()
        self._failure: ChainError | None = None
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._drained = threading.Event()
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"heads {endpoints.chosen}", daemon=True)
        self.thread.start()

    async def next(self) -> Head:
        """The next head. Raises WrongNetwork where every endpoint is another chain, ChainError once it is closed."""
        while not self._waiting:
            if self._failure is not None:
                raise self._failure
            self._arrived.clear()
            if not self._waiting and self._failure is None:
                await self._arrived.wait()
        head = self._waiting.popleft()
        self._drained.set()
        return head

    def close(self) -> None:
        """End thread and socket; who waits in :meth:`next` hears that the client is closed. Idempotent."""
        self._stopped.set()
        self._drained.set()
        self._session.abort()
        self._fail(ChainError("this chain client is closed", remedy="Connect anew with Chain.connect."))

    # On the thread

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopped.is_set():
            connected = time.monotonic()
            try:
                self._arm()
                self._follow()
            except WrongNetwork as error:
                self._fail(error)
                return
            except ChainError as error:
                if self._stopped.is_set():
                    return
                if time.monotonic() - connected > LONGEST_PAUSE:
                    pause = FIRST_PAUSE
                log.info("heads: %s; again in %.1f s", error, pause)
                self._stopped.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            except Exception as error:  # the reader must hear of it
                log.exception("heads_failed")
                self._fail(ChainError(f"heads ended by {type(error).__name__}: {error}"))
                return
            finally:
                self._session.close()

    def _arm(self, seconds: float = 0.0) -> None:
        self._session.prepare(time.monotonic() + seconds + min(self._timeout, PATIENCE))

    def _follow(self) -> None:
        """Deliver heads for as long as the connection lasts."""
        try:
            self._deliver_all()
        except FAULTS as error:
            self._session.leave(error)
            raise

    def _deliver_all(self) -> None:
        connection, subscribed = self._session.connections, self._subscribe()
        pace, newest, highest = Pace(), None, -1
        while not self._stopped.is_set():
            self._arm(QUIET)
            if self._session.connections != connection:
                return  # another endpoint was chosen: subscribe there
            if len(self._waiting) >= WAITING:
                newest = self._hold_back(subscribed) or newest
                continue
            head = newest or self._await(subscribed, pace.delay)
            newest = None
            self._deliver(head, rewound=head.number < highest)
            pace.saw(head.number)
            highest = max(highest, head.number)

    def _subscribe(self) -> bool:
        try:
            self._session.call(_SUBSCRIBE[self._finalized])
        except ChainRefused as refused:
            log.info("%s is polled for heads: %s", self._session.endpoint, refused)
            return False
        return True

    def _await(self, subscribed: bool, pause: float) -> Head:
        if subscribed:
            header = self._session.notice(QUIET)
            if header is not None:
                return read_header(header)
        else:
            self._stopped.wait(pause)
        self._arm()
        at = [self._session.call("chain_getFinalizedHead")] if self._finalized else []
        return read_header(self._session.call("chain_getHeader", *at))

    def _hold_back(self, subscribed: bool) -> Head | None:
        """Wait for the reader; the newest header that came meanwhile."""
        self._drained.clear()
        if len(self._waiting) >= WAITING:
            self._drained.wait(1.0)
        newest = None
        for _ in range(WAITING if subscribed else 0):
            header = self._session.notice(0)
            if header is None:
                break
            newest = header
        return None if newest is None else read_header(newest)

    def _deliver(self, head: Head, *, rewound: bool) -> None:
        if not self._finalized:
            self._session.endpoints.saw(self._session.endpoint, head.number)
        if self._line.knows(head):
            return
        if self._line.is_before(head.number):
            if not rewound:
                return  # a node that is behind the one before it
            self._line.wind_back()
        unseen = [head]
        while not self._line.continues(unseen[-1]) and len(unseen) <= MAX_GAP and not self._stopped.is_set():
            self._arm()
            header = self._session.call("chain_getHeader", unseen[-1].parent)
            if header is None:
                break
            parent = read_header(header)
            if parent.hash != unseen[-1].parent:
                raise ChainMalformed(f"{self._session.endpoint} gives another header than the one asked for")
            unseen.append(parent)
        marked = self._line.add(unseen[::-1])
        if marked[0].missed:
            log.warning("heads: %d blocks before %d were missed", marked[0].missed, marked[0].number)
        self._waiting.extend(marked)
        self._wake()

    def _fail(self, error: ChainError) -> None:
        if self._failure is None:
            self._failure = error
        self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._stopped.set()


def read_header(header: Any) -> Head:
    """A header as the node sends it. Its hash is the blake2b-256 of its SCALE bytes. Raises ChainMalformed."""
    number = block_number(header)
    parent, state, extrinsics = (block_hash(header.get(name)) for name in ("parentHash", "stateRoot", "extrinsicsRoot"))
    try:
        items = header["digest"]["logs"]
        if len(items) > _MAX_LOGS:
            raise ChainMalformed(f"a block header has {len(items)} digest items")
        logs = [bytes.fromhex(item.removeprefix("0x")) for item in items]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ChainMalformed("a block header's digest can't be read") from None
    encoded = b"".join(
        [
            bytes.fromhex(parent[2:]),
            compact_bytes(number),
            bytes.fromhex(state[2:]),
            bytes.fromhex(extrinsics[2:]),
            compact_bytes(len(logs)),
            *logs,
        ]
    )
    found = "0x" + blake2b(encoded, digest_size=32).hexdigest()
    return Head(Block(number), found, parent, state, extrinsics)
