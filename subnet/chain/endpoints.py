"""Which of several endpoints is used, and how far each has come.

All sockets of one client (its calls, its heads) share an :class:`Endpoints`. The first of the list
is preferred. One that fails rests, longer from failure to failure, and the next takes its place;
:mod:`subnet.chain.watch` goes back to the preferred one when it is well again. A node that is behind
what was read before is used only where no other is left, and that is logged.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from subnet.chain.dial import address
from subnet.errors import (
    ChainError,
    ChainMalformed,
    ChainTimeout,
    ChainUnreachable,
    ConfigError,
    NotASubtensor,
    WrongNetwork,
)

log = logging.getLogger(__name__)

LAG = 4
"""Blocks that a node may be behind another; more than gossip and a short fork explain."""
LONGEST_REST = 60.0
"""The most seconds that an endpoint which failed is left alone; 1 after the first failure, then doubling."""
FORGIVEN = 300.0
"""Seconds without a failure after which the earlier ones no longer count."""
MAX_ENDPOINTS = 16
_HASH = re.compile("0x[0-9a-fA-F]{64}")


@dataclass
class _Endpoint:
    """Times are time.monotonic()."""

    url: str
    failures: int = 0
    failed_at: float = 0.0
    rests_until: float = 0.0
    error: ChainError | None = None
    head: int = -1
    moved_at: float = field(default_factory=time.monotonic)


class Endpoints:
    """One chain's endpoints. Safe for use from any thread. ConfigError for what is no URL, no hash."""

    def __init__(self, urls: str | Sequence[str], genesis: str | None = None, hold: float = 60.0) -> None:
        listed = [url.strip() for url in (urls.split(",") if isinstance(urls, str) else urls)]
        for url in listed:
            address(url)
        if not 0 < len(listed) <= MAX_ENDPOINTS:
            raise ConfigError(f"{len(listed)} endpoints; give 1 to {MAX_ENDPOINTS}")
        if genesis is not None and not _HASH.fullmatch(genesis):
            raise ConfigError(f"{genesis!r} is no genesis hash", remedy="Write it as 0x and 64 hex digits.")
        self.genesis = genesis and genesis.lower()
        self.pinned = genesis is not None
        """Whether the genesis was asked for, not learnt from the first endpoint that answered."""
        self.hold = hold
        """Seconds for which a head that was read before stays the measure of another endpoint."""
        self._all = {url: _Endpoint(url) for url in listed}
        self._chosen = listed[0]
        self._floor = (-1, 0.0)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def chosen(self) -> str:
        """The endpoint in use; sessions that are connected to another one change over at their next job."""
        return self._chosen

    def order(self) -> list[str]:
        """All, in the order to try them: the chosen one, the list's order, at last those that rest."""
        now = time.monotonic()
        ranked = sorted(self._all.values(), key=lambda one: (max(one.rests_until - now, 0), one.url != self._chosen))
        return [one.url for one in ranked]

    def others(self) -> list[str]:
        """Those that are neither chosen nor resting, in the list's order."""
        now = time.monotonic()
        return [one.url for one in self._all.values() if one.url != self._chosen and one.rests_until <= now]

    def first_of(self, urls: Sequence[str]) -> str:
        """The one of ``urls`` that the list has first."""
        return next(url for url in self._all if url in urls)

    def use(self, url: str) -> None:
        """Choose an endpoint that answered as it should; the one before it leaves behind how far it had come."""
        with self._lock:
            self._all[url].error = None
            if url == self._chosen:
                return
            left, self._chosen = self._all[self._chosen], url
            self._floor = (max(left.head, self.floor()), time.monotonic() + self.hold)
        log.warning("%s takes the place of %s", url, left.url, extra={"why": str(left.error or "preferred")})

    def failed(self, url: str, error: ChainError) -> None:
        """Let an endpoint rest: another is tried first for a while."""
        with self._lock:
            one, now = self._all[url], time.monotonic()
            if now - one.failed_at > FORGIVEN:
                one.failures = 0
            unfit = isinstance(error, (WrongNetwork, NotASubtensor))
            rest = LONGEST_REST if unfit else min(LONGEST_REST, 2.0 ** min(one.failures, 10))
            news = len(self) > 1 and one.rests_until <= now  # while none can be used, each is tried again and again
            one.failures, one.failed_at, one.rests_until, one.error = one.failures + 1, now, now + rest, error
        level = logging.WARNING if news else logging.DEBUG
        log.log(level, "%s is left alone for %.0f s: %s", url, rest, error)

    def verdict(self) -> ChainError:
        """Why none of them could be used."""
        errors = [one.error for one in self._all.values() if one.error is not None]
        if len(errors) == 1:
            return errors[0]
        kinds = {type(error) for error in errors}
        same = kinds.pop() if len(kinds) == 1 else None
        kind = same if same in (ChainTimeout, ChainMalformed, WrongNetwork) else ChainUnreachable
        return kind("no endpoint can be used: " + "; ".join(error.message for error in errors))

    def wrong_network(self) -> WrongNetwork | None:
        """What to say where every endpoint was last found to be another chain."""
        with self._lock:
            if not all(isinstance(one.error, WrongNetwork) for one in self._all.values()):
                return None
            verdict = self.verdict()
        return verdict if isinstance(verdict, WrongNetwork) else None

    # How far they are

    def saw(self, url: str, head: int) -> None:
        """Note an endpoint's head."""
        one = self._all[url]
        if head != one.head:
            one.head, one.moved_at = head, time.monotonic()

    def head(self, url: str) -> int:
        """How far an endpoint was when last seen; -1 before."""
        return self._all[url].head

    def is_stale(self, url: str, seconds: float) -> bool:
        """Whether an endpoint's head was not seen to move for so long."""
        return time.monotonic() - self._all[url].moved_at >= seconds

    def stale_for(self) -> float:
        """Seconds since the chosen endpoint's head was last seen to move."""
        return time.monotonic() - self._all[self._chosen].moved_at

    def floor(self) -> int:
        """The head that an endpoint used before had come to; -1 where there was none, or long ago."""
        number, until = self._floor
        return number if time.monotonic() < until else -1

    def is_late(self, url: str, head: int) -> bool:
        """Whether an endpoint with this head is behind what was read from another."""
        chosen = self._all[self._chosen]
        fresh = url != chosen.url and time.monotonic() - chosen.moved_at < self.hold
        return head + LAG < max(self.floor(), chosen.head if fresh else -1)
