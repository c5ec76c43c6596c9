"""``subnet simulate-placement``: which node works on which unit, tried on a day of nodes that come and go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.common import Json, LogJson, Verbose, print_json
from subnet.errors import ConfigError

if TYPE_CHECKING:
    from subnet.lab.placement import Placed, PlacementScenario

Policies = Annotated[
    list[str] | None,
    typer.Option("--policy", "-p", help="random, choices or adaptive; may be repeated [default: all three]."),
]
NodesOption = Annotated[int, typer.Option("--nodes", help="Nodes that come and go.")]
Hours = Annotated[float, typer.Option("--hours", help="Virtual hours, in steps of a minute.")]
Load = Annotated[float, typer.Option("--load", help="Arriving work, as a share of what the nodes could do.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="Any other number, such as cheaters=0.1; may be repeated."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The dice.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the day.")]


def command(
    policy: Policies = None,
    nodes: NodesOption = 20_000,
    hours: Hours = 24.0,
    load: Load = 0.35,
    set_: Set = None,
    seed: Seed = 0,
    plot: Plot = None,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Play placement policies against a day of churn, crashes and cheaters on a virtual clock, and compare them.

    All policies meet the same nodes, the same churn and the same units.
    """
    from subnet.cli.simulate import can_plot
    from subnet.lab.placement import POLICIES

    if unknown := set(policy or ()) - set(POLICIES):
        raise ConfigError(f"there is no policy {unknown.pop()!r}", remedy=f"Known: {', '.join(POLICIES)}.")
    scenario = _scenario({"nodes": nodes, "hours": hours, "load": load}, set_ or [])
    if plot is not None:
        can_plot(plot)
    outcomes = _play(scenario, list(dict.fromkeys(policy or POLICIES)), seed)
    if as_json:
        print_json({"scenario": scenario.as_dict(), "seed": seed, "policies": [one.as_dict() for one in outcomes]})
    else:
        _show(outcomes)
    if plot is not None:
        from subnet.lab.placement_show import draw

        draw(outcomes, plot)


def _scenario(given: dict[str, Any], settings: list[str]) -> PlacementScenario:
    from subnet.lab.placement import PlacementScenario
    from subnet.lab.settings import converted

    values: dict[str, str] = {}
    for pair in settings:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set {pair!r} is not NAME=VALUE", remedy="Write for instance --set cheaters=0.1.")
        values[name.strip()] = value.strip()
    return PlacementScenario(**given | converted(PlacementScenario, values, "the scenario", strict=False))


def _play(scenario: PlacementScenario, policies: list[str], seed: int) -> list[Placed]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from subnet.lab.placement import place

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f}%"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=scenario.steps * len(policies))
        outcomes = []
        for policy in policies:
            bar.update(task, description=policy)
            outcomes.append(place(scenario, policy, seed, lambda: bar.advance(task)))
        return outcomes


def _show(outcomes: list[Placed]) -> None:
    from rich.console import Console

    from subnet.lab.placement_show import LEGEND, table, title

    console = Console(highlight=False)
    console.print(title(outcomes[0].scenario, outcomes[0].seed), style="bold")
    console.print(table(outcomes))
    console.print(LEGEND, style="dim")
