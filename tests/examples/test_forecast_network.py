"""What the network pays: properties on the real code path, with forecasters made by rule from the real series."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from subnet.errors import ConfigError
from subnet.examples.forecast.memory import restore, save
from subnet.examples.forecast.network import Learned, Network
from subnet.examples.forecast.protocol import Losses as Reported
from subnet.examples.forecast.protocol import Opened
from subnet.examples.forecast.roster import Roster
from subnet.examples.forecast.topic import KNOWN, Topic, series
from subnet.types import Hotkey

UNIT = float(np.std(np.diff(series()[:KNOWN])))
VALIDATOR = Hotkey("5Validator")
WARM = 10  # steps in which all are new, and nobody is paid

Forecasts = dict[str, np.ndarray]
Losses = Callable[[int, Network], dict[Hotkey, dict[str, float]]]


def autoregression(lags: list[int], steps: int) -> np.ndarray:
    """Least squares on these lags, fitted on the history alone: a real model that costs nothing to run."""
    y, start = series(), max(lags)
    table = np.column_stack([y[start - lag : KNOWN - lag] for lag in lags] + [np.ones(KNOWN - start)])
    slopes = np.linalg.lstsq(table, y[start:KNOWN], rcond=None)[0]
    at = np.arange(KNOWN, KNOWN + steps)
    return np.column_stack([y[at - lag] for lag in lags] + [np.ones(steps)]) @ slopes


@cache
def miners(steps: int) -> Forecasts:
    at = np.arange(KNOWN, KNOWN + steps)
    return {
        "long": autoregression([1, 2, 3, 11, 12, 13, 24], steps),
        "short": autoregression([1, 2, 12, 13], steps),
        "drift": series()[at - 1] + series()[at - 12] - series()[at - 13],
        "naive": series()[at - 1],
    }


@cache
def alone(steps: int) -> dict[str, float]:
    """What the miners earn where nobody copies."""
    return pay(run(miners(steps)))


def no_losses(step: int, network: Network) -> dict[Hotkey, dict[str, float]]:
    return {}


def run(
    forecasts: Forecasts, losses: Losses = no_losses, *, merge: bool = True, network: Network | None = None
) -> list[Learned]:
    """Every step from the question to the truth, as one validator goes through it."""
    network = network or Network(UNIT, merge=merge)
    done = []
    for step in range(len(next(iter(forecasts.values())))):
        opened = {Hotkey(name): Opened(salt=b"", value=float(said[step])) for name, said in forecasts.items()}
        for name, expected in losses(step, network).items():
            opened[name] = Opened(salt=b"", losses=expected)
        truth = Topic().truth(step)
        assert truth is not None
        report = network.report(step, opened, truth)
        assert report is not None
        learned = network.learn(step, opened, truth, {VALIDATOR: (1.0, report)})
        assert learned is not None
        done.append(learned)
    return done


def pay(done: list[Learned]) -> dict[str, float]:
    """Each miner's mean part of what was paid."""
    paid = [learned.scores for learned in done if learned.scores]
    return {name: float(np.mean([scores[Hotkey(name)] for scores in paid])) for name in paid[0]}


def stale(said: np.ndarray) -> np.ndarray:
    """What a copier has where forecasts are sealed: the other's last one."""
    return np.concatenate([said[:1] + 1.0, said[:-1]])


def test_who_forecasts_better_earns_more_and_the_parts_make_one_whole() -> None:
    earned = alone(60)
    assert earned["long"] > earned["drift"] > earned["naive"]
    assert earned["short"] > earned["drift"]
    assert earned["naive"] < 0.01
    assert sum(earned.values()) == pytest.approx(1.0)


def test_nobody_is_paid_while_all_are_unknown() -> None:
    done = run(miners(WARM + 1))
    assert [bool(learned.scores) for learned in done] == [False] * WARM + [True]


@pytest.mark.parametrize("copied", ["long", "naive"])
def test_a_copyist_adds_nothing_to_the_pair_even_if_forecasts_were_not_sealed(copied: str) -> None:
    forecasts = miners(30)
    both = pay(run({**forecasts, "copy": forecasts[copied]}))
    assert both[copied] == pytest.approx(both["copy"])
    assert both[copied] + both["copy"] == pytest.approx(alone(30)[copied], rel=1e-9)  # and so under 5% more


def test_a_copyist_that_blurs_its_copies_a_little_adds_under_5_percent() -> None:
    forecasts = miners(30)
    blurred = forecasts["long"] + np.random.default_rng(1).uniform(-0.04, 0.04, 30) * UNIT
    both = pay(run({**forecasts, "copy": blurred}))
    assert both["long"] + both["copy"] < 1.05 * alone(30)["long"]


def test_paid_by_the_head_a_copyist_would_add_far_more() -> None:
    forecasts = miners(30)
    both = pay(run({**forecasts, "copy": forecasts["long"]}, merge=False))
    assert both["long"] + both["copy"] > 1.15 * alone(30)["long"]


def test_a_copyist_of_sealed_forecasts_has_old_ones_and_adds_under_5_percent() -> None:
    forecasts = miners(60)
    both = pay(run({**forecasts, "copy": stale(forecasts["long"])}))
    assert both["copy"] < 0.05 * alone(60)["long"]
    assert both["long"] + both["copy"] < 1.05 * alone(60)["long"]


def knowing(step: int, network: Network) -> dict[Hotkey, dict[str, float]]:
    """A forecaster that knows (up to some noise) what each will lose."""
    truth = Topic().truth(step)
    assert truth is not None
    said = {name: values[step] for name, values in miners(60).items()}
    return {Hotkey("forecaster"): {name: float(np.log10((x - truth) ** 2 + 0.04)) for name, x in said.items()}}


def test_a_useless_forecaster_falls_to_the_floor_of_the_tasks_share() -> None:
    random = np.random.default_rng(2)

    def then_useless(step: int, network: Network) -> dict[Hotkey, dict[str, float]]:
        if step < 30:
            return knowing(step, network)
        return {Hotkey("forecaster"): {name: float(random.normal(-1.0, 0.5)) for name in miners(1)}}

    done = run(miners(60), then_useless)
    utility = [learned.outcome.split.utility for learned in done]
    share = [learned.scores.get(Hotkey("forecaster"), 0.0) for learned in done]
    assert np.mean(utility[20:30]) > 0.4  # it helped
    assert utility[-1] == 0.1  # chi, the floor
    assert share[-1] < 0.02 < 0.05 < np.mean(share[20:30])


def test_a_forecaster_that_never_was_of_use_stays_at_the_floor() -> None:
    random = np.random.default_rng(3)

    def useless(step: int, network: Network) -> dict[Hotkey, dict[str, float]]:
        return {Hotkey("forecaster"): {name: float(random.normal(-1.0, 0.5)) for name in miners(1)}}

    done = run(miners(30), useless)
    assert np.mean([learned.outcome.split.utility for learned in done[-10:]]) < 0.13
    assert pay(done)["forecaster"] < 0.03


def test_the_published_forecast_is_nearly_as_good_as_the_best_with_an_interval_that_holds() -> None:
    forecasts, network = miners(50), Network(UNIT)
    errors, inside = [], []
    for step in range(50):
        opened = {Hotkey(name): Opened(salt=b"", value=float(said[step])) for name, said in forecasts.items()}
        truth, said = Topic().truth(step), network.forecast(step, opened)
        assert truth is not None
        assert said is not None
        assert (said.interval is None) == (step == 0)
        if said.interval is not None:
            assert list(said.interval) == sorted(said.interval)
            inside.append(said.interval[0] <= truth <= said.interval[-1])
        errors.append(said.value - truth)
        report = network.report(step, opened, truth)
        assert report is not None
        network.learn(step, opened, truth, {VALIDATOR: (1.0, report)})
    best = min(float(np.std(said - series()[KNOWN : KNOWN + 50])) for said in forecasts.values())
    assert np.std(errors) < 1.1 * best
    assert np.mean(inside) > 0.85


def test_a_reputer_that_lies_is_listened_to_less_and_moves_little() -> None:
    forecasts, network = miners(25), Network(UNIT)
    for step in range(25):
        opened = {Hotkey(name): Opened(salt=b"", value=float(said[step])) for name, said in forecasts.items()}
        truth = Topic().truth(step)
        assert truth is not None
        honest, lie = network.report(step, opened, truth), network.report(step, opened, truth + 5.0)
        assert honest is not None
        assert lie is not None
        reports = {Hotkey(f"5V{i}"): (1.0, honest) for i in range(3)} | {Hotkey("5Liar"): (1.0, lie)}
        learned = network.learn(step, opened, truth, reports)
    assert learned is not None
    assert learned.reputers[Hotkey("5Liar")] < min(learned.reputers[Hotkey(f"5V{i}")] for i in range(3))
    assert learned.scores[Hotkey("long")] > learned.scores[Hotkey("naive")]


def test_of_who_gave_no_answer_another_reputers_word_is_not_enough() -> None:
    network = Network(UNIT)

    def expecting(step: int, network: Network) -> dict[Hotkey, dict[str, float]]:
        return {Hotkey("forecaster"): {"long": -1.0, "naive": 0.0}} if step < 14 else {}

    run(miners(14), expecting, network=network)
    opened = {Hotkey(name): Opened(salt=b"", value=float(said[13])) for name, said in miners(14).items()}
    mine = network.report(14, opened, 21.0)
    assert mine is not None
    theirs = Reported(inferers=mine.inferers, forecasters=mine.forecasters, losses=np.full(mine.losses.size, -1.0))
    learned = network.learn(14, opened, 21.0, {VALIDATOR: (1.0, mine), Hotkey("5Liar"): (100.0, theirs)})
    assert learned is not None
    assert not np.isfinite(learned.outcome.losses.forecasters).any()
    assert sum(learned.scores.values()) == pytest.approx(1.0)


def test_absent_miners_are_not_paid_and_a_step_without_inferences_is_none() -> None:
    network = Network(UNIT)
    assert network.forecast(0, {}) is None
    assert network.report(0, {Hotkey("f"): Opened(salt=b"", losses={"x": 1.0})}, 1.0) is None
    done = run(miners(14), network=network)
    assert set(done[-1].scores) == {"long", "short", "drift", "naive"}
    one = {Hotkey("long"): Opened(salt=b"", value=20.0)}
    report = network.report(14, one, 21.0)
    assert report is not None
    learned = network.learn(14, one, 21.0, {VALIDATOR: (1.0, report)})
    assert learned is not None
    assert learned.scores == {"long": 1.0}


def test_a_network_goes_on_from_its_file_as_if_nothing_had_been(tmp_path: Path) -> None:
    def expecting(step: int, network: Network) -> dict[Hotkey, dict[str, float]]:
        return {Hotkey("forecaster"): {"long": -1.0 - step / 100, "naive": 0.0}}

    whole, first, second = Network(UNIT), Network(UNIT), Network(UNIT)
    forecasts = miners(26)
    done = run(forecasts, expecting, network=whole)
    run({name: said[:13] for name, said in forecasts.items()}, expecting, network=first)
    assert not restore(second, tmp_path / "memory.npz")
    save(first, tmp_path / "memory.npz")
    assert restore(second, tmp_path / "memory.npz")
    assert second.step == 12
    assert second.scores == first.scores
    for step in range(13, 26):
        opened = {Hotkey(name): Opened(salt=b"", value=float(said[step])) for name, said in forecasts.items()}
        opened |= {name: Opened(salt=b"", losses=losses) for name, losses in expecting(step, second).items()}
        truth = Topic().truth(step)
        assert truth is not None
        report = second.report(step, opened, truth)
        assert report is not None
        learned = second.learn(step, opened, truth, {VALIDATOR: (1.0, report)})
        assert learned is not None
        assert learned.scores == done[step].scores


def test_a_file_that_is_no_memory_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path, network = tmp_path / "memory.npz", Network(UNIT)
    run(miners(3), network=network)
    save(network, path)
    good = path.read_bytes()
    for broken in (b"", b"PK\x03\x04junk", good[: len(good) // 2]):
        path.write_bytes(broken)
        fresh = Network(UNIT)
        with pytest.raises(ConfigError, match="no memory"):
            restore(fresh, path)
        assert fresh.step == -1
    path.write_bytes(good)
    with pytest.raises(ConfigError, match="another series"):
        restore(Network(UNIT * 2), path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, "state.regrets": arrays["state.regrets"][:-1]})
    with pytest.raises(ConfigError, match="regrets"):
        restore(Network(UNIT), path)


def test_places_are_given_once_and_go_to_a_newcomer_from_who_was_away_longest() -> None:
    roster = Roster(2)
    a, b, c = Hotkey("5A"), Hotkey("5B"), Hotkey("5C")
    assert roster.seat([a, b], 1) == [0, 1]
    assert roster.seat([a, b, c], 2) == []  # all are there: no place for a third
    assert roster.seat([b], 3) == []
    assert roster.seat([b, c], 4) == [0]
    assert roster.places == {c: 0, b: 1}


def test_who_takes_anothers_place_begins_anew() -> None:
    network = Network(UNIT)
    forecasts = {f"m{i:02d}": miners(14)["long"] + i / 50 for i in range(32)}
    run(forecasts, network=network)
    assert None not in network.inferers.names
    away, steps = Hotkey("m31"), range(14, 16)
    for step in steps:
        names = [*sorted(forecasts)[:31], *(["new"] if step == 15 else [])]
        opened = {Hotkey(name): Opened(salt=b"", value=20.0 + int(name[1:], 36) / 50) for name in names}
        report = network.report(step, opened, 20.0)
        assert report is not None
        network.learn(step, opened, 20.0, {VALIDATOR: (1.0, report)})
    place = network.inferers.places[Hotkey("new")]
    assert away not in network.inferers.places
    assert network.state.inclusions[place] == 1
    assert np.isnan([losses[place] for losses in list(network.losses)[:-1]]).all()
