"""``subnet create``: register a subnet, wait for the chain's start delay, and start its emission."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.chain import calls
from subnet.cli.common import (
    ENDPOINT,
    Endpoint,
    GenesisHash,
    Json,
    Key,
    LogJson,
    PasswordFile,
    Verbose,
    Wallet,
    print_json,
)
from subnet.cli.onchain import (
    DryRun,
    HotkeyChoice,
    Order,
    Yes,
    coldkey,
    confirm,
    hotkey_address,
    on_chain,
    short,
)
from subnet.errors import ChainError, ConfigError
from subnet.types import tao

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Chain

Start = Annotated[
    int | None,
    typer.Option("--start", min=1, max=65535, metavar="NETUID", help="Only start this subnet, created before."),
]
NoStart = Annotated[bool, typer.Option("--no-start", help="Only create it; start it later with --start.")]


def command(
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    key: Key = None,
    wallet: Wallet = None,
    password_file: PasswordFile = None,
    hotkey: HotkeyChoice = None,
    start: Start = None,
    no_start: NoStart = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Create a subnet whose owner is the coldkey (--key, or the wallet's), its hotkey as uid 0.

    The chain lets emission start only after a delay (seven days on the real network). Ctrl-C
    meanwhile loses nothing: `subnet create --start NETUID` goes on from there.
    """
    if no_start and start is not None:
        raise ConfigError("--start and --no-start exclude each other", remedy="Give one of them.")
    order = Order(endpoint, genesis_hash, yes, dry_run, as_json)
    owner = coldkey(key, wallet, password_file)
    address = None if start is not None else hotkey_address(hotkey, key, wallet)
    if dry_run and address is None:
        order.show_fee(calls.start_call(start or 0), owner, f"start subnet {start}")
        return
    if dry_run and address is not None:
        call = calls.register_network(address)
        order.show_fee(call, owner, f"create a subnet with {address}", price=lambda chain: chain.network_cost())
        return

    async def work(chain: Chain) -> dict[str, Any]:
        result: dict[str, Any] = {"netuid": start}
        if address is not None:
            question = f"Create a subnet for {tao(await chain.network_cost())} TAO, its hotkey {address}?"
            call = calls.register_network(address)
            await confirm(chain, question, endpoint, yes=yes, call=call, key=owner)
            created = await chain.register_network(owner, address)
            result = {"netuid": created.netuid, "hotkey": address, "block": created.block, "fee_rao": created.fee}
            typer.echo(f"Subnet {created.netuid} created in block {created.block}.", err=True)
        else:
            call = calls.start_call(start or 0)
            await confirm(chain, f"Start subnet {start}?", endpoint, yes=yes, call=call, key=owner)
        if no_start:
            return result
        try:
            return result | {"started": await _start(chain, owner, result["netuid"])}
        except ChainError as error:
            if start is None:
                error.remedy += f" The subnet is there: `subnet create --start {result['netuid']}` goes on."
            raise

    result = on_chain(endpoint, genesis_hash, work)
    if as_json:
        print_json(result)
        return
    whose = f", owned by {short(owner.ss58_address)}"
    state = f"started in block {result['started']}" if "started" in result else "not started"
    typer.echo(f"Subnet {result['netuid']}{whose}: {state}.")


async def _start(chain: Chain, owner: Keypair, netuid: int) -> int:
    """Wait until the chain takes start_call, showing how far it is; the block it went into."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    first, now = await chain.start_call_block(netuid), await chain.block_number()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} blocks"))
    since = now
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"Subnet {netuid} may start at block {first}", total=max(first - since, 0))
        moved = time.monotonic()
        while now < first:
            seen = await chain.block_number()
            if seen > now:
                now, moved = seen, time.monotonic()
                progress.update(bar, completed=min(now, first) - since)
            elif time.monotonic() - moved > 120:
                progress.update(bar, description=f"The chain stands still at block {now}")
            await asyncio.sleep(min(1.0, 0.05 * (first - now) + 0.05))
    return (await chain.start_call(owner, netuid)).block
