"""A thread and the session that only it touches: jobs go in by a queue, results come out as futures."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from subnet.chain.endpoints import Endpoints
from subnet.chain.session import FAULTS, Session
from subnet.errors import ChainTimeout

T = TypeVar("T")
Job = Callable[[Session], T]


class Owner:
    """The thread and the session that only it touches."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.session = Session(endpoints)
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.thread = Thread(target=self._work, name=f"chain {endpoints.chosen}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        with suppress(SystemExit):  # give_up(), when the job had just ended
            while (task := self._jobs.get()) is not None:
                task()
                del task  # else the last job's result stays alive until the next one
        self.session.abort()

    def put(self, job: Job[T], deadline: float) -> Future[T]:
        """Queue a job; its sockets end by ``deadline`` (time.monotonic())."""
        future: Future[T] = Future()
        queued = time.monotonic()

        def task() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                waited = time.monotonic() - queued
                self.session.prepare(deadline)
                future.set_result(self._run(job, was_kept=waited > (deadline - queued) / 2))
            except SystemExit:  # thrown in by give_up(): an order to the thread, not to who waits
                if not future.done():
                    future.set_exception(ChainTimeout(f"{self.session.endpoint} hangs"))
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(task)
        return future

    def _run(self, job: Job[T], *, was_kept: bool) -> T:
        try:
            return job(self.session)
        except FAULTS as error:
            if not (was_kept and isinstance(error, ChainTimeout)):  # its time went by before the endpoint was asked
                self.session.leave(error)
            raise

    def end(self) -> None:
        """Close the socket, which fails the jobs there are, and let the thread end."""
        self._jobs.put(None)
        self.session.abort()

    def give_up(self) -> None:
        """Wake the thread from its socket, or from Python code that does not end, and let it go."""
        self.end()
        if self.thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread.ident), ctypes.py_object(SystemExit))
