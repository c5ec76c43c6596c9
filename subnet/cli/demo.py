"""``subnet demo``: a whole subnet on this machine, from nothing to paid miners."""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from subnet.cli.common import Json, LogJson, Verbose, print_json
from subnet.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from subnet.demo.show import Outcome

FAILED = 1  # the demo came to its end, but somebody was not paid as they deserved


class Play(StrEnum):
    """What is played."""

    DIGITS = "digits"
    FORECAST = "forecast"


Which = Annotated[
    Play,
    typer.Argument(help="digits: reading handwriting, one miner dies. forecast: a real series, sealed forecasts."),
]
Rounds = Annotated[
    int | None, typer.Option("--rounds", max=500, help="Scoring rounds, of two seconds; digits 18, forecast 30.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Chooses questions, noise and the weak one's luck.")]
Miners = Annotated[
    int, typer.Option("--miners", min=6, max=16, help="Miners of digits; those beyond six are good ones.")
]
Keep = Annotated[
    bool,
    typer.Option("--keep", help="Put logs, chain state and plot below the current folder, not below /tmp."),
]
Seeds = Annotated[
    int,
    typer.Option("--check-seeds", min=0, max=100, help="Run it for so many seeds, and show that order holds."),
]


def command(
    play: Which = Play.DIGITS,
    rounds: Rounds = None,
    seed: Seed = 1,
    miners: Miners = 6,
    keep: Keep = False,
    check_seeds: Seeds = 0,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Start a local chain, a subnet on it, validators and miners, and show who earns what.

    Exit code 0 only if everybody was paid in the order of their work; 1 if not.
    """
    _need_examples(play)
    rounds = _enough(play, rounds)
    from rich.console import Console

    from subnet.demo.show import TERMINATED, Terminated

    console = Console(stderr=as_json, highlight=False)
    try:
        outcomes = [
            _one(console, play, rounds, one, miners, keep=keep, plain=as_json or check_seeds > 0)
            for one in range(seed, seed + max(check_seeds, 1))
        ]
    except Terminated:
        raise typer.Exit(TERMINATED) from None
    _report(console, outcomes, as_json=as_json, many=check_seeds > 0)
    if not all(outcome.holds for outcome in outcomes):
        raise typer.Exit(FAILED)


def _enough(play: Play, rounds: int | None) -> int:
    """The rounds asked for, or those that the play needs. Raises typer.BadParameter for fewer than it can do with."""
    if play == Play.FORECAST:
        from subnet.demo.forecast import FEWEST_STEPS as FEWEST
        from subnet.demo.forecast import STEPS as USUAL
    else:
        from subnet.demo.settings import FEWEST_ROUNDS as FEWEST
        from subnet.demo.settings import ROUNDS as USUAL
    if rounds is not None and rounds < FEWEST:
        raise typer.BadParameter(f"{rounds} is not in the range {FEWEST}<=x<=500.", param_hint="'--rounds'")
    return USUAL if rounds is None else rounds


def _one(console: Console, play: Play, rounds: int, seed: int, miners: int, *, keep: bool, plain: bool) -> Outcome:
    from subnet.demo.digits import DigitsDemo
    from subnet.demo.forecast import ForecastDemo
    from subnet.demo.show import new_folder, perform

    folder = new_folder(here=keep)
    demo = (
        ForecastDemo(folder, seed, rounds) if play == Play.FORECAST else DigitsDemo(folder, seed, rounds, miners=miners)
    )
    demo.say(f"seed {seed}: logs and chain state go to {folder}")
    return perform(demo, console, quiet=plain)


def _report(console: Console, outcomes: list[Outcome], *, as_json: bool, many: bool) -> None:
    from subnet.demo.display import account
    from subnet.demo.show import compare

    if as_json:
        print_json([outcome.as_data() for outcome in outcomes] if many else outcomes[0].as_data())
    elif many:
        console.print(compare(outcomes))
    else:
        (outcome,) = outcomes
        console.print(account(outcome.record, outcome.checks, outcome.places, outcome.seconds))


def _need_examples(play: Play) -> None:
    needed = ["sklearn", "matplotlib", *(["statsmodels"] if play == Play.FORECAST else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the demo's miners and its plot need {' and '.join(missing)}",
            remedy="Install the extra `examples`: in a clone, pip install -e '.[examples]'.",
        )
