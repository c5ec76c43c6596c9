"""``subnet register``: give a hotkey a uid on a subnet, for the subnet's current burn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    order = Order(endpoint, genesis_hash, yes, dry_run, as_json)
    payer, address = coldkey(key, wallet, password_file), hotkey_address(hotkey, key, wallet)

    async def registered(chain: Chain, burn: int | None) -> dict[str, Any]:
        return {"netuid": netuid, "hotkey": address, "uid": await chain.uid(netuid, address), "burn_rao": burn}

    order.spend(
        calls.burned_register(netuid, address),
        payer,
        f"register {address} on subnet {netuid}",
        price=lambda chain: chain.burn(netuid),
        then=registered,
        told=lambda result: (
            f"{short(address)} is uid {result['uid']} on subnet {netuid} since block {result['block']}; "
            f"it cost about {tao(result['burn_rao'])} TAO and a fee of {tao(result['fee_rao'])}."
        ),
    )
