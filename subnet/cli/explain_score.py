"""``subnet explain-score UID``: why a miner has its weight, down to the rounds and receipts that made its score."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.common import ENDPOINT, Endpoint, Json, LogJson, Verbose, print_json
from subnet.cli.ledgers import (
    LedgerFile,
    NetuidFilter,
    State,
    ValidatorFilter,
    console,
    miner,
    open_history,
    shown_time,
)
from subnet.types import U16_MAX

if TYPE_CHECKING:
    from rich.table import Table

    from subnet.account import Account

CHAIN_S = 10.0
"""Seconds that the chain has to say what it holds."""
SHOWN_RECEIPTS = 12


def command(
    uid: Annotated[str, typer.Argument(metavar="UID", help="The miner: its uid, or its hotkey.")],
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=100_000, help="How many rounds to tell.")] = 10,
    offline: Annotated[bool, typer.Option("--offline", help="Don't ask the chain what it holds.")] = False,
    ledger: LedgerFile = None,
    state: State = None,
    netuid: NetuidFilter = None,
    validator: ValidatorFilter = None,
    endpoint: Endpoint = ENDPOINT,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Show why a miner has its weight: the rounds that made its score, the receipts of its replies, what was set.

    Works on the ledger's file alone, while the validator runs; the chain is asked what it holds if it can be reached.
    """
    from subnet.account import explain

    who = miner(uid)
    assert who is not None  # noqa: S101 - an argument is text
    with open_history(ledger, state, netuid, validator) as history:
        account = explain(history, who, rounds=rounds)
    chain = {"asked": False, "problem": "not asked (--offline)"} if offline else _on_chain(account, endpoint)
    if as_json:
        print_json(_as_data(account) | {"chain": chain})
    else:
        _print(account, chain)


def _on_chain(account: Account, endpoint: str) -> dict[str, Any]:
    """This validator's weight for the uid as the chain holds it now, and whose uid it is; or why that is not known."""
    import asyncio

    from subnet.chain import Chain
    from subnet.errors import SubnetError

    async def ask() -> dict[str, Any]:
        async with asyncio.timeout(CHAIN_S):
            async with await Chain.connect(endpoint, genesis_hash=account.genesis_hash) as chain:
                metagraph = await chain.metagraph(account.netuid)
                me = metagraph.uid_of(account.validator)
                row = dict((await chain.weights(account.netuid, metagraph.block)).get(me, []) if me is not None else [])
        owner = metagraph.hotkeys[account.uid] if account.uid < len(metagraph) else None
        weight = row.get(account.uid, 0)
        return {
            "asked": True,
            "block": metagraph.block,
            "weight": weight,
            "share": weight / (sum(row.values()) or 1),
            "validator_uid": me,
            "uid_belongs_to": owner,
        }

    try:
        return asyncio.run(ask())
    except TimeoutError:
        return {"asked": False, "problem": f"{endpoint} did not answer within {CHAIN_S:g} s"}
    except SubnetError as error:
        return {"asked": False, "problem": error.message}


def _as_data(account: Account) -> dict[str, Any]:
    import msgspec

    weight, share = account.weight
    data = asdict(account) | {"score": account.score and msgspec.structs.asdict(account.score)}
    for one, kept in zip(data["contributions"], account.contributions, strict=True):
        one["part"] = kept.part
    data["failures"] = [
        {"round": done.id, "ended": done.ended, "reason": result.reason, "elapsed": result.elapsed}
        for done, result in account.failures
    ]
    sent = account.weights
    data["weights"] = (
        None if sent is None else {"block": sent.block, "set": sent.time, "weight": weight, "share": share}
    )
    return data


def _print(account: Account, chain: dict[str, Any]) -> None:
    out = console()
    out.print(f"uid {account.uid}, {account.hotkey}", soft_wrap=True)
    out.print(f"as validator {account.validator} of netuid {account.netuid} sees it", soft_wrap=True)
    out.print()
    score = account.score
    if score is None:
        out.print("It has no score: it was never judged, or left the subnet, or came back and starts anew.")
    else:
        out.print(
            f"Score {score.value:.6g}: {account.share:.2%} of all scores above zero. It moved in {score.rounds} rounds,"
            f" from round {score.since} on; their own scores are {score.mean:.4g} ± {score.variance**0.5:.2g}."
        )
    if account.contributions:
        out.print()
        out.print(_rounds(account))
        out.print(
            {
                True: "Gone over again: each moving score follows from the one before.",
                False: "Gone over again: a moving score does NOT follow from the one before by the rule it names.",
                None: "The rule is the class's own: what each round is worth today can't be told from here.",
            }[account.holds]
        )
    _print_failures(account, out)
    _print_receipts(account, out)
    _print_weights(account, chain, out)


def _rounds(account: Account) -> Table:
    from rich.table import Table

    title = f"What made it, the newest first (by {account.contributions[-1].rule})"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("round", "kind", "ended", "score", "weight", "part", "moving"):
        table.add_column(name, justify="left" if name in ("kind", "ended") else "right", no_wrap=True)
    for one in reversed(account.contributions):
        weight = "" if one.weight is None else f"{one.weight:.2%}"
        part = "" if one.part is None else f"{one.part:.5f}"
        table.add_row(
            str(one.round), one.kind, shown_time(one.time), f"{one.score:.5g}", weight, part, f"{one.moving:.6g}"
        )
    left = 1 - sum(one.weight or 0.0 for one in account.contributions)
    if account.earlier is not None and left > 1e-9:
        all_told = account.score is not None and len(account.contributions) == account.score.rounds
        table.add_row("the start" if all_told else "earlier", "", "", "", f"{left:.2%}", f"{account.earlier:.5f}", "")
    return table


def _print_failures(account: Account, out: Any) -> None:
    from subnet.telemetry import HARMLESS

    if not account.failures:
        return
    out.print(f"\nLast failures ({len(account.failures)}):")
    for done, result in account.failures:
        reason = (result.reason or "").translate(HARMLESS)
        out.print(f"  round {done.id}  {shown_time(done.ended)}  {reason}", markup=False, soft_wrap=True)


def _print_receipts(account: Account, out: Any) -> None:
    good = sum(one.problem is None for one in account.receipts)
    out.print(f"\nReceipts kept of these rounds: {len(account.receipts)}; verified here: {good}.")
    for one in account.receipts[-SHOWN_RECEIPTS:]:
        verdict = f"reply {one.response[:16]}…  signed {shown_time(one.time)}" if one.problem is None else one.problem
        out.print(f"  round {one.round}  sha256 {one.digest[:16]}…  {verdict}", markup=False, soft_wrap=True)
    if len(account.receipts) > SHOWN_RECEIPTS:
        out.print(f"  and {len(account.receipts) - SHOWN_RECEIPTS} older; --json has all of them.")


def _print_weights(account: Account, chain: dict[str, Any], out: Any) -> None:
    weight, share = account.weight
    out.print("\nWeights")
    if account.weights is None:
        out.print("  none were set yet")
    else:
        when = shown_time(account.weights.time)
        out.print(f"  set in block {account.weights.block} ({when}): {weight} of {U16_MAX}, {share:.2%} of all")
    if not chain["asked"]:
        out.print(f"  the chain: {chain['problem']}", markup=False, soft_wrap=True)
        return
    held = f"{chain['weight']} of {U16_MAX}, {chain['share']:.2%} of all"
    out.print(f"  the chain at block {chain['block']} holds: {held}")
    if chain["validator_uid"] is None:
        out.print("  the validator has no uid there now")
    if chain["uid_belongs_to"] != account.hotkey:
        out.print(f"  uid {account.uid} belongs to {chain['uid_belongs_to'] or 'nobody'} now", soft_wrap=True)
