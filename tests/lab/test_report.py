"""From outcomes to a verdict: intervals, time to detection, the smallest stake, gates; and who works them out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from subnet.errors import ConfigError, GateFailed
from subnet.lab import Actor, Cabal, Gate, ModelSwapper, Report, Scenario, Sybil, WeightCopier, check, simulate, zoo
from subnet.lab.report import Estimate
from subnet.lab.search import STEPS, smallest_stake
from subnet.lab.simulate import trials
from subnet.lab.trials import Trial, binned, found_out, measure, relative
from subnet.lab.workers import Here, hired

SMALL = Scenario(validators=5, miners=12, epochs=30)


@pytest.mark.parametrize(
    ("paid", "begins", "expected"),
    [
        ([1, 1, 1, 1], 0, math.inf),
        ([0, 0, 0, 0], 0, 0),
        ([1] * 20 + [0] * 20, 0, 25),  # in epoch 24 five of the last ten were paid, which is half
        ([1] * 20 + [0] * 20, 20, 5),
        ([1] * 20 + [0] * 15 + [1] * 10, 0, math.inf),
    ],
)
def test_an_attack_is_found_out_when_it_earns_under_half_for_good(paid, begins: int, expected: float) -> None:
    assert found_out(np.array(paid, float), np.ones(len(paid)), begins) == expected


def test_a_swapped_model_is_found_out_after_it_is_swapped() -> None:
    scenario = replace(SMALL, attacks=[ModelSwapper(miners=2, after=40, cheap=0.0)], epochs=120, rule=strict)
    found = measure(Trial(scenario, 0, 0)).detection
    assert 0 < found < 60
    slower = measure(Trial(replace(scenario, alpha=0.03), 0, 0)).detection
    assert slower > found


def strict(seen):
    """Pays by the fourth power of the accuracy, so that poor answers are worth little."""
    return np.exp(-np.abs(seen.errors)).mean(axis=2) ** 4


def test_a_long_series_is_kept_as_means_of_neighbours() -> None:
    assert (binned(np.arange(400.0)) == np.arange(400.0)).all()
    kept = binned(np.arange(100_000.0))
    assert kept.size == 400
    assert kept[0] == np.arange(250).mean()
    assert kept.mean() == pytest.approx(np.arange(100_000).mean())


def test_gain_without_an_honest_income() -> None:
    assert relative(0.0, 0.0) == 0
    assert relative(1.0, 0.0) == math.inf
    assert relative(3.0, 2.0) == 0.5


def test_the_interval_holds_its_mean_and_narrows_with_seeds() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(1.0, 0.2, 64)
    few, many = Estimate.of(values[:8]), Estimate.of(values)
    for estimate in (few, many):
        assert estimate.low <= estimate.mean <= estimate.high
    # the mean of 64 normal values has a standard error of 0.2 / 8
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.2 / 8, rel=0.25)
    assert few.high - few.low > many.high - many.low
    assert Estimate.of([0.5]) == Estimate(0.5, 0.5, 0.5)
    assert Estimate.of([1.0, math.inf]).mean == math.inf


def test_the_smallest_stake_of_a_cabal_is_kappa() -> None:
    scenario = replace(SMALL, attacks=[Cabal(miners=2)], epochs=12)
    assert smallest_stake(scenario, 0, [0], Here()) == pytest.approx(0.5, abs=0.03)


def test_a_copier_pays_at_any_stake_and_silence_at_none() -> None:
    assert smallest_stake(replace(SMALL, attacks=[WeightCopier()]), 0, [0], Here()) == 0.01

    @dataclass
    class Silent(Actor):
        validators: int = 1
        stake: float = 0.1

        def weigh(self, seen):
            return seen.judged * 0

    calls: list[None] = []
    silent = replace(SMALL, attacks=[Silent(), Cabal(stake=0.5, miners=1)])
    assert smallest_stake(silent, 0, [0], Here(), lambda: calls.append(None)) == math.inf
    assert 0 < len(calls) <= STEPS


def report(**changes: object) -> Report:
    return simulate(replace(SMALL, epochs=10, **changes), seeds=2, search=False)  # type: ignore[arg-type]


def test_attacks_go_alone_or_together() -> None:
    attacks = [Sybil(miners=3), Cabal(miners=2, stake=0.3)]
    alone = report(attacks=attacks)
    assert [v.attack for v in alone.verdicts] == ["sybil(miners=3)", "cabal(miners=2, stake=0.3)"]
    assert alone["cabal"].honest_share.mean != alone["sybil"].honest_share.mean
    together = simulate(replace(SMALL, epochs=10, attacks=attacks), seeds=2, search=False, together=True)
    assert together["cabal"].honest_share == together["sybil"].honest_share
    assert together["cabal"].honest_share.mean < alone["cabal"].honest_share.mean
    with pytest.raises(KeyError):
        together["lazy"]


def test_an_honest_clone_gains_nothing_by_either_account() -> None:
    clone = report(attacks=[Actor(miners=2, validators=1, stake=0.2)]).verdicts[0]
    assert clone.gain.low <= 0 <= clone.gain.high
    assert not clone.pays


def test_gates() -> None:
    shown = report(attacks=[Sybil(miners=3), Cabal(miners=2, stake=0.3)])
    check(shown, [Gate.parse("honest_share=0.1"), Gate.parse("vtrust >= 0.5"), Gate.parse("smallest_stake=0.4")])
    with pytest.raises(GateFailed, match=r"sybil.*gain is .* expected <= 0"):
        check(shown, [Gate.parse("gain<=0")])
    with pytest.raises(GateFailed, match="detection is never"):
        check(shown, [Gate.parse("detection=10")])


def test_nothing_to_play() -> None:
    with pytest.raises(ConfigError, match="no attacks"):
        simulate(SMALL)
    with pytest.raises(ConfigError, match="seeds is 0"):
        simulate(replace(SMALL, attacks=zoo()[:1]), seeds=0)
    with pytest.raises(ConfigError, match="workers is 'many'"):
        simulate(replace(SMALL, attacks=zoo()[:1]), workers="many")


def test_progress_counts_every_trial() -> None:
    counted: list[int] = []
    scenario = replace(SMALL, attacks=[Cabal(miners=2), Sybil(miners=2)], epochs=5)
    simulate(scenario, seeds=2, progress=counted.append)
    assert counted == list(range(1, len(counted) + 1))
    assert 4 < len(counted) <= trials(scenario, 2)


@pytest.mark.slow
def test_ray_gives_the_same_results() -> None:
    pytest.importorskip("ray")
    scenario = replace(SMALL, attacks=[Cabal(miners=2)], epochs=5)
    with hired("ray") as crew:
        there = crew.map(measure, [Trial(scenario, 0, seed) for seed in range(3)], lambda: None)
    here = [measure(Trial(scenario, 0, seed)) for seed in range(3)]
    assert [o.gain for o in there] == [o.gain for o in here]
