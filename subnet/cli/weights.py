"""``subnet weights``: what the chain holds of one validator or of all, and weights set by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.chain.weights import set_weights
from subnet.cli.common import (
    ENDPOINT,
    Endpoint,
    GenesisHash,
    HotkeyName,
    Json,
    Key,
    LogJson,
    Netuid,
    PasswordFile,
    Verbose,
    Wallet,
    print_json,
)
from subnet.cli.ledgers import console, miner
from subnet.cli.onchain import DryRun, Yes, confirm, may_spend, on_chain, short, signing_key
from subnet.errors import ChainError, ConfigError, NotRegistered

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain import Chain, Hyperparameters
    from subnet.types import Metagraph, Uid

Of = Annotated[str | None, typer.Option("--validator", metavar="UID", help="Only this validator's: a uid or a hotkey.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="UID=SHARE", help="Set weights: all that are not named become 0; repeat it."),
]
Mechanism = Annotated[int, typer.Option("--mechanism", min=0, max=15, help="The subnet's mechanism.")]


def command(
    netuid: Netuid,
    endpoint: Endpoint = ENDPOINT,
    genesis_hash: GenesisHash = None,
    validator: Of = None,
    change: Set = None,
    mechanism: Mechanism = 0,
    key: Key = None,
    wallet: Wallet = None,
    hotkey: HotkeyName = None,
    password_file: PasswordFile = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Show the weights that the chain holds; with --set, set a validator's by hand, and read them back.

    Shares are any positive numbers: they are brought to the chain's u16, the largest to 65535. A subnet with
    commit-reveal gets a time-locked commit (extra drand), which the chain opens by itself.
    """
    if not change:
        if dry_run:
            raise ConfigError("--dry-run shows what --set would do", remedy="Add --set UID=SHARE, or leave it out.")
        _show(endpoint, genesis_hash, netuid, mechanism, validator, as_json=as_json)
        return
    shares = parse(change)
    if not dry_run:
        may_spend(endpoint, yes=yes)
    signer = signing_key(key, wallet, hotkey, password_file)

    async def work(chain: Chain) -> dict[str, Any]:
        metagraph, rules = await chain.metagraph(netuid, mecid=mechanism), await chain.hyperparameters(netuid)
        uids, weights = _checked(metagraph, rules, signer, shares)
        told = {"netuid": netuid, "hotkey": signer.ss58_address, "weights": dict(zip(uids, weights, strict=True))}
        call = set_weights(netuid, uids, weights, version_key=rules.weights_version_key, mechanism=mechanism)
        if rules.commit_reveal_enabled:
            made = await chain.timelock(
                signer.ss58_address, netuid, uids, weights, rules.weights_version_key, mechanism=mechanism
            )
            call = made.call
        if dry_run:
            found = await chain.estimate(call, signer)
            return {"dry_run": True, "call": found.call, "fee_rao": found.fee} | told
        await confirm(chain, f"Set the weights of {len(uids)} uids on subnet {netuid}?", endpoint, yes=yes)
        included = await chain.send(call, signer)
        if not rules.commit_reveal_enabled:
            await _read_back(chain, metagraph, signer, told["weights"], mechanism)
        sent = {"block": included.block, "extrinsic": included.extrinsic_hash}
        return told | sent | {"committed": rules.commit_reveal_enabled}

    result = on_chain(endpoint, genesis_hash, work)
    if as_json:
        print_json(result)
    elif dry_run:
        typer.echo(f"Nothing was sent. {result['call']} would set {result['weights']}.")
    elif result["committed"]:
        typer.echo(f"Committed in block {result['block']}; the chain opens them by itself.")
    else:
        typer.echo(f"Set in block {result['block']}, and read back: {result['weights']}.")


def parse(pairs: Sequence[str]) -> dict[int, float]:
    """``["3=0.5", "4=1"]`` as shares by uid. Raises ConfigError for what is none, or twice there."""
    shares: dict[int, float] = {}
    for pair in pairs:
        uid, _, text = pair.partition("=")
        if not (uid.isascii() and uid.isdecimal() and int(uid) < 65_536) or int(uid) in shares:
            raise ConfigError(f"--set {pair!r}: {uid!r} is no uid, or is there twice", remedy="Write UID=SHARE: 3=0.5.")
        try:
            shares[int(uid)] = float(text)
        except ValueError:
            shares[int(uid)] = math.nan
        if not (math.isfinite(shares[int(uid)]) and shares[int(uid)] >= 0):
            raise ConfigError(f"--set {pair!r}: {text!r} is no share", remedy=f"Write {uid}=0.5.")
    return shares


def _checked(
    metagraph: Metagraph, rules: Hyperparameters, signer: Keypair, shares: Mapping[int, float]
) -> tuple[list[Uid], list[int]]:
    """The chain's own form of the shares. Raises ConfigError and NotRegistered for what it would refuse."""
    from subnet.service import register_remedy
    from subnet.validators.weights import as_weights

    me = metagraph.neuron(signer.ss58_address)
    if me is None:
        told = f"{signer.ss58_address} has no uid on subnet {metagraph.netuid}"
        raise NotRegistered(told, remedy=register_remedy(metagraph.netuid, signer.ss58_address))
    beyond = [uid for uid in shares if uid >= len(metagraph)]
    if beyond:
        raise ConfigError(f"there is no uid {beyond[0]}", remedy=f"The subnet has {len(metagraph)}, from 0 on.")
    owner = me.hotkey == metagraph.owner_hotkey
    if shares.get(me.uid) and not owner:
        raise ConfigError(
            f"uid {me.uid} is this validator itself", remedy="The chain drops self-weights: leave it out."
        )
    try:
        uids, weights = as_weights(
            {neuron.uid: shares.get(neuron.uid, 0.0) for neuron in metagraph},
            own_uid=None if owner else me.uid,
            min_allowed_weights=rules.min_allowed_weights,
            max_weights_limit=rules.max_weights_limit,
        )
    except ValueError as error:
        raise ConfigError(f"the subnet takes no such weights: {error}", remedy="Name more uids.") from None
    if not uids:
        raise ConfigError("no share is above zero", remedy="Write UID=SHARE for whom you weigh.")
    return uids, weights


async def _read_back(
    chain: Chain, metagraph: Metagraph, signer: Keypair, sent: Mapping[Any, int], mechanism: int
) -> None:
    from subnet.types import Hotkey
    from subnet.validators.commits import held_weights

    held = await held_weights(chain, metagraph.netuid, Hotkey(signer.ss58_address), mechanism)
    if held != {int(uid): weight for uid, weight in sent.items() if weight}:
        raise ChainError("the chain holds other weights than were sent", remedy="Look: subnet weights; set them again.")


def _show(
    endpoint: str, genesis_hash: str | None, netuid: int, mechanism: int, validator: str | None, *, as_json: bool
) -> None:
    async def read(chain: Chain) -> tuple[Metagraph, Mapping[Any, Sequence[tuple[Any, int]]]]:
        metagraph = await chain.metagraph(netuid, mecid=mechanism)
        return metagraph, await chain.weights(netuid, metagraph.block, mecid=mechanism)

    metagraph, held = on_chain(endpoint, genesis_hash, read)
    rows = [_row(metagraph, uid, pairs) for uid, pairs in sorted(held.items()) if uid < len(metagraph)]
    if validator is not None:
        which = miner(validator)
        uid = which if isinstance(which, int) else metagraph.uid_of(validator)
        if uid is None or uid >= len(metagraph):
            raise ConfigError(f"subnet {netuid} has no {validator}", remedy=f"See subnet metagraph --netuid {netuid}.")
        rows = [row for row in rows if row["uid"] == uid]
    if as_json:
        print_json({"netuid": netuid, "block": metagraph.block, "mechanism": mechanism, "validators": rows})
        return
    if not rows:
        typer.echo("No weights are set.")
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, title_justify="left")
    for name in ("uid", "validator", "set, blocks ago", "weights: uid=share"):
        table.add_column(name, justify="right" if name == "uid" else "left", overflow="fold")
    for row in rows:
        named = " ".join(f"{uid}={share:.4f}" for uid, share in row["shares"].items())
        table.add_row(str(row["uid"]), short(row["hotkey"]), str(row["age"]), named)
    console().print(table)


def _row(metagraph: Metagraph, uid: Any, pairs: Sequence[tuple[Any, int]]) -> dict[str, Any]:
    neuron, total = metagraph.neurons[uid], sum(weight for _, weight in pairs) or 1
    return {
        "uid": int(uid),
        "hotkey": neuron.hotkey,
        "last_update": int(neuron.last_update),
        "age": max(int(metagraph.block - neuron.last_update), 0),
        "weights": {int(other): int(weight) for other, weight in pairs},
        "shares": {int(other): weight / total for other, weight in pairs},
    }
