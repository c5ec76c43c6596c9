"""From an endpoint's URL to a connected socket whose every operation ends by a deadline.

:class:`DeadlineSocket` arms the real socket with the time that is left before each operation, so
that a node which hangs, or sends a byte a second, ends in ChainTimeout at the deadline and not
later; and it counts what one message costs. The kernel is told to look after peers that vanish
without a word.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import time
from urllib.parse import urlsplit

from subnet.errors import ChainMalformed, ChainTimeout, ChainUnreachable, ConfigError

log = logging.getLogger(__name__)

MAX_PIECE = 64 * 1024
"""Bytes taken from the kernel at once, whatever a header announced."""
_WATCHFUL = (  # a peer that is gone is known to the kernel after 10 + 3 * 5 s; names differ between systems
    ("TCP_NODELAY", 1),
    ("TCP_KEEPIDLE", 10),
    ("TCP_KEEPALIVE", 10),
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 25_000),  # ms that sent bytes may stay unacknowledged
)


class DeadlineSocket:
    """A socket whose every operation ends by ``deadline`` (time.monotonic()) and takes ``limit`` bytes at most.

    Set ``received`` to 0 where a new message begins. ``peer`` is what errors call the other side.
    """

    def __init__(self, raw: socket.socket, deadline: float, limit: int, peer: str) -> None:
        self._raw = raw
        self._peer = peer
        self.deadline = deadline
        self.limit = limit
        self.received = 0

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ChainTimeout(f"{self._peer} did not answer in time")
        self._raw.settimeout(left)

    def recv(self, size: int) -> bytes:
        self._arm()
        try:
            data = self._raw.recv(min(size, MAX_PIECE))
        except TimeoutError:
            raise ChainTimeout(f"{self._peer} did not answer in time") from None
        self.received += len(data)
        if self.received > self.limit:
            raise ChainMalformed(f"{self._peer} sent more than {self.limit} bytes in one message")
        return data

    def send(self, data: bytes) -> int:
        self._arm()
        try:
            return self._raw.send(data)
        except TimeoutError:
            raise ChainTimeout(f"{self._peer} does not take our request") from None

    def readable(self, seconds: float) -> bool:
        """Whether something can be read, or the peer is gone, within ``seconds``."""
        if isinstance(self._raw, ssl.SSLSocket) and self._raw.pending():
            return True
        poll = select.poll()
        poll.register(self._raw, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def fileno(self) -> int:
        return self._raw.fileno()

    def gettimeout(self) -> float | None:
        return self._raw.gettimeout()

    def settimeout(self, timeout: float | None) -> None:
        """websocket-client's own wish; the deadline rules."""

    def shutdown(self, how: int) -> None:
        self._raw.shutdown(how)

    def close(self) -> None:
        self._raw.close()


def dial(endpoint: str, deadline: float, limit: int) -> DeadlineSocket:
    """Connect, with TLS for wss://, by ``deadline``; of several addresses each gets its share of the time.

    Raises ConfigError, ChainTimeout, ChainUnreachable.
    """
    host, port, secure = address(endpoint)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ChainUnreachable(f"{endpoint} can't be reached: {host} has no address ({error})") from None
    failure: OSError | None = None
    for place, (family, kind, protocol, _, target) in enumerate(found):
        until = time.monotonic() + (deadline - time.monotonic()) / (len(found) - place)
        raw = socket.socket(family, kind, protocol)
        try:
            _connect(raw, target, until)
            raw.settimeout(max(deadline - time.monotonic(), 0.001))
            return DeadlineSocket(_secured(raw, host) if secure else raw, deadline, limit, endpoint)
        except ssl.SSLError as error:
            raw.close()
            raise _untrusted(endpoint, error) from error
        except OSError as error:
            raw.close()
            failure = error
        except BaseException:
            raw.close()
            raise
    if failure is None or isinstance(failure, TimeoutError):
        raise ChainTimeout(f"{endpoint} does not accept a connection in time")
    raise ChainUnreachable(f"{endpoint} can't be reached: {failure}") from failure


def _connect(raw: socket.socket, target: tuple[object, ...], until: float) -> None:
    for name, value in _WATCHFUL:
        option = getattr(socket, name, None)
        if option is not None:
            raw.setsockopt(socket.IPPROTO_TCP, option, value)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    raw.settimeout(max(until - time.monotonic(), 0.001))
    raw.connect(target)


def _secured(raw: socket.socket, host: str) -> ssl.SSLSocket:
    """TLS with the system's trust, or that of SSL_CERT_FILE and SSL_CERT_DIR; the handshake ends by raw's timeout."""
    return ssl.create_default_context().wrap_socket(raw, server_hostname=host)


def _untrusted(endpoint: str, error: ssl.SSLError) -> ChainUnreachable:
    if isinstance(error, ssl.SSLCertVerificationError):
        return ChainUnreachable(
            f"{endpoint}: its certificate is not trusted: {error.verify_message}",
            remedy="Check the host's name; name a CA of your own with SSL_CERT_FILE=ca.pem.",
        )
    return ChainUnreachable(
        f"{endpoint} does not speak TLS as we do: {error.reason or error}", remedy="Is it a ws:// endpoint?"
    )


def address(endpoint: str) -> tuple[str, int, bool]:
    """(host, port, whether TLS) of an endpoint's URL. Raises ConfigError for what is none."""
    host: str | None = None
    port: int | None = None
    try:
        parts = urlsplit(endpoint)
        if parts.scheme in ("ws", "wss"):
            host, port = parts.hostname, parts.port
    except ValueError:
        log.debug("%r is no URL", endpoint)
    if not host:
        raise ConfigError(
            f"{endpoint!r} is no websocket endpoint", remedy="Write it as ws://host:port or wss://host:port."
        )
    secure = endpoint.lower().startswith("wss:")
    return host, port or (443 if secure else 80), secure
