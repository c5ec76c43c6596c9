"""``subnet register``: give a hotkey a uid on a subnet, for the subnet's current burn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from subnet.chain import calls
from subnet.cli.common import (
    ENDPOINT,
    Endpoint,
    GenesisHash,
    Json,
    Key,
    LogJson,
    Netuid,
    PasswordFile,
    Verbose,
    Wallet,
    print_json,
)
from subnet.cli.onchain import (
    DryRun,
    HotkeyChoice,
    Yes,
    coldkey,
    confirm,
    hotkey_address,
    may_spend,
    on_chain,
    short,
    show_fee,
)
from subnet.types import tao

if TYPE_CHECKING:
    from subnet.chain import Chain


def command(
    netuid: Netuid,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    key: Key = None,
    wallet: Wallet = None,
    password_file: PasswordFile = None,
    hotkey: HotkeyChoice = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Register a hotkey on a subnet; the coldkey (--key, or the wallet's) pays the burn."""
    if not dry_run:
        may_spend(endpoint, yes=yes)
    payer, address = coldkey(key, wallet, password_file), hotkey_address(hotkey, key, wallet)
    call = calls.burned_register(netuid, address)
    if dry_run:
        show_fee(endpoint, genesis_hash, call, payer, as_json=as_json, price=lambda chain: chain.burn(netuid))
        return

    async def work(chain: Chain) -> dict[str, Any]:
        burn = (await chain.hyperparameters(netuid)).burn
        question = f"Register {address} on subnet {netuid} for {tao(burn)} TAO?"
        await confirm(chain, question, endpoint, yes=yes, call=call, key=payer)
        included = await chain.burned_register(payer, netuid, address)
        uid = await chain.uid(netuid, address)
        return {
            "netuid": netuid,
            "hotkey": address,
            "uid": uid,
            "burn_rao": burn,
            "fee_rao": included.fee,
            "block": included.block,
            "extrinsic": included.extrinsic_hash,
        }

    result = on_chain(endpoint, genesis_hash, work)
    if as_json:
        print_json(result)
    else:
        typer.echo(
            f"{short(address)} is uid {result['uid']} on subnet {netuid} since block {result['block']}; "
            f"it cost about {tao(result['burn_rao'])} TAO and a fee of {tao(result['fee_rao'])}."
        )
