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
    from subnet.chain import Chain
    from subnet.store import WeightsSet
    from subnet.types import Metagraph

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

    async def row(chain: Chain, metagraph: Metagraph, mechanism: int) -> dict[str, Any]:
        rows = await chain.weights(account.netuid, metagraph.block, mecid=mechanism)
        me = metagraph.uid_of(account.validator)
        held = dict(rows.get(me, []) if me is not None else [])
        weight = held.get(account.uid, 0)
        return {"weight": weight, "share": weight / (sum(held.values()) or 1)}

    async def ask() -> dict[str, Any]:
        async with asyncio.timeout(CHAIN_S):
            async with await Chain.connect(endpoint, genesis_hash=account.genesis_hash) as chain:
                metagraph = await chain.metagraph(account.netuid)
                held = {
                    m: await row(chain, metagraph, m) for m in (0, *(one.mechanism for one in account.more_weights))
                }
                me = metagraph.uid_of(account.validator)
        owner = metagraph.hotkeys[account.uid] if account.uid < len(metagraph) else None
        return {
            "asked": True,
            "block": metagraph.block,
            **held.pop(0),
            "mechanisms": held,
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

    data = asdict(account) | {"score": account.score and msgspec.structs.asdict(account.score)}
    for one, kept in zip(data["contributions"], account.contributions, strict=True):
        one["part"] = kept.part
    data["failures"] = [
        {"round": done.id, "ended": done.ended, "reason": result.reason, "elapsed": result.elapsed}
        for done, result in account.failures
    ]
    data["weights"] = None if account.weights is None else _sent(account, account.weights)
    data["more_weights"] = [_sent(account, one) | {"mechanism": one.mechanism} for one in account.more_weights]
    return data


def _sent(account: Account, sent: WeightsSet) -> dict[str, Any]:
    from subnet.account import part_of

    weight, share = part_of(sent, account.uid)
    return {"block": sent.block, "set": sent.time, "weight": weight, "share": share}


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
    out.print("\nWeights")
    if account.weights is None and not account.more_weights:
        out.print("  none were set yet")
    for sent in (account.weights, *account.more_weights):
        if sent is not None:
            told, where = _sent(account, sent), f"in mechanism {sent.mechanism}, " if account.more_weights else ""
            when = f"block {sent.block} ({shown_time(sent.time)})"
            out.print(f"  set {where}in {when}: {told['weight']} of {U16_MAX}, {told['share']:.2%} of all")
    if not chain["asked"]:
        out.print(f"  the chain: {chain['problem']}", markup=False, soft_wrap=True)
        return
    for mechanism, told in {0: chain, **chain["mechanisms"]}.items():
        where = f" in mechanism {mechanism}" if chain["mechanisms"] else ""
        held = f"{told['weight']} of {U16_MAX}, {told['share']:.2%} of all"
        out.print(f"  the chain at block {chain['block']} holds{where}: {held}")
    if chain["validator_uid"] is None:
        out.print("  the validator has no uid there now")
    if chain["uid_belongs_to"] != account.hotkey:
        out.print(f"  uid {account.uid} belongs to {chain['uid_belongs_to'] or 'nobody'} now", soft_wrap=True)
