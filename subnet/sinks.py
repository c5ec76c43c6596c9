"""Where metrics may go beside ``/metrics``: Weights & Biases, as an extra that can never stop a neuron.

What a neuron counts is put on a queue that holds so much and no more, which takes microseconds and never waits; a
daemon thread adds it up and logs it every few seconds. Whatever goes wrong there, at the import, at the login or later,
is one line in the log: the neuron goes on, and what can't be sent is dropped.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

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


class WandbSink:
    """Sends metrics to a run of ``project``; ``about`` is the run's config (netuid, hotkey, role).

    wandb's own settings apply: ``WANDB_API_KEY``, ``WANDB_MODE=offline``, ``WANDB_DIR``. Counters are sent as totals,
    under their name without ``_total``. Raises MissingExtra where wandb is not installed; nothing else, ever.
    """

    def __init__(self, project: str, about: Mapping[str, Any], *, every: float = EVERY) -> None:
        try:
            there = importlib.util.find_spec("wandb") is not None
        except (ImportError, ValueError):  # a module without a spec was put there by hand
            there = True
        if not there:
            raise MissingExtra("--wandb needs wandb", remedy="pip install 'subnetkit[wandb]'")
        self.dropped = 0
        self._project, self._about, self._every = project, dict(about), every
        self._queue: queue.Queue[tuple[str, float, tuple[tuple[str, str], ...]]] = queue.Queue(WAITING)
        self._ending = threading.Event()
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

    def _work(self) -> None:
        try:
            run = importlib.import_module("wandb").init(
                project=self._project, config=self._about, name=f"{self._about.get('role')}-{self._about.get('hotkey')}"
            )
            last = False
            while not last:
                last = self._ending.is_set()  # then what was put until now is all there, and is sent once more
                self._collect(time.monotonic() + self._every)
                if self._values:
                    run.log(dict(self._values))
            run.finish()
        except BaseException as error:  # also its SystemExit: it must never end more than this thread
            self._failed = True
            log.warning("wandb_failed", extra={"error": f"{type(error).__name__}: {error}"[:500]})
        self._values.clear()

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
