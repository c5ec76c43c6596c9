"""``--external-ip auto``: finds the address to announce, by the one way that the operator names."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import urlsplit

from subnet.errors import ConfigError

TIMEOUT: Final = 10.0
"""Seconds that a URL has to say which address we come from."""
_ANYWHERE: Final = ("192.0.2.1", 9)  # RFC 5737: leads by the default route; nothing is sent there
_SIOCGIFADDR: Final = 0x8915


def public_address(wanted: str) -> str:
    """``wanted`` itself, unless it begins with ``auto``; then the address that is found.

    ``auto`` is the address of the default route's interface, and must be a global one; ``auto:eth0`` that interface's
    IPv4 address (Linux); ``auto:https://...`` what that URL answers, as plain text (http on loopback only). Blocks;
    only the last one sends anything. Raises ConfigError with another way where it can't be found.
    """
    kind, colon, where = wanted.partition(":")
    if kind != "auto":
        return wanted
    if not colon:
        return _checked(_routed(), "the default route's interface")
    if "://" in where:
        return _checked(_asked(where), where, may_be_local=_is_loopback(where))
    return _checked(_of_interface(where), where, may_be_local=True)


def _routed() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)  # of a datagram socket: a look-up in the routing table, no packet
        except OSError as error:
            raise _failed(f"there is no default route: {error.strerror}") from None
        return str(probe.getsockname()[0])


def _of_interface(name: str) -> str:
    encoded = name.encode()
    if not 0 < len(encoded) < 16 or b"\0" in encoded:
        raise _failed(f"{name!r} is no name of an interface")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            found = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", encoded))
        except OSError as error:
            raise _failed(f"the interface {name} has no IPv4 address: {error.strerror}") from None
    return socket.inet_ntoa(found[20:24])


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _asked(url: str) -> str:
    if urlsplit(url).scheme != "https" and not (urlsplit(url).scheme == "http" and _is_loopback(url)):
        raise _failed("whoever is on the way of a plain http request could choose our address")
    try:
        with urllib.request.build_opener(_NoRedirects).open(url, timeout=TIMEOUT) as reply:
            return str(reply.read(64).decode("ascii").strip())
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise _failed(f"{url} did not say: {error}") from None


def _is_loopback(url: str) -> bool:
    try:
        return ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return False


def _checked(found: str, source: str, *, may_be_local: bool = False) -> str:
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        raise _failed(f"{source} gave {found!r}, which is no address") from None
    if not address.is_global and not may_be_local:
        raise _failed(f"{source} has {address}, which can't be reached from elsewhere")
    return str(address)


def _failed(why: str) -> ConfigError:
    return ConfigError(
        f"--external-ip auto: {why}",
        remedy="Give the address itself, auto:INTERFACE, or auto:https://... of a service that answers with it.",
    )
