"""``subnet dashboard``: one page that shows a subnet as it runs."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from subnet.cli.common import ENDPOINT, Endpoint, GenesisHash, Json, LogJson, Netuid, Verbose, print_json
from subnet.cli.ledgers import LedgerFile, State, ValidatorFilter, open_history

if TYPE_CHECKING:
    from subnet.chain import Chain
    from subnet.store import History

PORT = 8888

Health = Annotated[
    list[str] | None,
    typer.Option(
        "--health",
        metavar="WHO=URL",
        help="Where a neuron's --metrics-port answers: 5=http://127.0.0.1:9100, a uid or hotkey; may be repeated.",
    ),
]
Host = Annotated[str, typer.Option("--host", metavar="IP", help="The address to listen on.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="A further name by which it may be asked; may be repeated."),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes any free one.")]


def command(
    netuid: Netuid,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    ledger: LedgerFile = None,
    state: State = None,
    validator: ValidatorFilter = None,
    health: Health = None,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    allow_host: AllowHost = None,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Show a subnet on one page: metagraph, weights, scores, emission, health, and each miner down to its receipts.

    Read only. Works while the chain is down and without a ledger; Ctrl-C ends it.
    """
    from subnet.dashboard import Board, ChainSource, Dashboard, HealthSource, LedgerSource
    from subnet.dashboard.probes import parse_targets

    targets = parse_targets(health or [])

    async def connect() -> Chain:
        from subnet.chain import Chain

        return await Chain.connect(endpoint, genesis_hash=genesis_hash)

    def opened() -> History:
        return open_history(ledger, state, netuid, validator)

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        board = Board()
        records = LedgerSource(board, opened)
        async with Dashboard(board, records, host=host, port=port, names=allow_host or ()) as dashboard:
            works = (ChainSource(board, netuid, connect).run(), records.run(), HealthSource(board, targets).run())
            tasks = [asyncio.create_task(work) for work in works]
            if as_json:
                print_json({"url": dashboard.url})
            else:
                typer.echo(f"subnet {netuid} at {dashboard.url}  (Ctrl-C ends it)")
            waiting = asyncio.create_task(stop.wait())
            try:
                await _until(waiting, tasks)
            finally:
                for task in (waiting, *tasks):
                    task.cancel()
                await asyncio.gather(waiting, *tasks, return_exceptions=True)
                records.close()

    asyncio.run(serve())


async def _until(stop: asyncio.Task[bool], tasks: list[asyncio.Task[None]]) -> None:
    """Wait for ``stop``; a task that failed, which is a bug, ends the program with its error."""
    left = {stop, *tasks}
    while not stop.done():
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
