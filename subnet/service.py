"""What a running miner and a running validator have in common.

:class:`Actor` is the user's side: options from the command line, and what the neuron knows of its
subnet. :mod:`subnet.follower` keeps the last metagraph snapshot fresh. :class:`Loops` runs such
background work: a pass that raises is logged and counted, and the loop goes on. :class:`ChainClient` is
what both need of a chain, so that they run on any that has these methods.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, Unpack, cast

from subnet.errors import ChainError, ConfigError, DeclarationError, SubnetError
from subnet.health import Health, Streak
from subnet.threads import in_thread
from subnet.types import Block, Hotkey, Metagraph, Netuid, Uid

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Event, Hyperparameters, Included
    from subnet.chain.commitments import OpenCommit, TimelockedCommit
    from subnet.chain.sending import Sending
    from subnet.chain.weights import WeightCommit
    from subnet.errors import WrongNetwork
    from subnet.telemetry import Metrics

log = logging.getLogger(__name__)

T = TypeVar("T", bound=bool | int | float | str)

FIRST_PAUSE = 0.5
"""Seconds before a failed pass is tried again; doubles from failure to failure."""
LONGEST_PAUSE = 10.0
"""The most seconds between two tries of a failing pass."""


class ChainClient(Protocol):
    """The part of :class:`subnet.Chain` that a neuron uses."""

    @property
    def genesis_hash(self) -> str: ...
    @property
    def stale_for(self) -> float: ...
    @property
    def wrong_network(self) -> WrongNetwork | None: ...
    @property
    def is_pinned(self) -> bool: ...
    async def block_number(self) -> Block: ...
    async def wait_for_block(self, block: int, *, timeout: float | None = None) -> Block: ...
    async def metagraph(self, netuid: int, block: int | None = None, *, mecid: int = 0) -> Metagraph: ...
    async def hyperparameters(self, netuid: int, block: int | None = None) -> Hyperparameters: ...
    async def weights(
        self, netuid: int, block: int | None = None, *, mecid: int = 0
    ) -> dict[Uid, list[tuple[Uid, int]]]: ...
    async def weight_commits(
        self, netuid: int, hotkey: str | None = None, block: int | None = None, *, mecid: int = 0
    ) -> tuple[OpenCommit, ...]: ...
    async def timelocked_commits(
        self, netuid: int, block: int | None = None, *, mecid: int = 0
    ) -> tuple[TimelockedCommit, ...]: ...
    async def reveal_block(self, netuid: int, committed: Block) -> Block: ...
    async def mechanism_count(self, netuid: int) -> int: ...
    async def events(self, block: int | None = None) -> tuple[Event, ...]: ...
    async def next_epoch_block(self, netuid: int) -> Block | None: ...
    async def serve_axon(
        self,
        hotkey: Keypair,
        netuid: int,
        ip: str,
        port: int,
        *,
        protocol: int = 4,
        certificate: bytes | None = None,
    ) -> Included: ...
    async def set_weights(
        self,
        hotkey: Keypair,
        netuid: int,
        uids: Sequence[int],
        weights: Sequence[int],
        version_key: int = 0,
        *,
        mechanism: int = 0,
        **sending: Unpack[Sending],
    ) -> Included: ...
    async def commit_weights(self, hotkey: Keypair, commit: WeightCommit, **sending: Unpack[Sending]) -> Included: ...
    async def commit_timelocked_weights(
        self,
        hotkey: Keypair,
        netuid: int,
        uids: Sequence[int],
        weights: Sequence[int],
        version_key: int = 0,
        *,
        mechanism: int = 0,
        **sending: Unpack[Sending],
    ) -> Included: ...
    async def reveal_weights(self, hotkey: Keypair, commit: WeightCommit, **sending: Unpack[Sending]) -> Included: ...


class Options(Mapping[str, str]):
    """``-o name=value`` options; remembers which were read, so that a misspelt one can be named."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self.unread = set(self._values)

    def __getitem__(self, name: str) -> str:
        value = self._values[name]
        self.unread.discard(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Options({self._values})"


class Actor:
    """What a Miner and a Validator share: options, ``load``, and what they know of their subnet.

    ``options`` are the command line's ``-o name=value``. Class attributes named in ``tunables``
    are options too: ``-o round_interval=2`` replaces the class's value for this process. Hotkey,
    netuid and metagraph are there from ``load()`` on.
    """

    tunables: ClassVar[tuple[str, ...]] = ("refresh_blocks", "stall", "strange")

    refresh_blocks: int = 5
    """The metagraph is read anew after so many blocks."""
    stall: float = 120.0
    """Seconds without a new block after which the chain counts as stalled: ten of the real chain's blocks."""
    strange: float = 60.0
    """Seconds for which every endpoint may be another chain before the neuron ends (not with ``--genesis-hash``)."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self.options: Mapping[str, str] = Options(options or {})
        self.hotkey: Hotkey = Hotkey("")
        self.netuid: Netuid = Netuid(0)
        self._metagraph: Metagraph | None = None
        for name in self.tunables:
            if name in self.options:
                setattr(self, name, self.option(name, getattr(self, name)))

    def option(self, name: str, default: T) -> T:
        """The option ``name`` as a value of ``default``'s type (bool, int, float or str), else ``default``.

        Raises ConfigError for a value that does not read as one.
        """
        if name not in self.options:
            return default
        text = self.options[name]
        value: Any
        try:
            value = _BOOLEANS[text.lower()] if isinstance(default, bool) else type(default)(text)
        except (ValueError, KeyError):
            kind = type(default).__name__
            raise ConfigError(f"option {name}={text!r} is no {kind}", remedy=f"Write -o {name}=<{kind}>.") from None
        return cast("T", value)

    def load(self) -> None:
        """Make ready: models, data. Called once before work starts, in a thread, so it may take its time."""

    @property
    def metagraph(self) -> Metagraph:
        """The last snapshot of the subnet; a few blocks old, older while the chain is away."""
        if self._metagraph is None:
            raise RuntimeError("there is no metagraph before load()")
        return self._metagraph

    def attach(self, hotkey: Hotkey, metagraph: Metagraph) -> None:
        """Say who this neuron is and what its subnet looks like now; the service calls it on each refresh."""
        self.hotkey, self.netuid, self._metagraph = hotkey, metagraph.netuid, metagraph


_BOOLEANS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class Loops:
    """Background loops that outlive the exceptions of their passes.

    A pass is ``async def`` and returns the seconds to wait before the next one. When it raises,
    the error is logged (with a traceback unless it is a SubnetError, whose remedy says enough),
    counted in ``failures`` (and on ``metrics``) by the loop's name, and tried again after a pause that
    doubles up to LONGEST_PAUSE seconds. ``health`` hears of a loop whose passes fail again and again, as
    ``loop NAME``; not of a chain that is away, which Pulse tells of.
    """

    def __init__(self, health: Health | None = None, metrics: Metrics | None = None) -> None:
        self.failures: Counter[str] = Counter()
        self._health, self._metrics = health or Health(), metrics
        self._streaks: dict[str, Streak] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, one_pass: Callable[[], Awaitable[float]]) -> None:
        """Run ``one_pass`` again and again until :meth:`stop`."""
        self._streaks.setdefault(name, Streak(self._health, f"loop {name}"))
        self._tasks.append(asyncio.create_task(self._run(name, one_pass), name=name))

    async def stop(self) -> None:
        """Cancel all loops and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _run(self, name: str, one_pass: Callable[[], Awaitable[float]]) -> None:
        task, in_a_row = asyncio.current_task(), 0
        while True:
            try:
                pause: float = await one_pass()
                in_a_row = 0
                self._streaks[name].passed()
            except Exception as error:
                pause = self._failed(name, in_a_row, error)
                in_a_row += 1
            except asyncio.CancelledError as error:
                if task is None or task.cancelling():
                    raise
                pause = self._failed(name, in_a_row, error)  # a cancelled task inside the pass, not us
                in_a_row += 1
            except SystemExit as error:
                pause = self._failed(name, in_a_row, error)  # raised by user code, which does not end us
                in_a_row += 1
            await asyncio.sleep(pause)

    def _failed(self, name: str, in_a_row: int, error: BaseException) -> float:
        self.failures[name] += 1
        if self._metrics is not None:
            self._metrics.count("subnet_loop_failures_total", loop=name)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(in_a_row, 10)) * random.uniform(0.75, 1.25)
        about = {"loop": name, "failures": self.failures[name], "retry_s": round(pause, 2)}
        if isinstance(error, SubnetError):
            told = {"code": error.code, "error": error.message, "remedy": error.remedy}
            log.warning("loop_failed", extra=about | told)
        else:
            log.error("loop_failed", extra=about, exc_info=error)
        if not isinstance(error, ChainError):
            self._streaks[name].failed(*_said(error))
        return float(pause)


def _said(error: BaseException) -> tuple[str, str]:
    """What health is told of an error: what happened, and what would mend it."""
    if isinstance(error, SubnetError):
        return error.message, error.remedy
    return f"{type(error).__name__}: {error}", "The log has the traceback, at loop_failed."


class Service(ABC):
    """A neuron's life from start to stop."""

    def __init__(self) -> None:
        self._end: SubnetError | None = None
        self._ends = asyncio.Event()

    @abstractmethod
    async def start(self) -> None:
        """At work when this returns."""

    @abstractmethod
    async def stop(self) -> None:
        """End everything that :meth:`start` began; idempotent."""

    async def run(self, stop: asyncio.Event) -> None:
        """Start, work until ``stop`` is set, stop. Raises what :meth:`start` raises, and what it was given up for."""
        try:
            if await unless(stop, self.start()):
                await unless(stop, self._ends.wait())
        finally:
            await self.stop()
        if self._end is not None and not stop.is_set():
            raise self._end

    def give_up(self, error: SubnetError) -> None:
        """End the neuron: :meth:`run` stops it in order and raises ``error``; the first one counts."""
        self._end = self._end or error
        self._ends.set()


async def load(actor: Actor) -> None:
    """Run ``actor.load`` in a thread; what it raises is logged and becomes a DeclarationError, a SubnetError passes."""
    name = type(actor).__name__
    try:
        await in_thread(actor.load, "load")
    except SubnetError:
        raise
    except ModuleNotFoundError as error:
        raise DeclarationError(
            f"{name}.load needs {error.name}, which is not installed", remedy=missing_remedy(error.name or "it")
        ) from None
    except Exception as error:  # user code
        log.exception("load_failed", extra={"class": name})
        raise DeclarationError(
            f"{name}.load failed: {type(error).__name__}: {error}", remedy="Read the traceback above."
        ) from None


def missing_remedy(module: str) -> str:
    """How to get a module that user code needs and this environment lacks."""
    return f"Install {module}; what the examples need comes with the extra `examples`, torch with the extra `torch`."


@asynccontextmanager
async def until_signalled() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets. The second signal acts as if nobody handled it."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def received() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, received)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def unless(stop: asyncio.Event, work: Awaitable[Any]) -> bool:
    """Wait for ``work`` or for ``stop``, whichever is first; True if the work was done.

    Work that is stopped is cancelled; what it raises is raised here.
    """
    task = asyncio.ensure_future(work)
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        await task
        return True
    finally:
        waiting.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def register_remedy(netuid: int, hotkey: str) -> str:
    """The command that registers ``hotkey``."""
    command = f"subnet register --netuid {netuid} --hotkey {hotkey} --wallet NAME"
    return f"Register it: `{command}`, or on a local chain with --key //Alice in place of --wallet NAME."


def warn_unread(options: Mapping[str, str], owner: str) -> None:
    """Log the ``-o`` options that nobody has read by the end of ``load()``: most are misspelt."""
    if isinstance(options, Options) and options.unread:
        log.warning("options_unread", extra={"options": sorted(options.unread), "class": owner})
