"""``subnet history``: a validator's rounds, scores, weights and failures, read from its ledger while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.common import Json, LogJson, Verbose, print_json
from subnet.cli.ledgers import (
    LedgerFile,
    NetuidFilter,
    State,
    ValidatorFilter,
    console,
    miner,
    moment,
    open_history,
    shown_time,
)
from subnet.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from subnet.store import Commit, History, Result, Round, WeightsSet

SHORT = 48  # characters of an error or reason in a table


class What(StrEnum):
    """What is shown."""

    ROUNDS = "rounds"
    SCORES = "scores"
    WEIGHTS = "weights"
    COMMITS = "commits"
    FAILURES = "failures"


class KindName(StrEnum):
    """The kinds of rounds, as :class:`subnet.store.Kind`, which is not imported for --help."""

    SYNTHETIC = "synthetic"
    ORGANIC = "organic"
    TRUTH = "truth"


def command(
    what: Annotated[What, typer.Argument(help="What to show.")] = What.ROUNDS,
    uid: Annotated[
        str | None, typer.Option("--uid", "-u", metavar="UID", help="Only of this miner: a uid or a hotkey.")
    ] = None,
    last: Annotated[int, typer.Option("--last", min=1, max=100_000, help="How many, the newest.")] = 20,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From: 2h, 7d, or ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="To, likewise.")] = None,
    kind: Annotated[KindName | None, typer.Option("--kind", help="Only rounds of this kind.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only rounds that failed.")] = False,
    number: Annotated[int | None, typer.Option("--round", min=1, help="What each miner got in this round.")] = None,
    ledger: LedgerFile = None,
    state: State = None,
    netuid: NetuidFilter = None,
    validator: ValidatorFilter = None,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Show what a validator did: its rounds, its scores over time, the weights it set or committed, what failed.

    With --uid, rounds and scores are those of one miner. Works on the file alone, while the validator runs.
    """
    if (kind is not None or failed) and (what is not What.ROUNDS or uid is not None or number is not None):
        raise ConfigError(
            "--kind and --failed choose among rounds", remedy="Leave the rest out: subnet history rounds."
        )
    if number is not None and what is not What.ROUNDS:
        raise ConfigError("--round shows one round", remedy=f"Leave {what} out.")
    span = {"begin": moment(since, "--since"), "end": moment(until, "--until")}
    with open_history(ledger, state, netuid, validator) as history:
        if number is not None:
            rows, title = _one_round(history, number, miner(uid)), f"round {number}"
        elif what is What.WEIGHTS:
            rows, title = _weights(history, last, miner(uid), **span), "weights"
        elif what is What.COMMITS:
            rows, title = _commits(history, last, miner(uid), **span), "commits"
        elif what is What.FAILURES:
            rows, title = _failures(history, last, miner(uid), **span), "failed queries"
        elif uid is not None:
            rows, title = _miner(history, last, miner(uid), scored=what is What.SCORES, **span), f"miner {uid}"
        elif what is What.SCORES:
            rows, title = _scores(history, last, **span), "scores"
        else:
            rows, title = _rounds(history, last, kind, failed=failed, **span), "rounds"
    if as_json:
        print_json(rows)
    elif rows:
        _print(title, rows)
    else:
        typer.echo(f"no {title} here")


def _rounds(history: History, last: int, kind: KindName | None, *, failed: bool, **span: Any) -> list[dict[str, Any]]:
    from subnet.store import Kind

    chosen = None if kind is None else Kind(kind.value)
    return [_round(one) for one in history.latest_rounds(last, kind=chosen, failed=failed, **span)]


def _round(one: Round) -> dict[str, Any]:
    return {
        "round": one.id,
        "kind": one.kind,
        "ended": one.ended,
        "seconds": round(one.ended - one.started, 3),
        "block": one.block,
        "asked": one.asked,
        "answered": one.answered,
        "rule": one.rule,
        "question": one.subject,
        "error": one.error,
    }


def _one_round(history: History, number: int, who: int | str | None) -> list[dict[str, Any]]:
    if history.round(number) is None:
        raise StoreError(
            f"round {number} is not in {history.path}", remedy="`subnet history` lists the rounds that are."
        )
    rows = []
    for result in history.results(number):
        if who is None or who in (result.uid, result.hotkey):
            kept = len(history.receipts(number, result.hotkey))
            rows.append(_result(result) | {"receipts": kept})
    return rows


def _result(one: Result) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "hotkey": one.hotkey,
        "score": one.score,
        "moving": one.moving,
        "elapsed": one.elapsed,
        "reason": one.reason,
    }


def _of_round(one: Round, result: Result) -> dict[str, Any]:
    return {"round": one.id, "kind": one.kind, "ended": one.ended, "question": one.subject} | _result(result)


def _miner(history: History, last: int, who: int | str | None, *, scored: bool, **span: Any) -> list[dict[str, Any]]:
    from subnet.account import find_miner

    assert who is not None  # noqa: S101 - the caller has one
    found = history.results_of(find_miner(history, who), last, moved=scored, **span)
    return [_of_round(*one) for one in found]


def _failures(history: History, last: int, who: int | str | None, **span: Any) -> list[dict[str, Any]]:
    from subnet.account import find_miner

    if who is None:
        found = history.failures(last, **span)
    else:
        found = history.results_of(find_miner(history, who), last, failed=True, **span)
    return [_of_round(*one) for one in found]


def _scores(history: History, last: int, begin: float | None, end: float | None) -> list[dict[str, Any]]:
    """The scores of now, the best first; those that moved in the span."""
    scores = sorted(history.scores().values(), key=lambda score: (-score.value, score.uid))
    return [
        {
            "uid": score.uid,
            "hotkey": score.hotkey,
            "moving": score.value,
            "rounds": score.rounds,
            "mean": score.mean,
            "deviation": score.variance**0.5,
            "since_round": score.since,
            "registered": score.registered,
            "moved": score.time,
        }
        for score in scores
        if (begin is None or score.time >= begin) and (end is None or score.time <= end)
    ][:last]


def _weights(
    history: History, last: int, who: int | str | None, begin: float | None, end: float | None
) -> list[dict[str, Any]]:
    uid = _uid_of(history, who)
    rows = []
    for one in history.weights(limit=100_000 if begin is not None or end is not None else last, mechanism=None):
        if (begin is None or one.time >= begin) and (end is None or one.time <= end):
            row: dict[str, Any] = {"set": one.time, "mechanism": one.mechanism}
            row |= {"block": one.block, "extrinsic": one.extrinsic_hash or None}
            rows.append(row | _whose(one, uid))
    return rows[-last:]


def _commits(
    history: History, last: int, who: int | str | None, begin: float | None, end: float | None
) -> list[dict[str, Any]]:
    """What was committed and what became of it; not its salt, which is nobody's business before the reveal."""
    uid = _uid_of(history, who)
    rows = []
    for one in history.commits(None, ended=None, limit=100_000 if begin is not None or end is not None else last):
        if (begin is None or one.made >= begin) and (end is None or one.made <= end):
            form = "hash" if one.salt else "timelock"
            row: dict[str, Any] = {"made": one.made, "form": form, "mechanism": one.mechanism}
            row |= {"block": one.block, "due": one.due, "outcome": one.outcome or "open"}
            rows.append(row | _whose(one, uid))
    return rows[-last:]


def _uid_of(history: History, who: int | str | None) -> int | None:
    from subnet.account import find_miner

    return history.results_of(find_miner(history, who), 1)[-1][1].uid if isinstance(who, str) else who


def _whose(one: WeightsSet | Commit, uid: int | None) -> dict[str, Any]:
    """The weights, or the part of them that is one uid's."""
    from subnet.account import part_of

    if uid is None:
        return {"weights": {int(uid): weight for uid, weight in zip(one.uids, one.weights, strict=True) if weight}}
    weight, share = part_of(one, uid)
    return {"uid": uid, "weight": weight, "share": share}


def _print(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right" if _is_number(rows, name) else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(_cell(name, row[name])) for name in names))  # Text: a miner's words are no markup
    console().print(table)


def _is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(row[name] is None or isinstance(row[name], int | float) for row in rows) and name not in _TIMES


_TIMES = ("ended", "moved", "set", "made")


def _cell(name: str, value: Any) -> str:
    from subnet.cli.onchain import short
    from subnet.telemetry import HARMLESS

    if value is None:
        return ""
    if name in _TIMES:
        return shown_time(value)
    if name == "hotkey":
        return short(str(value))
    if name == "weights":
        best = sorted(value.items(), key=lambda pair: (-pair[1], pair[0]))
        text = ", ".join(f"{uid}: {weight}" for uid, weight in best[:6])
        return text + (f", and {len(best) - 6} more" if len(best) > 6 else "")
    if isinstance(value, float):
        return f"{value:.3f}" if name in ("seconds", "elapsed") else f"{value:.6g}"
    text = str(value).translate(HARMLESS)
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
