"""``subnet simulate``: which attacks pay under a scoring rule, and a gate for CI that fails when one does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.common import Json, LogJson, Verbose, print_json
from subnet.errors import ConfigError

if TYPE_CHECKING:
    from subnet.lab import Gate, Report
    from subnet.lab.scenario import Playable

Rule = Annotated[
    str | None, typer.Argument(metavar="[MODULE:RULE]", help="The scoring rule; left out: the mean worth of answers.")
]
ScenarioFile = Annotated[
    Path | None, typer.Option("--scenario", metavar="FILE.toml", help="A scenario; flags go before what it says.")
]
ValidatorOption = Annotated[
    str | None,
    typer.Option(
        "--validator",
        metavar="MODULE:CLASS",
        help="In place of a rule: a Validator of your own, whose rounds are played; options after it, =NAME=VALUE,...",
    ),
]
MinerOption = Annotated[
    list[str] | None,
    typer.Option("--miner", metavar="MODULE:CLASS", help="The Miner that answers it; may be repeated."),
]
Attack = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        "-a",
        metavar="NAME[=PARAM=VALUE,...]",
        help="An attack, such as cabal=stake=0.3,miners=8, or your own, module:Class; may be repeated [default: all].",
    ),
]
Validators = Annotated[
    int | None, typer.Option("--validators", help="Validators, the attacks' too [default: 16; with --validator 3].")
]
Miners = Annotated[
    int | None, typer.Option("--miners", help="Miners, the attacks' too [default: 64; with --validator 8].")
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", help="Epochs (tempos) to play [default: 200; with --validator 20].")
]
CommitReveal = Annotated[
    int | None, typer.Option("--commit-reveal", metavar="TEMPOS", help="The reveal period; 0: off [default: 0].")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "-s",
        metavar="NAME=VALUE",
        help="Any other number of the scenario (alpha, registrations) or of the chain (kappa, yuma3); may be repeated.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The first seed; the others follow it.")]
Seeds = Annotated[
    int | None,
    typer.Option(
        "--seeds", min=1, max=10_000, help="Seeds each attack is played under [default: 5; with --validator 2]."
    ),
]
Together = Annotated[bool, typer.Option("--together", help="All attacks in one subnet, not each alone.")]
Search = Annotated[
    bool | None,
    typer.Option("--search/--no-search", help="Look for the smallest stake that pays [default: but with --validator]."),
]
WorkersOption = Annotated[
    str | None, typer.Option("--workers", metavar="N|ray", help="Processes, or a Ray cluster [default: one a core].")
]
GateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="METRIC=N",
        help="Fail (exit code 9) unless every attack passes, such as honest_share=0.95; may be repeated.",
    ),
]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the outcome.")]

SEEDS, LIVE_SEEDS = 5, 2


def command(
    rule: Rule = None,
    validator: ValidatorOption = None,
    miner: MinerOption = None,
    scenario_file: ScenarioFile = None,
    attack: Attack = None,
    validators: Validators = None,
    miners: Miners = None,
    epochs: Epochs = None,
    commit_reveal: CommitReveal = None,
    set_: Set = None,
    seed: Seed = 0,
    seeds: Seeds = None,
    together: Together = False,
    search: Search = None,
    workers: WorkersOption = None,
    gate: GateOption = None,
    plot: Plot = None,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Run a scoring rule against attackers on a virtual clock, and show which of them pay.

    Each attack is compared with the same neurons doing honest work, under the same seeds. With --validator it is not a
    rule that is played but a Validator's own rounds, unchanged, with Miners behind a simulated wire.
    """
    from subnet.lab import check

    numbers = {"validators": validators, "miners": miners, "epochs": epochs, "reveal": commit_reveal}
    flags = numbers | {"rule": rule, "validator": validator, "miner": miner}
    scenario, gates, live = _scenario(scenario_file, attack, flags, set_ or [], gate or [])
    seeds = seeds or (LIVE_SEEDS if live else SEEDS)
    search = not live if search is None else search
    if any(one.metric == "smallest_stake" for one in gates) and not search:
        raise ConfigError("a gate on smallest_stake needs the search", remedy="Leave out --no-search.")
    if plot is not None:
        can_plot(plot)
    report = _simulate(scenario, seed, seeds, together, search, _workers(workers))
    if as_json:
        print_json(report.as_dict())
    else:
        _show(report)
    if plot is not None:
        from subnet.lab.plot import draw

        draw(report, plot)
    check(report, gates)


def _scenario(
    file: Path | None, attacks: list[str] | None, flags: dict[str, Any], settings: list[str], wanted: list[str]
) -> tuple[Playable, list[Gate], bool]:
    """The scenario and gates of the file, with the flags in place of what it says; whether a Validator is played."""
    from subnet.lab import Gate, Scenario, cast, files

    tables: dict[str, Any] = files.read(file) if file is not None else {}
    tables |= {name: value for name, value in flags.items() if value is not None}
    live = "validator" in tables or "miner" in tables
    if live and "rule" in tables:
        raise ConfigError("a rule and a Validator are two ways to judge", remedy="Give one of them.")
    if live and "validator" not in tables:
        raise ConfigError("a Miner needs a Validator to ask it", remedy="Add --validator module:Class.")
    kind: type = Scenario
    build: Callable[[dict[str, Any]], Playable] = files.scenario
    parse, zoo = cast.parse_attack, cast.zoo
    if live:
        from subnet.lab import live as lively
        from subnet.lab import live_files

        kind, build = lively.LiveScenario, live_files.scenario
        parse, zoo = lively.parse_attack, lively.zoo
    for pair in settings:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair!r} is not NAME=VALUE", remedy="Write for instance --set reveal=2.")
        files.put(tables, name.strip(), value.strip(), kind)
    if attacks:
        tables.pop("attacks", None)
    scenario = build(tables)
    if attacks:
        scenario = scenario.but_with([parse(one) for one in attacks])
    gates = [Gate.parse(one) for one in wanted] if wanted else files.gates(tables)
    return (scenario if scenario.attacks else scenario.but_with(zoo())), gates, live


def _workers(given: str | None) -> int | str:
    if given is None:
        return os.cpu_count() or 1
    if given.isdecimal():
        return int(given)
    return given


def _simulate(scenario: Playable, seed: int, seeds: int, together: bool, search: bool, workers: int | str) -> Report:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from subnet.lab.simulate import simulate, trials

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} trials"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("simulating", total=trials(scenario, seeds, search=search))
        return simulate(
            scenario,
            seed=seed,
            seeds=seeds,
            together=together,
            search=search,
            workers=workers,
            progress=lambda done: bar.update(task, completed=done),
        )


def _show(report: Report) -> None:
    from rich.console import Console

    from subnet.lab.show import LEGEND, failed, table, title

    console = Console(highlight=False)
    console.print(title(report), style="bold")
    console.print(table(report))
    console.print(LEGEND, style="dim")
    for line in failed(report):
        console.print(line, style="red")


def can_plot(path: Path) -> None:
    """Say what is missing before minutes are spent."""
    from importlib.util import find_spec

    from subnet.errors import MissingExtra

    if find_spec("matplotlib") is None:
        raise MissingExtra("--plot needs matplotlib", remedy="pip install 'subnetkit[examples]'")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder", remedy="Make it first, or draw elsewhere.")
