"""``subnet hyperparameters``: show a subnet's rules, or set some as its owner or the chain's sudo."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from subnet.cli.onchain import DryRun, Yes, coldkey, confirm, may_spend, on_chain
from subnet.errors import ConfigError
from subnet.types import tao

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Chain

SETTERS = {  # name: (call of AdminUtils, its argument beside netuid)
    "activity_cutoff": ("sudo_set_activity_cutoff", "activity_cutoff"),
    "bonds_moving_average": ("sudo_set_bonds_moving_average", "bonds_moving_average"),
    "commit_reveal_enabled": ("sudo_set_commit_reveal_weights_enabled", "enabled"),
    "immunity_period": ("sudo_set_immunity_period", "immunity_period"),
    "kappa": ("sudo_set_kappa", "kappa"),
    "liquid_alpha": ("sudo_set_liquid_alpha_enabled", "enabled"),
    "max_registrations_per_block": ("sudo_set_max_registrations_per_block", "max_registrations_per_block"),
    "max_uids": ("sudo_set_max_allowed_uids", "max_allowed_uids"),
    "max_validators": ("sudo_set_max_allowed_validators", "max_allowed_validators"),
    "min_allowed_weights": ("sudo_set_min_allowed_weights", "min_allowed_weights"),
    "registration_allowed": ("sudo_set_network_registration_allowed", "registration_allowed"),
    "serving_rate_limit": ("sudo_set_serving_rate_limit", "serving_rate_limit"),
    "target_registrations_per_interval": (
        "sudo_set_target_registrations_per_interval",
        "target_registrations_per_interval",
    ),
    "tempo": ("sudo_set_tempo", "tempo"),
    "weights_rate_limit": ("sudo_set_weights_set_rate_limit", "weights_set_rate_limit"),
    "weights_version_key": ("sudo_set_weights_version_key", "weights_version_key"),
    "yuma3": ("sudo_set_yuma3_enabled", "enabled"),
}
SWITCHES = {"commit_reveal_enabled", "liquid_alpha", "registration_allowed", "yuma3"}

Set = Annotated[list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="Set one; may be repeated.")]


def command(
    netuid: Netuid,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    change: Set = None,
    key: Key = None,
    wallet: Wallet = None,
    password_file: PasswordFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Show a subnet's hyperparameters; with --set, change some first.

    The coldkey (--key, or the wallet's) is the subnet's owner, or the sudo key of a local chain.
    Times are in blocks, shares of 65535, amounts in RAO.
    """
    changes = parse(change or [])
    if dry_run and not changes:
        raise ConfigError("--dry-run shows what --set would cost", remedy="Add --set NAME=VALUE, or leave it out.")
    if changes and not dry_run:
        may_spend(endpoint, yes=yes)
    signer = coldkey(key, wallet, password_file) if changes else None

    async def work(chain: Chain) -> dict[str, Any]:
        if signer is not None and dry_run:
            return await _priced(chain, signer, netuid, changes)
        if signer is not None:
            await confirm(chain, f"Set {_listed(changes)} of subnet {netuid}?", endpoint, yes=yes)
            for name, value in changes.items():
                await _set(chain, signer, netuid, name, value)
        return dataclasses.asdict(await chain.hyperparameters(netuid))

    shown = on_chain(endpoint, genesis_hash, work)
    if dry_run and not as_json:
        typer.echo(f"Nothing was sent. To set {_listed(changes)} would cost fees of {tao(shown['fee_rao'])} TAO.")
        return
    if as_json:
        print_json(shown)
        return
    width = max(map(len, shown))
    for name, value in shown.items():
        typer.echo(f"{name:{width}}  {str(value).lower() if isinstance(value, bool) else value}")


def _listed(changes: Mapping[str, int | bool]) -> str:
    return ", ".join(f"{name}={value}" for name, value in changes.items())


async def _priced(chain: Chain, signer: Keypair, netuid: int, changes: Mapping[str, int | bool]) -> dict[str, Any]:
    """What --dry-run says: each call, and the fees of all together."""
    from subnet.chain.calls import Call, sudo

    as_root, fee, told = await _is_sudo(chain, signer), 0, []
    for name, value in changes.items():
        function, argument = SETTERS[name]
        call = Call("AdminUtils", function, {"netuid": netuid, argument: value})
        found = await chain.estimate(sudo(call) if as_root else call, signer)
        fee += found.fee
        told.append(found.call)
    return {"dry_run": True, "calls": told, "fee_rao": fee}


async def _set(chain: Chain, signer: Keypair, netuid: int, name: str, value: int | bool) -> None:
    call, argument = SETTERS[name]
    params = {"netuid": netuid, argument: value}
    if await _is_sudo(chain, signer):
        await chain.sudo(signer, "AdminUtils", call, params)
    else:
        await chain.submit("AdminUtils", call, params, signer)


async def _is_sudo(chain: Chain, signer: Keypair) -> bool:
    from subnet.keys import public_key_of

    sudo = await chain.query("Sudo", "Key")
    return bool(sudo) and public_key_of(sudo) == signer.public_key


def parse(pairs: Sequence[str]) -> dict[str, int | bool]:
    """``["tempo=10", "yuma3=off"]`` as values by name. Raises ConfigError for what can't be set so."""
    changes: dict[str, int | bool] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in SETTERS:
            raise ConfigError(f"--set {pair!r}: can't set {name!r}", remedy=f"Known are {', '.join(SETTERS)}.")
        if name in SWITCHES:
            known = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
            if text.lower() not in known:
                raise ConfigError(f"--set {pair!r}: {name} is a switch", remedy=f"Write {name}=on or {name}=off.")
            changes[name] = known[text.lower()]
        elif text.isascii() and text.isdecimal() and int(text) < 2**64:
            changes[name] = int(text)
        else:
            raise ConfigError(f"--set {pair!r}: {text!r} is no whole number", remedy=f"Write {name}=10.")
    return changes
