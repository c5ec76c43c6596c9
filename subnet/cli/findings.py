"""What ``subnet doctor`` finds, and the checks that need no chain: clock, disk, keyfiles, ports, libraries, health.

Each check is a function of what was measured, so that every finding can be had in a test.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import shlex
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

BACK: Final = 10.0  # seconds that a signed request may be old, and
AHEAD: Final = 2.0  # ahead of the receiver's clock: btauth/1
LITTLE: Final = 200 << 20  # bytes of disk
SCARCE: Final = 2 << 30
PATIENCE: Final = 3.0  # seconds for a port to answer

Level = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``remedy`` is empty where nothing is wrong."""

    check: str
    level: Level
    message: str
    remedy: str = ""


def clock(ahead: float, stale: float | None) -> Finding:
    """``ahead``: seconds of this clock before the newest block's; ``stale``: seconds without a block, None if one
    has just come."""
    remedy = "Keep the clock in step by NTP: timedatectl set-ntp true."
    if ahead < -AHEAD:
        return Finding("clock", "fail", f"this clock is {-ahead:.1f} s behind the chain's", remedy)
    if stale is not None:
        more = "Where the clock is right the endpoint stands still: try another --endpoint."
        return Finding(
            "clock",
            "warn",
            f"no new block came for {stale:.0f} s, and the newest is {ahead:.0f} s old: the clock can't be judged",
            f"{remedy} {more}",
        )
    if ahead > BACK:
        return Finding("clock", "fail", f"this clock is {ahead:.1f} s ahead of the chain's", remedy)
    return Finding("clock", "ok", f"a new block is {ahead:.1f} s old when it comes here")


def disk(folder: Path) -> Finding:
    """Room where the neuron keeps its state."""
    place = next((one for one in (folder, *folder.parents) if os.path.exists(one)), Path("/"))
    try:
        usage = shutil.disk_usage(place)
    except OSError as error:
        return Finding("disk", "fail", f"{place}: {error.strerror}", "Check --state.")
    if not os.access(place, os.W_OK):
        return Finding("disk", "fail", f"{place} can't be written", "Choose another folder: --state DIR.")
    return room(place, usage.free)


def room(place: Path, free: int) -> Finding:
    """What ``free`` bytes are worth."""
    told = f"{free / 2**30:.1f} GiB are free at {place}"
    if free < SCARCE:
        remedy = "Make room, or keep the state elsewhere: --state DIR. A full disk stops scores and commits."
        return Finding("disk", "fail" if free < LITTLE else "warn", told, remedy)
    return Finding("disk", "ok", told)


def keyfiles(*paths: Path) -> Iterator[Finding]:
    """Whether each is there, its owner's alone, and ours."""
    for path in paths:
        try:
            info = path.stat()
        except OSError as error:
            remedy = "`subnet wallet list` shows which there are, `subnet wallet create` makes one."
            yield Finding("keyfile", "fail", f"{path} can't be read: {error.strerror}", remedy)
            continue
        mode = stat.S_IMODE(info.st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            remedy = f"chmod 600 {shlex.quote(str(path))}"
            yield Finding("keyfile", "fail", f"others may use {path} (mode {mode:04o})", remedy)
        elif info.st_uid != os.getuid():
            remedy = f"sudo chown {os.getuid()} {shlex.quote(str(path))}"
            yield Finding("keyfile", "warn", f"{path} belongs to user {info.st_uid}", remedy)
        else:
            yield Finding("keyfile", "ok", f"{path} is its owner's alone (mode {mode:04o})")


def listening(host: str, port: int) -> Finding:
    """Whether a miner can listen there, or does already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            remedy = "--host is an address of this machine, or 0.0.0.0; ports below 1024 are root's."
            return Finding("port", "fail", f"{host}:{port} can't be listened at: {error}", remedy)
        if _is_axon(host, port):
            return Finding("port", "ok", f"an axon listens at {host}:{port}")
        remedy = f"Choose another --port, or end what holds it: ss -ltnp 'sport = :{port}'."
        return Finding("port", "fail", f"{host}:{port} can't be listened at: {error}", remedy)
    return Finding("port", "ok", f"{host}:{port} is free")


def reachable(ip: str, port: int) -> Finding:
    """Whether what the chain says of the axon leads to something that accepts connections and reacts.

    The kernel accepts them for a process that hangs; one that lives answers a GET, be it by hanging up.
    """
    try:
        with socket.create_connection((ip, port), timeout=PATIENCE) as axon:
            try:
                axon.sendall(b"GET / HTTP/1.1\r\nHost: axon\r\nConnection: close\r\n\r\n")
                axon.recv(1)
            except TimeoutError:
                told = f"what listens at the announced {ip}:{port} takes connections and says nothing"
                return Finding("axon", "fail", told, "The miner hangs: end it, and start it again.")
            except ConnectionError:  # it hangs up on what is not signed
                return Finding("axon", "ok", f"the announced axon hangs up on strangers at {ip}:{port}")
            return Finding("axon", "ok", f"the announced axon answers at {ip}:{port}")
    except OSError as error:
        remedy = (
            "Is the miner running, is the port open in the firewall, are --external-ip and --external-port right? "
            "Behind a router that can't be seen from inside, try it from another machine."
        )
        return Finding("axon", "fail", f"nobody answers at the announced {ip}:{port} ({error})", remedy)


def libraries(
    required: Iterable[str] | None = None, installed: Callable[[str], str] = metadata.version
) -> Iterator[Finding]:
    """Whether Python and what this package needs are there, in versions that it works with."""
    from packaging.requirements import Requirement

    if required is None:
        try:
            required = metadata.requires("subnetkit") or []
        except metadata.PackageNotFoundError:
            yield Finding(
                "libraries", "skipped", "subnetkit runs from a folder: it states no versions", "pip install it."
            )
            return
    wrong = []
    for one in map(Requirement, required):
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            version = installed(one.name)
        except metadata.PackageNotFoundError:
            wrong.append((f"{one.name} is not installed", one))
            continue
        if not one.specifier.contains(version, prereleases=True):
            wrong.append((f"{one.name} {version} is not {one.specifier}", one))
    for message, one in wrong:
        yield Finding("libraries", "fail", message, f"pip install '{one.name}{one.specifier}'")
    if not wrong:
        python = ".".join(map(str, sys.version_info[:3]))
        yield Finding("libraries", "ok", f"Python {python}, and every package in a version that works")


def health(port: int) -> Iterator[Finding]:
    """What a running neuron says of itself at its metrics' port."""
    answer = _get("127.0.0.1", port, "/health")
    troubles = None
    if answer is not None:
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
            troubles = [(str(t["name"]), str(t["reason"]), str(t["remedy"])) for t in json.loads(answer)["troubles"]]
    if troubles is None:
        remedy = f"Start the neuron with --metrics-port {port}."
        yield Finding("health", "fail", f"no neuron answers at 127.0.0.1:{port}/health", remedy)
        return
    for name, reason, remedy in troubles[:20]:
        yield Finding("health", "fail", f"{name}: {reason}", remedy)
    if not troubles:
        yield Finding("health", "ok", "the neuron says that it is well")


def _is_axon(host: str, port: int) -> bool:
    """An axon of this library refuses a GET by its own error code."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return b"wire." in (_get(host, port, "/") or b"")


def _get(host: str, port: int, path: str) -> bytes | None:
    """At most 64 KiB of what is answered; None if nothing is."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().read(1 << 16)
    except (OSError, http.client.HTTPException, OverflowError):
        return None
    finally:
        connection.close()
