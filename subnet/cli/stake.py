"""``subnet stake AMOUNT``: put TAO on a hotkey on a subnet, or take it back."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
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
    Netuid,
    PasswordFile,
    Verbose,
    Wallet,
)
from subnet.cli.onchain import DryRun, HotkeyChoice, Order, Yes, coldkey, hotkey_address, short
from subnet.errors import ConfigError
from subnet.types import Rao, rao, tao

if TYPE_CHECKING:
    from subnet.chain import Chain

Amount = Annotated[str, typer.Argument(metavar="TAO", help="How much, in TAO; with --remove, in the subnet's alpha.")]
Remove = Annotated[bool, typer.Option("--remove", help="Take it back from the hotkey.")]


def command(
    amount: Amount,
    netuid: Netuid,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    key: Key = None,
    wallet: Wallet = None,
    password_file: PasswordFile = None,
    hotkey: HotkeyChoice = None,
    remove: Remove = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Stake TAO on a hotkey, or with --remove take alpha back; the coldkey (--key, or the wallet's) pays."""
    sum_ = parse_tao(amount)
    order = Order(endpoint, genesis_hash, yes, dry_run, as_json)
    payer, address = coldkey(key, wallet, password_file), hotkey_address(hotkey, key, wallet)
    doing = f"take {tao(sum_)} alpha back from" if remove else f"stake {tao(sum_)} TAO on"

    async def staked(chain: Chain, _: int | None) -> dict[str, Any]:
        stake = await chain.stake(address, netuid)
        return {"netuid": netuid, "hotkey": address, "amount_rao": sum_, "stake_rao": stake}

    order.spend(
        (calls.remove_stake if remove else calls.add_stake)(address, netuid, sum_),
        payer,
        f"{doing} {address} on subnet {netuid}",
        then=staked,
        told=lambda result: (
            f"{tao(sum_)} {'alpha taken back from' if remove else 'TAO staked on'} {short(address)} "
            f"in block {result['block']}; it holds {tao(result['stake_rao'])} on subnet {netuid}."
        ),
    )


def parse_tao(text: str) -> Rao:
    """An amount of TAO as RAO. Raises ConfigError for what is none, is not positive, or is too fine."""
    try:
        amount = rao(Decimal(text))
    except (InvalidOperation, ValueError, OverflowError):
        raise ConfigError(
            f"{text!r} is no amount of TAO", remedy="Write a number with at most nine decimals, as 12.5."
        ) from None
    if not 0 < amount < 2**64:
        raise ConfigError(f"{text} TAO can't be moved", remedy="Give a positive amount, of less than 18 billion.")
    return amount
