"""Where metrics may go beside ``/metrics``: Weights & Biases, as an extra that can never stop a neuron.

What a neuron counts is put on a queue that holds so much and no more, which takes microseconds and never waits; a
daemon thread adds it up and hands it every few seconds to a process of its own, this module's :func:`main`, the only
one that imports wandb: that replaces ``sys.exit`` and the writers of the process that it is in, asks on its terminal,
interrupts it when its run is stopped, and waits at its end without a bound. Whatever goes wrong there, at the import,
at the login or later, is one line in the log: the neuron goes on, what can't be sent is dropped, and a process that
hangs is ended with the neuron.

Log events: ``wandb`` (url of the run), ``wandb_failed`` (error).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any, Final

from subnet.errors import MissingExtra

log = logging.getLogger(__name__)

WAITING: Final = 10_000
"""Changes that may wait for the thread; what comes on top is dropped, and counted in :attr:`WandbSink.dropped`."""
EVERY: Final = 10.0
"""Seconds between two points that are logged."""
SERIES: Final = 2_000
"""Metrics by label that are kept; further ones are dropped."""
PATIENCE: Final = 5.0
"""Seconds that :meth:`WandbSink.close` waits for what is left."""
_ONLY_METRICS: Final = {
    "console": "off",  # else what is printed and logged is sent
    "silent": True,
    "disable_code": True,
    "save_code": False,
    "disable_git": True,
    "disable_job_creation": True,
    "x_disable_meta": True,  # the command line is part of it
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "finish_timeout": PATIENCE,
}
"""Settings of wandb under which a run is given our metrics and nothing else."""


class WandbSink:
    """Sends metrics to a run of ``project``; ``about`` is the run's config (netuid, hotkey, role).

    wandb's own settings apply: ``WANDB_API_KEY``, ``WANDB_MODE=offline``, ``WANDB_DIR``; but it gets neither output
    nor code, git's state, the command line, the packages or the machine, and asks nothing. Counters are sent as
    totals, under their name without ``_total``. Raises MissingExtra where wandb is not installed; nothing else, ever.
    """

    def __init__(self, project: str, about: Mapping[str, Any], *, every: float = EVERY) -> None:
        spec = importlib.util.find_spec("wandb")
        if spec is None or spec.origin is None:  # the folder of that name that its runs leave behind is no wandb
            raise MissingExtra("--wandb needs wandb", remedy="pip install 'subnetkit[wandb]'")
        self.dropped = 0
        self._begin = {"project": project, "config": dict(about), "name": f"{about.get('role')}-{about.get('hotkey')}"}
        self._every = every
        self._queue: queue.Queue[tuple[str, float, tuple[tuple[str, str], ...]]] = queue.Queue(WAITING)
        self._ending = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._failed = False
        self._values: dict[str, float] = {}
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def record(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Take one change: a counter's increment, or a gauge's value. Neither waits nor raises."""
        if self._failed:
            return
        try:
            self._queue.put_nowait((name, value, tuple(labels.items())))
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Send what is left, for a few seconds at most; idempotent."""
        self._ending.set()
        self._thread.join(PATIENCE)
        if self._thread.is_alive() and self._process is not None:
            self._fail(f"it took more than {PATIENCE:g} s to end")
            self._process.kill()
            self._thread.join(PATIENCE)

    def _work(self) -> None:
        """The thread: start the process, feed it, and wait until it has ended."""
        try:
            process = self._process = subprocess.Popen(  # noqa: S603 - this very module
                [sys.executable, "-P", "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # Ctrl-C is for the neuron, which says when it is over
            )
            assert process.stdin is not None  # noqa: S101
            assert process.stdout is not None  # noqa: S101
            listener = threading.Thread(target=self._listen, args=(process.stdout,), name="wandb-told", daemon=True)
            listener.start()
            with contextlib.suppress(BrokenPipeError), process.stdin:
                self._feed(process.stdin)
            code = process.wait()
            listener.join(PATIENCE)
            if code and not self._failed:
                self._fail(f"its process ended with {code}")
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")
        self._values.clear()

    def _feed(self, pipe: IO[str]) -> None:
        """Say how to begin, then a line of values now and then, until the end or a failure."""
        print(json.dumps(self._begin), file=pipe, flush=True)
        last = False
        while not last and not self._failed:
            last = self._ending.is_set()  # then what was put until now is all there, and is sent once more
            self._collect(time.monotonic() + self._every)
            if self._values:
                print(json.dumps(self._values), file=pipe, flush=True)

    def _listen(self, pipe: IO[str]) -> None:
        """The other thread: what the process has to say."""
        with contextlib.suppress(ValueError, OSError), pipe:
            for line in pipe:
                told = json.loads(line)
                if "error" in told:
                    self._fail(told["error"])
                else:
                    log.info("wandb", extra={"url": told["url"]})

    def _fail(self, error: str) -> None:
        if not self._failed:
            self._failed = True
            log.warning("wandb_failed", extra={"error": error[:500]})

    def _collect(self, until: float) -> None:
        """Add up what comes, up to a moment of the monotonic clock or the end."""
        while True:
            left = until - time.monotonic()
            try:
                if self._ending.is_set() or left <= 0:
                    self._add(*self._queue.get_nowait())
                else:
                    self._add(*self._queue.get(timeout=min(left, 0.2)))
            except queue.Empty:
                if self._ending.is_set() or left <= 0:
                    return

    def _add(self, name: str, value: float, labels: tuple[tuple[str, str], ...]) -> None:
        counted = name.endswith("_total")
        key = "/".join([name.removeprefix("subnet_").removesuffix("_total"), *(text for _, text in labels)])
        if key not in self._values and len(self._values) >= SERIES:
            self.dropped += 1
            return
        self._values[key] = self._values.get(key, 0.0) + value if counted else value


def main() -> int:
    """The process: a run of wandb, by the lines of stdin, until that ends. It says the run's URL, or an error."""
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed is not ours
    try:
        begin = json.loads(sys.stdin.readline())
        wandb: Any = importlib.import_module("wandb")
        wandb.setup(wandb.Settings(silent=True))  # without a key it fails, instead of asking for one
        run = wandb.init(**begin, settings=wandb.Settings(**_ONLY_METRICS))
        print(json.dumps({"url": run.url}), file=told)
        for line in sys.stdin:
            run.log(json.loads(line))
        run.finish()
    except KeyboardInterrupt:  # as wandb tells a process that its run was stopped
        print(json.dumps({"error": "the run was stopped on its page"}), file=told)
        return 1
    except BaseException as error:  # also its SystemExit
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=told)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
