"""``subnet transfer TO TAO``: send TAO from the coldkey to an address."""

from __future__ import annotations

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
from subnet.cli.onchain import DryRun, Yes, coldkey, confirm, may_spend, on_chain, short, show_fee
from subnet.cli.stake import parse_tao
from subnet.errors import ConfigError
from subnet.keys import canonical_ss58
from subnet.types import tao

if TYPE_CHECKING:
    from subnet.chain import Chain

To = Annotated[str, typer.Argument(metavar="TO", help="The address that gets it.")]
Amount = Annotated[str, typer.Argument(metavar="TAO", help="How much, in TAO.")]


def command(
    to: To,
    amount: Amount,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    key: Key = None,
    wallet: Wallet = None,
    password_file: PasswordFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Send TAO from the coldkey (--key, or the wallet's) to an address; the sender's account stays alive."""
    sum_ = parse_tao(amount)
    try:
        address = canonical_ss58(to)
    except ValueError:
        raise ConfigError(f"{to!r} is no address", remedy="Write the receiver's ss58 address, as 5Grw...") from None
    if not dry_run:
        may_spend(endpoint, yes=yes)
    payer = coldkey(key, wallet, password_file)
    call = calls.transfer(address, sum_)
    if dry_run:
        show_fee(endpoint, genesis_hash, call, payer, as_json=as_json)
        return

    async def work(chain: Chain) -> dict[str, Any]:
        await confirm(chain, f"Send {tao(sum_)} TAO to {address}?", endpoint, yes=yes, call=call, key=payer)
        included = await chain.send(call, payer)
        return {
            "to": address,
            "amount_rao": sum_,
            "fee_rao": included.fee,
            "balance_rao": await chain.balance(payer.ss58_address),
            "block": included.block,
            "extrinsic": included.extrinsic_hash,
        }

    result = on_chain(endpoint, genesis_hash, work)
    if as_json:
        print_json(result)
    else:
        typer.echo(
            f"{tao(sum_)} TAO sent to {short(address)} in block {result['block']}; "
            f"the fee was {tao(result['fee_rao'])}, {tao(result['balance_rao'])} TAO are left."
        )
