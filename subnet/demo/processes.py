"""The demo's processes: started as a user would start them, and gone when the demo is, however it ends.

All of them live in one process group whose leader is a small shell script, the :class:`Troupe`'s
keeper. Its standard input is a pipe that only the demo holds: when the demo ends, be it by
``kill -9``, the pipe closes and the keeper ends the whole group. Ctrl-C in a terminal reaches the
demo alone, which then ends the group in order. What each process writes goes to a log of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import subnet
from subnet.chain.cache import VARIABLE as CACHE_DIR

_KEEPER: Final = "trap '' INT TERM HUP; read -r _; kill -TERM 0; sleep 2; kill -KILL 0"
_LONE_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TAIL: Final = 12  # lines of a log that are shown when its process died


@dataclass
class Process:
    """One child: its ``name``, the ``command`` as typed, its ``log`` file."""

    name: str
    command: tuple[str, ...]
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def ended(self) -> int | None:
        """Its exit status (negative: the signal that ended it), or None while it runs."""
        return self.popen.poll()

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        self.popen.kill()
        self.popen.wait()

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL:])


class Troupe:
    """The demo's processes; a context manager that ends all of them on leaving.

    ``folder`` is where they run; their logs lie in its ``logs``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, Process] = {}
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self._keeper = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _KEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        return self

    def start(self, name: str, *words: str, stdout: int | None = None) -> Process:
        """Start ``subnet WORDS`` as a process of its own; a log that exists already is carried on.

        ``stdout`` may be ``subprocess.PIPE``; otherwise both outputs go to the log.
        """
        log = self.folder / "logs" / f"{name}.log"
        command = ("subnet", *words)
        with log.open("ab") as out:
            out.write(f"$ {' '.join(command)}\n".encode())
            out.flush()
            popen = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "subnet", *words],
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=out,
                cwd=self.folder,
                env=environment(),
                process_group=self._keeper.pid,
            )
        self.processes[name] = Process(name, command, log, popen)
        return self.processes[name]

    def dead(self) -> list[Process]:
        """The processes that have ended though nobody asked them to."""
        return [process for process in self.processes.values() if process.ended() is not None]

    def stop(self, names: Sequence[str], patience: float = 5.0) -> None:
        """SIGTERM to these, SIGKILL to those that still run after ``patience`` seconds."""
        chosen = [self.processes.pop(name) for name in names if name in self.processes]
        for process in chosen:
            process.popen.terminate()
        deadline = time.monotonic() + patience
        for process in chosen:
            try:
                process.popen.wait(max(deadline - time.monotonic(), 0.05))
            except subprocess.TimeoutExpired:
                process.kill()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop(list(self.processes), patience=2.0 if kind else 5.0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._keeper.pid, signal.SIGKILL)
            self._keeper.wait()
            _close(self._keeper.stdin)


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()


def _here() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # somebody deleted it; the children run in a folder of ours
        return None


def environment() -> dict[str, str]:
    """Ours, less what would make the children differ from their command lines, one BLAS thread each."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SUBNET_") or name == CACHE_DIR}
    env.update(dict.fromkeys(_LONE_THREADS, "1"))
    paths = [os.path.abspath(p) for p in env.get("PYTHONPATH", "").split(os.pathsep) if p]
    home = str(Path(subnet.__file__).resolve().parents[1])
    if home == _here():  # run from a checkout: the children's folder is another
        paths.append(home)
    if paths:
        env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    env["PYTHONUNBUFFERED"] = "1"
    return env
