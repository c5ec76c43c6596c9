"""``subnet metagraph``: a subnet's neurons as a table or JSON, once or at every block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.common import ENDPOINT, Endpoint, GenesisHash, Json, LogJson, Netuid, Verbose, print_json
from subnet.cli.onchain import on_chain, short
from subnet.types import RAO_PER_TAO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from subnet.chain import Chain
    from subnet.types import Metagraph, Neuron

At = Annotated[int | None, typer.Option("--block", min=0, metavar="N", help="As it was at this block.")]
Watch = Annotated[bool, typer.Option("--watch", help="Go on, at every block, until Ctrl-C.")]

WIDE = 132  # columns of a terminal from which on every heading is whole and addresses have their place
NARROWEST = 80  # below it the terminal breaks lines: a number that is cut would be taken for another
PIPED = 160  # what is not read on a terminal is never cut

_HEADINGS = {  # wide: narrow
    "uid": "uid",
    "hotkey": "hotkey",
    "stake": "stake",
    "vtrust": "vtrust",
    "consensus": "cons",
    "incentive": "incent",
    "dividends": "divid",
    "emission": "emission",
    "permit": "permit",
    "axon": "",
    "updated": "updated",
}


def command(
    netuid: Netuid,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    block: At = None,
    watch: Watch = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Show a subnet's neurons: stake and emission in alpha, shares from 0 to 1, updated in blocks ago."""
    if watch and block is None:
        on_chain(endpoint, genesis_hash, lambda chain: _watch(chain, netuid, as_json=as_json))
        return
    metagraph = on_chain(endpoint, genesis_hash, lambda chain: chain.metagraph(netuid, block))
    if as_json:
        print_json(as_data(metagraph))
        return
    console = _console(NARROWEST)
    console.print(table(metagraph, console.width))


async def _watch(chain: Chain, netuid: int, *, as_json: bool) -> None:
    from rich.live import Live

    console = _console()
    metagraph = await chain.metagraph(netuid)
    if as_json:
        while True:
            print_json(as_data(metagraph))
            await chain.wait_for_block(metagraph.block + 1)
            metagraph = await chain.metagraph(netuid)
    with Live(table(metagraph, console.width), console=console, auto_refresh=False) as live:
        while True:
            live.update(table(metagraph, console.width), refresh=True)
            await chain.wait_for_block(metagraph.block + 1)
            metagraph = await chain.metagraph(netuid)


def as_data(metagraph: Metagraph) -> dict[str, Any]:
    """The metagraph as JSON: amounts in RAO, shares from 0 to 1, blocks as numbers."""
    return {
        "netuid": metagraph.netuid,
        "block": metagraph.block,
        "block_hash": metagraph.block_hash,
        "tempo": metagraph.tempo,
        "owner_hotkey": metagraph.owner_hotkey,
        "neurons": [neuron.as_dict() for neuron in metagraph],
    }


def _console(least: int = 0) -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return Console(highlight=False, width=max(console.width, least if console.is_terminal else PIPED))


def table(metagraph: Metagraph, width: int = WIDE) -> Table:
    """The metagraph for people, in ``width`` columns: below WIDE without addresses and with short headings."""
    from rich.table import Table

    title = f"Subnet {metagraph.netuid} at block {metagraph.block}: {len(metagraph)} neurons, tempo {metagraph.tempo}"
    wide = width >= WIDE
    shown = Table(title=title, title_justify="left", box=None, padding=(0, 2 if wide else 1, 0, 0), pad_edge=False)
    for name, narrow in _HEADINGS.items():
        if wide or narrow:
            left = name in ("hotkey", "axon")
            shown.add_column(name if wide else narrow, justify="left" if left else "right", no_wrap=True)
    for neuron in metagraph:
        cells = _row(neuron, metagraph, wide=wide)
        shown.add_row(*(cell for cell, narrow in zip(cells, _HEADINGS.values(), strict=True) if wide or narrow))
    return shown


def _row(neuron: Neuron, metagraph: Metagraph, *, wide: bool) -> list[str]:
    owner, digits = neuron.hotkey == metagraph.owner_hotkey, 4 if wide else 3
    shares = (neuron.validator_trust, neuron.consensus, neuron.incentive, neuron.dividends)
    return [
        str(neuron.uid),
        short(neuron.hotkey) + (" (owner)" if owner and wide else ""),
        f"{neuron.stake / RAO_PER_TAO:,.{digits}f}",
        *(f"{share:.{digits}f}" for share in shares),
        f"{neuron.emission / RAO_PER_TAO:,.{digits}f}",
        "owner" if owner and not wide else "yes" if neuron.validator_permit else "",
        f"{neuron.axon.ip}:{neuron.axon.port}" if neuron.axon else "",
        str(max(metagraph.block - neuron.last_update, 0)),
    ]
