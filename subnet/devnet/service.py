"""A node with its server, as the command runs it and as tests do.

:func:`serve` runs one on the current event loop; :func:`devnet` on a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from subnet.devnet.accounts import Account, more
from subnet.devnet.chain import Chain
from subnet.devnet.context import Spec, TempoRule
from subnet.devnet.node import Node, Production
from subnet.devnet.server import Server, is_loopback
from subnet.devnet.state import Store
from subnet.errors import DevnetError

logger = logging.getLogger(__name__)

T = TypeVar("T")
TAO = 10**9
START_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class Options:
    """Every knob of a local chain.

    ``port`` 0 takes any free one; ``block_time`` is seconds, for ``production`` "interval";
    ``state`` is the file that the chain lives in (memory without); ``tempo`` (blocks) is what new
    subnets get; ``accounts`` and ``balance`` (RAO each) shape the genesis; ``start_call_delay`` is
    blocks; ``tempo_rule`` is :class:`~subnet.devnet.context.Spec`'s; ``genesis`` is a TOML file of subnets,
    neurons and balances (docs/reference/genesis.md). On a state file that holds a chain already, its own
    genesis and spec hold. ``load_state`` is a dump to go on from, ``dump_state`` where one is written at the end
    (:mod:`subnet.devnet.dump`).
    """

    host: str = "127.0.0.1"
    port: int = 9944
    block_time: float = 1.0
    production: Production = "interval"
    state: Path | None = None
    tempo: int = 360
    accounts: int = 6
    balance: int = 1_000_000 * TAO
    start_call_delay: int = 10
    allow_loopback: bool = True
    tempo_rule: TempoRule = "head"
    genesis: Path | None = None
    load_state: Path | None = None
    dump_state: Path | None = None

    def check(self) -> None:
        """DevnetError for what can't work."""
        bounds: list[tuple[str, float, float, float]] = [
            ("port", self.port, 0, 65535),
            ("block time", self.block_time, 0.01, 86_400),
            ("tempo", self.tempo, 1, 65535),
            ("accounts", self.accounts, 1, 1000),
            ("balance", self.balance, 1, 10**16),
            ("start call delay", self.start_call_delay, 0, 10**9),
        ]
        if self.genesis is not None and self.load_state is not None:
            raise DevnetError("a chain begins with a genesis file or a loaded state", remedy="Give one of them.")
        if self.dump_state is not None:
            from subnet.devnet import dump

            dump.check_writable(self.dump_state)
        if self.tempo_rule not in get_args(TempoRule):
            raise DevnetError(f"no tempo rule {self.tempo_rule}", remedy="Give head or legacy.")
        for name, value, low, high in bounds:
            if not low <= value <= high:
                raise DevnetError(f"{name} {value} is out of bounds", remedy=f"Give a value from {low} to {high}.")


@dataclass(frozen=True)
class Devnet:
    """A running local chain."""

    url: str
    genesis_hash: str
    accounts: tuple[Account, ...]
    balance: int
    spec: Spec
    node: Node
    _loop: asyncio.AbstractEventLoop

    def new_blocks(self, count: int = 1) -> int:
        """Build blocks now; returns the head's number. This and what follows: from any thread but the node's own."""

        async def build() -> int:
            await self.node.new_blocks(count)
            return self.node.chain.head.number

        return asyncio.run_coroutine_threadsafe(build(), self._loop).result(timeout=600)

    def snapshot(self) -> int:
        """Remember the head; :meth:`revert` returns to it, as often as it is asked."""
        return self._do(self.node.chain.snapshot)

    def revert(self, snapshot: int) -> int:
        """Return to a snapshot: blocks, state, clock, and nothing waiting; returns the head's number.

        Snapshots that were taken after it are gone. DevnetError if there is no such snapshot.
        """
        return self._do(lambda: self.node.revert(snapshot).number)

    def dump(self, path: Path) -> None:
        """Write the head's state to a file that :func:`devnet` (``load_state``) and --load-state go on from."""
        from subnet.devnet import dump

        self._do(lambda: dump.write(self.node.chain, path))

    def increase_time(self, seconds: float) -> float:
        """Put the chain's clock forward; returns what it says then (seconds since 1970). Makes no block."""
        return self._do(lambda: self.node.set_time(self.node.now + seconds))

    def set_time(self, seconds: float) -> float:
        """Set the chain's clock (seconds since 1970, after the head's time). Makes no block."""
        return self._do(lambda: self.node.set_time(seconds))

    def set_production(self, production: Production, block_time: float | None = None) -> None:
        """Change when blocks are made, and the seconds between them ("interval")."""
        self._do(lambda: self.node.set_production(production, block_time))

    def _do(self, work: Callable[[], T]) -> T:
        """Do something on the node's thread, between two blocks."""

        async def do() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(timeout=60)

    def as_dict(self) -> dict[str, Any]:
        """What ``subnet chain --json`` prints: url, genesis and accounts."""
        accounts = [
            {"name": one.name, "uri": one.uri, "address": one.address, "balance_rao": self.balance}
            for one in self.accounts
        ]
        return {"url": self.url, "genesis": self.genesis_hash, "accounts": accounts}


async def serve(options: Options, ready: Callable[[Devnet], None], stop: asyncio.Event) -> None:
    """Run a node until ``stop``; ``ready`` hears of it once it answers. DevnetError if it can't start or go on."""
    options.check()
    accounts = more(options.accounts)
    spec = Spec(
        tempo=options.tempo,
        start_call_delay=options.start_call_delay,
        allow_loopback=options.allow_loopback,
        tempo_rule=options.tempo_rule,
    )
    store = Store(options.state)
    try:
        chain = _open(store, spec, accounts, options)
        if chain.spec != spec:
            logger.info("%s goes on under the rules it began with: %s", options.state, chain.spec)
        node = Node(chain, production=options.production, block_time=options.block_time)
        server = Server(node, options.host, options.port)
        await server.start()
        if not is_loopback(options.host):
            logger.warning(
                "%s is no loopback address: whoever reaches it may spend, set and stop all that is on this chain",
                options.host,
            )
        try:
            genesis = "0x" + chain.genesis_hash.hex()
            loop = asyncio.get_running_loop()
            ready(Devnet(server.url, genesis, accounts, options.balance, chain.spec, node, loop))
            await _until(stop, node)
        finally:
            await server.stop()
            if options.dump_state is not None:
                from subnet.devnet import dump

                dump.write(chain, options.dump_state)
    finally:
        store.close()


def _open(store: Store, spec: Spec, accounts: Sequence[Account], options: Options) -> Chain:
    try:
        if options.load_state is not None:
            from subnet.devnet import dump

            dump.restore(dump.read(options.load_state), store, options.load_state)
        if options.genesis is None:
            return Chain(store, spec, accounts, options.balance)
        from subnet.devnet import genesis  # with its parsers, which others need not wait for

        return genesis.open_chain(store, spec, accounts, options.balance, options.genesis)
    except (sqlite3.Error, ValueError) as error:  # ScaleError is one, too
        raise DevnetError(
            f"the chain's state {store.path} is damaged: {error}",
            remedy="Start from a fresh file (--state NEWFILE), or from a copy that was made while no node ran.",
        ) from error


async def _until(stop: asyncio.Event, node: Node) -> None:
    blocks = asyncio.ensure_future(node.run())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({blocks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    node.stop()
    await blocks


@contextlib.contextmanager
def devnet(
    *,
    block_time: float = 0.2,
    production: Production = "interval",
    port: int = 0,
    tempo: int = 360,
    state: str | Path | None = None,
    genesis: str | Path | None = None,
    load_state: str | Path | None = None,
    dump_state: str | Path | None = None,
    accounts: int = 6,
    start_call_delay: int = 0,
    **more_options: Any,
) -> Iterator[Devnet]:
    """A local chain inside this process, on a thread of its own; gone when the block is left.

    Parameters are those of :class:`Options`, with defaults for tests: any free port, blocks every
    0.2 s, no delay before start_call. Raises DevnetError if it can't start.
    """
    options = Options(
        port=port,
        block_time=block_time,
        production=production,
        tempo=tempo,
        state=_path(state),
        genesis=_path(genesis),
        load_state=_path(load_state),
        dump_state=_path(dump_state),
        accounts=accounts,
        start_call_delay=start_call_delay,
        **more_options,
    )
    runner = _Thread(options)
    node = runner.start()
    try:
        yield node
    finally:
        runner.stop()


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)


class _Thread:
    """One node on one thread with one event loop."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._ready = threading.Event()
        self._found: Devnet | None = None
        self._error: BaseException | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="subnet-devnet", daemon=True)

    def start(self) -> Devnet:
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT):
            raise DevnetError(f"the local chain did not start within {START_TIMEOUT:.0f} s")
        if self._error is not None:
            raise self._error
        assert self._found is not None  # noqa: S101 - set before ready without an error
        return self._found

    def stop(self) -> None:
        if self._found is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._found._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=10)
        if self._error is not None:
            logger.error("the local chain ended: %s", self._error)

    def _main(self) -> None:
        async def main() -> None:
            self._stop = asyncio.Event()
            await serve(self._options, self._hear, self._stop)

        try:
            asyncio.run(main())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    def _hear(self, found: Devnet) -> None:
        self._found = found
        self._ready.set()
