"""Where trials run: in this process, in several, or on a Ray cluster. The results are the same, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from subnet.errors import ConfigError, DeclarationError, MissingExtra

T = TypeVar("T")
R = TypeVar("R")


class Workers(Protocol):
    """Something that maps a function over arguments; ``done`` is called as each result comes, whichever it is."""

    def map(self, function: Callable[[T], R], arguments: Sequence[T], done: Callable[[], object]) -> list[R]: ...


class Here:
    """One after the other, in this process."""

    def map(self, function: Callable[[T], R], arguments: Sequence[T], done: Callable[[], object]) -> list[R]:
        results = []
        for argument in arguments:
            results.append(function(argument))
            done()
        return results


class Processes:
    """In ``count`` processes; what they run is pickled, so that it must stand at a module's top level."""

    def __init__(self, count: int) -> None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # spawn: a forked child would inherit the progress bar's thread's locks
        self._pool = ProcessPoolExecutor(
            count, mp_context=multiprocessing.get_context("spawn"), initializer=_live_with_parent
        )

    def map(self, function: Callable[[T], R], arguments: Sequence[T], done: Callable[[], object]) -> list[R]:
        from concurrent.futures import as_completed
        from concurrent.futures.process import BrokenProcessPool

        _check_pickles(arguments)
        futures = [self._pool.submit(function, argument) for argument in arguments]
        try:
            for future in as_completed(futures):
                future.result()
                done()
        except BrokenProcessPool as error:
            raise ConfigError(
                "a worker process ended by itself", remedy="It may have run out of memory: try fewer --workers."
            ) from error
        return [future.result() for future in futures]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """Without waiting for what runs: a trial may take a minute."""
        # public from Python 3.14 on, as terminate_workers
        for process in list((getattr(self._pool, "_processes", None) or {}).values()):
            process.terminate()


class RayCluster:
    """On the Ray cluster of ``RAY_ADDRESS``, or one that is started on this machine."""

    def __init__(self) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise MissingExtra("--workers ray needs Ray", remedy="pip install 'subnetkit[ray]'") from None
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            ray.init(include_dashboard=False, logging_level="ERROR", log_to_driver=False)

    def map(self, function: Callable[[T], R], arguments: Sequence[T], done: Callable[[], object]) -> list[R]:
        _check_pickles(arguments)
        remote = self._ray.remote(function)
        pending = waiting = [remote.remote(argument) for argument in arguments]
        while waiting:
            ready, waiting = self._ray.wait(waiting, num_returns=1)
            for _ in ready:
                done()
        return list(self._ray.get(pending))

    def close(self) -> None:
        if self._ours:
            self._ray.shutdown()

    def stop(self) -> None:
        """Nothing more than :meth:`close`: Ray cancels what a driver that leaves has asked for."""


def _check_pickles(arguments: Sequence[object]) -> None:
    import pickle

    try:
        pickle.dumps(arguments[:1])
    except Exception as error:  # pickle raises as it likes
        raise DeclarationError(
            f"the scenario can't go to another process: {error}",
            remedy="Give rules and actors a name at the top of their module (no lambda), or use one worker.",
        ) from error


def _live_with_parent() -> None:
    """Ctrl-C ends a worker at once and silently; so does its parent's end, however that came."""
    import multiprocessing
    import os
    import signal
    import threading

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def hired(workers: int | str) -> Iterator[Workers]:
    """Workers for a while: 1 is this process, N are N processes, ``"ray"`` is a cluster.

    Raises ConfigError for anything else and MissingExtra without Ray.
    """
    if workers == 1:
        yield Here()
        return
    if workers == "ray":
        crew: Processes | RayCluster = RayCluster()
    elif isinstance(workers, int) and 1 < workers <= 1024:
        crew = Processes(workers)
    else:
        raise ConfigError(f"workers is {workers!r}, expected a number from 1 to 1024, or ray")
    try:
        yield crew
    except BaseException:
        crew.stop()
        raise
    finally:
        crew.close()
