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
)
from subnet.cli.onchain import DryRun, Order, Yes, coldkey, short
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
    order = Order(endpoint, genesis_hash, yes, dry_run, as_json)
    payer = coldkey(key, wallet, password_file)

    async def left(chain: Chain, _: int | None) -> dict[str, Any]:
        return {"to": address, "amount_rao": sum_, "balance_rao": await chain.balance(payer.ss58_address)}

    order.spend(
        calls.transfer(address, sum_),
        payer,
        f"send {tao(sum_)} TAO to {address}",
        then=left,
        told=lambda result: (
            f"{tao(sum_)} TAO sent to {short(address)} in block {result['block']}; "
            f"the fee was {tao(result['fee_rao'])}, {tao(result['balance_rao'])} TAO are left."
        ),
    )
