"""TLS between neurons, without a certificate authority: what a miner serves under is pinned on the chain.

A miner with ``--tls-cert`` and ``--tls-key`` publishes the sha256 of its certificate with its address
(``serve_axon_tls``), under an algorithm number and a protocol number of our own. Who asks it connects by
https, and takes no certificate but that one: whom it was issued by, for which name and until when does not
matter, the hotkey's own word on the chain does.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

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
