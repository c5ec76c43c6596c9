"""``subnet chain``: a local chain in one command."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from subnet.cli.common import LogJson, Verbose, print_json

if TYPE_CHECKING:
    from subnet.devnet.service import Devnet, Options

TAO = 10**9


def command(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.")] = 9944,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    block_time: Annotated[float, typer.Option(help="Seconds between blocks.")] = 1.0,
    instant: Annotated[bool, typer.Option("--instant", help="A block for every extrinsic, at once.")] = False,
    manual: Annotated[bool, typer.Option("--manual", help="Blocks only by the RPC method dev_newBlock.")] = False,
    state: Annotated[Path | None, typer.Option(help="File that the chain lives in; gone at the end without.")] = None,
    genesis: Annotated[Path | None, typer.Option(help="TOML file of subnets and neurons to begin with.")] = None,
    load_state: Annotated[Path | None, typer.Option(help="File of --dump-state to go on from.")] = None,
    dump_state: Annotated[Path | None, typer.Option(help="File to write the last state to at the end.")] = None,
    tempo: Annotated[int, typer.Option(help="Tempo of new subnets, in blocks.")] = 360,
    accounts: Annotated[int, typer.Option(help="Number of funded development accounts.")] = 6,
    balance: Annotated[int, typer.Option(help="TAO that each of them has.")] = 1_000_000,
    start_call_delay: Annotated[
        int, typer.Option(help="Blocks after a subnet's registration before start_call is accepted.")
    ] = 10,
    allow_loopback: Annotated[
        bool, typer.Option(help="Let neurons serve at 127.0.0.1, which the real chain refuses.")
    ] = True,
    tempo_rule: Annotated[
        Literal["head", "legacy"], typer.Option(help="When epochs run: as the runtime of June 2026, or as up to 343.")
    ] = "head",
    as_json: Annotated[bool, typer.Option("--json", help="Print url, genesis and accounts as JSON.")] = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Run a local chain with funded keys; clients of the real chain connect to it. Ctrl-C ends it."""
    from subnet.devnet.service import Options
    from subnet.errors import ConfigError

    if instant and manual:
        raise ConfigError("--instant and --manual exclude each other", remedy="Give one of them.")
    options = Options(
        host=host,
        port=port,
        block_time=block_time,
        production="instant" if instant else "manual" if manual else "interval",
        state=state,
        genesis=genesis,
        load_state=load_state,
        dump_state=dump_state,
        tempo=tempo,
        accounts=accounts,
        balance=balance * TAO,
        start_call_delay=start_call_delay,
        allow_loopback=allow_loopback,
        tempo_rule=tempo_rule,
    )
    asyncio.run(_run(options, as_json))


async def _run(options: Options, as_json: bool) -> None:
    from subnet.devnet.service import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)

    def ready(node: Devnet) -> None:
        if as_json:
            print_json(node.as_dict())
        else:
            _banner(node, options)

    await serve(options, ready, stop)


def _banner(node: Devnet, options: Options) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for heading in ("account", "address", "secret", "TAO"):
        table.add_column(
            heading, no_wrap=True, min_width=48 if heading == "address" else None
        )  # to be copied, so whole
    for account in node.accounts:
        table.add_row(account.name, account.address, account.uri, f"{node.balance // TAO:,}")
    console.print(f"\n[bold]subnet chain[/bold]  listening on [bold cyan]{node.url}[/bold cyan] (and http POST)")
    console.print(f"genesis {node.genesis_hash}   head #{node.node.chain.head.number}\n")
    console.print(table)
    console.print("\n[bold red]These keys are public: never use them on a real network.[/bold red]")
    console.print(f"Sudo is {_sudo(node)}. " + _production(options))
    if options.genesis:
        console.print(f"From {options.genesis}: {_declared(node)}.")
    console.print("\nDifferent from the real chain:")
    for line in differences(node.spec.allow_loopback):
        console.print(f"  · {line}")
    kept = options.state or options.dump_state
    console.print("\nCtrl-C ends it" + ("." if kept else "; without --state its blocks go with it.") + "\n")


def _sudo(node: Devnet) -> str:
    from subnet.devnet.accounts import ss58
    from subnet.devnet.pallets.utility import Sudo

    key = node.node.chain.state.get(Sudo.Key)
    names = {account.public_key: account.name for account in node.accounts}
    return "nobody" if key is None else names.get(key) or ss58(key)


def _declared(node: Devnet) -> str:
    from subnet.devnet.pallets.subtensor import SubtensorModule as S
    from subnet.devnet.pallets.subtensor_networks import subnets

    state = node.node.chain.state
    sizes = {netuid: state.get(S.SubnetworkN, netuid) for netuid in subnets(state)}
    return ", ".join(f"subnet {netuid} with {size} neurons" for netuid, size in sizes.items()) or "no subnets"


def _production(options: Options) -> str:
    return {
        "interval": f"A block every {options.block_time:g} s.",
        "instant": "A block for every extrinsic.",
        "manual": "Blocks by dev_newBlock only.",
    }[options.production]


def differences(loopback: bool) -> list[str]:
    """What a user must not take for the real chain's behaviour, one line each."""
    lines = [
        "alpha is priced 1:1 in TAO, there is no pool; every started subnet gets one alpha a block",
        "tempo may be under 360, set_tempo through sudo at any time; the admin freeze window is 0",
        "no root dividends, TAO flow, MinerBurned, time-locked commits or storage proofs",
        "blocks are final at once; weights of calls are flat",
    ]
    if loopback:
        lines.insert(0, "serve_axon accepts 127.0.0.1 and ::1 (--no-allow-loopback refuses them)")
    return lines
