"""``simulate(scenario)``: every attack beside its honest counterpart over several seeds, and a :class:`Report`."""

from __future__ import annotations

from collections.abc import Callable

from subnet.errors import ConfigError
from subnet.lab.report import Report, Verdict
from subnet.lab.scenario import Playable
from subnet.lab.search import SEEDS, STEPS, smallest_stake
from subnet.lab.trials import Trial, measure
from subnet.lab.workers import hired

MAX_SEEDS = 10_000
Progress = Callable[[int], object]


def simulate(
    scenario: Playable,
    *,
    seeds: int = 5,
    seed: int = 0,
    together: bool = False,
    search: bool = True,
    workers: int | str = 1,
    progress: Progress | None = None,
) -> Report:
    """Play each attack of ``scenario`` and what it would have earned honestly, under seeds ``seed``, ``seed + 1``, ...

    Each attack is played alone, unless they go ``together``. ``search`` also looks for the smallest stake at which one
    with validators pays. ``workers`` is a number of processes or ``"ray"``; the results do not depend on it.
    ``progress`` is called with how many trials are done, of :func:`trials` at the most. Raises ConfigError for a
    scenario without attacks, DeclarationError where the rule or an actor fails.
    """
    if not scenario.attacks:
        raise ConfigError("the scenario has no attacks", remedy="Give it some; subnet.lab.zoo() is a set of all.")
    if not 1 <= seeds <= MAX_SEEDS:
        raise ConfigError(f"seeds is {seeds}, expected 1..{MAX_SEEDS}")
    if seed < 0:
        raise ConfigError(f"seed is {seed}, expected 0 or more")
    played = range(seed, seed + seeds)
    cast = _cast(scenario, together=together)
    done = _counter(progress)
    with hired(workers) as crew:
        jobs = [Trial(s, index, one) for s, index in cast for one in played]
        outcomes = crew.map(measure, jobs, done)
        verdicts = []
        for number, (s, index) in enumerate(cast):
            stake = smallest_stake(s, index, played, crew, done) if search and s.attacks[index].validators else None
            own = outcomes[number * seeds : (number + 1) * seeds]
            verdicts.append(Verdict.of(s.attacks[index].described(), own, stake))
    return Report(
        verdicts=tuple(sorted(verdicts, key=lambda v: -v.gain.mean)),
        rule=scenario.title,
        validators=scenario.validators,
        miners=scenario.miners,
        epochs=scenario.epochs,
        seeds=tuple(played),
        reveal=scenario.reveal,
    )


def trials(scenario: Playable, seeds: int, *, search: bool = True) -> int:
    """How many trials :func:`simulate` makes at the most."""
    staked = sum(a.validators > 0 for a in scenario.attacks) if search else 0
    return seeds * len(scenario.attacks) + min(seeds, SEEDS) * staked * STEPS


def _cast(scenario: Playable, *, together: bool) -> list[tuple[Playable, int]]:
    """A scenario and the attack's place in it, for each attack."""
    if together:
        scenario.check_together()
        return [(scenario, i) for i in range(len(scenario.attacks))]
    return [(scenario.with_only(i), 0) for i in range(len(scenario.attacks))]


def _counter(progress: Progress | None) -> Callable[[], object]:
    if progress is None:
        return lambda: None
    count = 0

    def done() -> None:
        nonlocal count
        count += 1
        progress(count)

    return done
