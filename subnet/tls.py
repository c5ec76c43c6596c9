"""TLS between neurons, without a certificate authority: what a miner serves under is pinned on the chain.

A miner with ``--tls-cert`` and ``--tls-key`` publishes the sha256 of its certificate with its address
(``serve_axon_tls``), under an algorithm number and a protocol number of our own. Who asks it connects by
https, and takes no certificate but that one: whom it was issued by, for which name and until when does not
matter, the hotkey's own word on the chain does.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from subnet.errors import ConfigError
from subnet.types import TLS_ALGORITHM


@dataclass(frozen=True)
class ServerCertificate:
    """A miner's certificate and key, and how it is announced."""

    context: ssl.SSLContext
    fingerprint: bytes
    """sha256 of the certificate, 32 bytes."""

    @property
    def published(self) -> bytes:
        """What ``serve_axon_tls`` carries: the algorithm's number, then the fingerprint."""
        return bytes([TLS_ALGORITHM]) + self.fingerprint


def load_certificate(certificate: Path, key: Path) -> ServerCertificate:
    """From PEM files. Raises ConfigError where they can't be read, or don't belong together."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key, password=lambda: "")
        first = certificate.read_text().partition("-----END CERTIFICATE-----")
        der = ssl.PEM_cert_to_DER_cert(first[0][first[0].index("-----BEGIN CERTIFICATE-----") :] + first[1])
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"{certificate} and {key} can't be served with: {error}",
            remedy="Give --tls-cert and --tls-key as PEM files that belong together, the key without a password.",
        ) from None
    return ServerCertificate(context, hashlib.sha256(der).digest())


class Places(Protocol):
    """Who counts connections."""

    def enter(self, connection: object, transport: asyncio.Transport) -> str | None: ...
    def leave(self, connection: object) -> None: ...


class Porch(asyncio.Protocol):
    """A connection until its TLS handshake is done: counted, and given up, as any other that has asked nothing yet.

    asyncio's own servers know of a TLS connection only after the handshake, so that who never begins one would
    take file descriptors without end. ``door`` makes the protocol that goes on, told the connection's
    own transport; the handshake has ``patience`` seconds.
    """

    def __init__(
        self,
        places: Places,
        door: Callable[[asyncio.Transport], asyncio.BufferedProtocol],
        context: ssl.SSLContext,
        patience: float,
    ) -> None:
        self._places, self._door, self._context, self._patience = places, door, context, patience
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw: asyncio.Transport = transport  # type: ignore[assignment] # as a server's are
        if self._places.enter(self, raw) is None:
            raw.abort()
            return
        raw.pause_reading()  # what comes first is the handshake's
        self._task = asyncio.get_running_loop().create_task(self._shake_hands(raw))

    def connection_lost(self, exc: Exception | None) -> None:
        self._places.leave(self)

    async def _shake_hands(self, raw: asyncio.Transport) -> None:
        between = _Between()
        try:
            secure = await asyncio.get_running_loop().start_tls(
                raw, between, self._context, server_side=True, ssl_handshake_timeout=self._patience
            )
        except OSError:  # no TLS, or none of ours, or not in time
            raw.abort()
            return
        finally:
            self._places.leave(self)
        if secure is not None and not between.lost:
            between.hand_over(secure, self._door(raw))


class _Between(asyncio.Protocol):
    """Keeps what comes between the end of a handshake and the turn of who waited for it."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._ended = self.lost = False

    def data_received(self, data: bytes) -> None:
        self._data.append(data)

    def eof_received(self) -> None:
        self._ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.BufferedProtocol) -> None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        for data in self._data:
            while data:
                buffer = memoryview(protocol.get_buffer(len(data)))
                some = min(len(buffer), len(data))
                buffer[:some] = data[:some]
                protocol.buffer_updated(some)
                data = data[some:]
        if self._ended:
            protocol.eof_received()
