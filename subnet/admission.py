"""What an axon lets in: the limits, and the token buckets that count by address and by hotkey."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from subnet.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound of an axon. A synapse's own ``max_request``, ``max_reply`` and ``timeout`` stand beside these."""

    address_rate: float = 50.0
    """Requests a second from one address (IPv6: one /64) that turn out unsigned, refused or broken."""
    address_burst: int = 1024
    """How many of those at once; also how many requests of one address may await verification together."""
    hotkey_rate: float = 500.0
    """Verified requests a second from one hotkey."""
    hotkey_burst: int = 1000
    """How many of those at once."""
    unverified_bytes: int = 256 * 1024 * 1024
    """Bodies that have arrived and are not yet verified, all connections together."""
    body_timeout: float = 10.0
    """Seconds for a body to arrive."""
    reply_timeout: float = 60.0
    """Seconds that a caller's socket may go on holding up what it was answered; a stream has its synapse's timeout."""
    unsent_bytes: int = 512 * 1024 * 1024
    """Replies of over 256 KiB that have not left, all connections together; the next one is answered Busy."""
    running: int = 64
    """Requests in handlers at once."""
    queue: int = 256
    """Requests that wait for a handler; the next one is answered Busy."""
    threads: int = 4
    """Threads for handlers that are plain functions."""
    connections: int = 2048
    """Open connections, all addresses together; fewer where the process may not open so many files."""
    connections_each: int = 512
    """Open connections from one address (IPv6: one /64)."""
    first_request: float = 10.0
    """Seconds that a new connection has until its first request's headers are there; then, that headers which have
    begun have until they are whole."""
    keepalive: float = 75.0
    """Seconds that an idle connection stays open."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0 and name != "queue":
                raise ConfigError(f"limit {name} must be above zero")


class Buckets:
    """Token buckets by key, at most ``max_keys`` of them: the one unused for longest goes first.

    ``rate`` is in tokens a second, ``burst`` the most a key can hold. ``clock`` is in seconds.
    """

    def __init__(
        self,
        rate: float,
        burst: float,
        *,
        max_keys: int = 65_536,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._max_keys = max_keys
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take a token: 0.0 if there was one, else the seconds until there will be."""
        now = self._clock()
        level, since = self._levels.get(key, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        granted = level >= 1.0
        self._levels[key] = (level - 1.0 if granted else level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._max_keys:
            self._levels.popitem(last=False)
        return 0.0 if granted else (1.0 - level) / self._rate

    def give_back(self, key: str) -> None:
        """Return a token that turned out not to be owed."""
        entry = self._levels.get(key)
        if entry is not None:
            self._levels[key] = (min(self._burst, entry[0] + 1.0), entry[1])

    def __len__(self) -> int:
        return len(self._levels)


@lru_cache(maxsize=4096)
def address_key(remote: str) -> str:
    """What a source address is counted as: itself, or its /64 for IPv6 (one host owns all of that)."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if address.version == 4:
        return remote
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
