"""Several processes that serve one port: forked from one parent, which starts again those that die.

:func:`fork_workers` returns in each worker and never in the parent: whatever was imported or loaded
before it is shared (copy on write), everything after it is each worker's own. The parent holds no
socket, loop or thread; it waits. A first start that fails ends them all, with the worker's own exit
code; later, a dead worker is started again, with growing pauses. SIGTERM and SIGINT go to all.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from subnet.errors import ConfigError

log = logging.getLogger(__name__)

MAX_WORKERS: Final = 256
PATIENCE: Final = 15
"""Seconds that workers have to end after they were told to; then they are killed."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
HEALTHY: Final = 60.0
"""Seconds after which a worker's death counts as the first one again."""
_PR_SET_PDEATHSIG: Final = 1


@dataclass
class Worker:
    """What a worker knows of itself: its number, from 0, and how to say that it serves."""

    number: int
    _pipe: int

    def ready(self) -> None:
        """Tell the parent that this worker serves; idempotent."""
        if self._pipe >= 0:
            with contextlib.suppress(OSError):
                os.write(self._pipe, b"1")
            os.close(self._pipe)
            self._pipe = -1


def fork_workers(count: int, gone: Callable[[int], None] = lambda pid: None, patience: int = PATIENCE) -> Worker:
    """Returns in each of ``count`` workers. The parent leaves by SystemExit when all have ended.

    ``gone`` is called in the parent with the process id of each worker that ended; they have ``patience`` seconds
    to end when they are told to. SIGHUP is passed on to them. Raises ConfigError
    for a count that can't be. Call it before any thread or event loop is started.
    """
    if not 1 <= count <= MAX_WORKERS:
        raise ConfigError(f"{count} workers can't be", remedy=f"Give a number from 1 to {MAX_WORKERS}.")
    return _Parent(count, gone, patience).run()


def reserve_port(host: str, port: int) -> socket.socket:
    """A socket that holds ``port`` (0: any free one) for workers that bind it with SO_REUSEPORT.

    It does not listen, so no connection comes to it. Raises ConfigError where another program serves there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as alone:  # without the option, so that others are met
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((host, port))
            port = alone.getsockname()[1]
        held = socket.socket(family, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError as error:
        raise ConfigError(
            f"can't listen on {host}:{port}: {error.strerror}",
            remedy="Choose another --port (0 takes any free one) or stop what holds it.",
        ) from None
    return held


@dataclass
class _Child:
    number: int
    pipe: int
    started: float
    deaths: int


class _Parent:
    def __init__(self, count: int, gone: Callable[[int], None], patience: int) -> None:
        self._count, self._gone, self._patience = count, gone, patience
        self._pid = os.getpid()
        self._children: dict[int, _Child] = {}
        self._stopping = False
        self._code = 0

    def run(self) -> Worker:
        chosen = {
            signal.SIGTERM: self._told,
            signal.SIGINT: self._told,
            signal.SIGALRM: self._kill,
            signal.SIGHUP: self._passed_on,
        }
        previous = {number: signal.signal(number, handler) for number, handler in chosen.items()}
        for number in range(self._count):
            worker = self._fork(number, 0)
            if worker is None and number == 0:
                self._wait_until_ready()  # what is wrong with the first is wrong with all: say it once
            if worker is not None:
                return _settle(worker, self._pid, previous)
            if self._stopping:
                break
        while self._children:
            worker = self._look_after()
            if worker is not None:
                return _settle(worker, self._pid, previous)
        sys.exit(self._code)

    def _fork(self, number: int, deaths: int) -> Worker | None:
        """The worker in the child, None in the parent."""
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ours)
            for child in self._children.values():
                os.close(child.pipe)
            return Worker(number, theirs)
        os.close(theirs)
        self._children[pid] = _Child(number, ours, time.monotonic(), deaths)
        if self._stopping:  # we were told while we forked, or while we slept
            os.kill(pid, signal.SIGTERM)
        log.debug("worker %d is process %d", number, pid)
        return None

    def _wait_until_ready(self) -> None:
        (child,) = self._children.values()
        while not self._stopping:
            if os.read(child.pipe, 1):
                return
            self._code = self._reap()[1] or 1
            self._stopping = True

    def _look_after(self) -> Worker | None:
        """Wait for a worker to end and start it again, unless all are to end."""
        child, code = self._reap()
        if self._stopping:
            return None
        lived = time.monotonic() - child.started
        deaths = 0 if lived > HEALTHY else child.deaths
        pause = min(FIRST_PAUSE * 2**deaths, LONGEST_PAUSE)
        log.error("worker %d ended with code %d; it starts again in %g s", child.number, code, pause)
        time.sleep(pause)
        return self._fork(child.number, deaths + 1)

    def _reap(self) -> tuple[_Child, int]:
        pid, status = os.wait()
        child = self._children.pop(pid)
        os.close(child.pipe)
        self._gone(pid)
        return child, os.waitstatus_to_exitcode(status)

    def _told(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT: to all; a second one kills."""
        if self._stopping:
            self._kill(number, frame)
            return
        self._stopping = True
        signal.alarm(self._patience)
        self._send(signal.SIGTERM)

    def _passed_on(self, number: int, frame: FrameType | None) -> None:
        self._send(number)

    def _kill(self, number: int, frame: FrameType | None) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _settle(worker: Worker, parent: int, handlers: Mapping[signal.Signals, Any]) -> Worker:
    """In a new worker: signals as they were, and an end when the parent's comes."""
    signal.alarm(0)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)
    return worker
