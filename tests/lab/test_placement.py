"""The placement's simulation: nothing is lost for good, counts add up, the same seed is the same day."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from subnet.errors import ConfigError
from subnet.lab.churn import Churn
from subnet.lab.placement import POLICIES, Placed, PlacementScenario, _World, place
from subnet.lab.units import EMPTY, UNDER_WAY, Units

SMALL = PlacementScenario(nodes=200, hours=4, step=240)
CALM = replace(SMALL, always_on=1.0, cheaters=0.0, errors=0.0, crashes=0.0, stragglers=0.0)


def balanced(placed: Placed) -> None:
    assert placed.created == placed.done + placed.open
    assert placed.placed == placed.returned + placed.lost + placed.under_way
    assert placed.latency.sum() == placed.done == placed.series["done"].sum()
    assert placed.series["placed"].sum() == placed.placed


@pytest.mark.parametrize("policy", POLICIES)
def test_counts_add_up_and_a_day_can_be_repeated(policy: str) -> None:
    first, again = place(SMALL, policy, seed=3), place(SMALL, policy, seed=3)
    balanced(first)
    assert first.as_dict() == again.as_dict()
    assert all((first.series[name] == again.series[name]).all() for name in first.series)
    assert place(SMALL, policy, seed=4).as_dict() != first.as_dict()
    assert first.lost > 0
    assert first.reissued > 0


def test_policies_meet_the_same_world() -> None:
    days = [place(SMALL, policy, seed=1) for policy in POLICIES]
    assert len({day.created for day in days}) == 1
    assert all((day.series["online"] == days[0].series["online"]).all() for day in days)


@pytest.mark.parametrize("policy", POLICIES)
def test_no_unit_is_lost_for_good_while_nodes_are_there(policy: str) -> None:
    ill = {"crashes": 0.3, "stragglers": 0.2, "cheaters": 0.3, "load": 0.1}
    rough = replace(SMALL, hours=40, drain_hours=38, step=600, unit_seconds=120, **ill)  # type: ignore[arg-type]
    placed = place(rough, policy, seed=2)
    balanced(placed)
    assert placed.open == placed.under_way == 0
    assert placed.done == placed.created > 100
    assert placed.lost > 100


def test_replicas_of_a_unit_are_on_distinct_nodes_and_nobody_has_more_than_fits() -> None:
    world = _World(replace(SMALL, load=1.0, cheaters=0.2, errors=0.05), "choices", seed=5)
    for _ in range(40):
        world.step()
        rows = np.flatnonzero(world.units.born >= 0)
        for nodes, results in zip(world.units.nodes[rows], world.units.result[rows], strict=True):
            held = nodes[results != EMPTY]
            assert np.unique(held).size == held.size
            assert (held >= 0).all()
        under_way = world.replicas.node[world.replicas.due >= 0]
        held = np.bincount(under_way, minlength=SMALL.nodes)
        assert (held == SMALL.room - world.view.room).all()
        assert (world.view.room >= 0).all()
        assert (world.units.result == UNDER_WAY).sum() == under_way.size == world.replicas.under_way


def test_a_calm_day_loses_nothing_and_needs_no_more_than_its_quorum() -> None:
    for policy in ("random", "choices"):
        placed = place(CALM, policy)
        balanced(placed)
        assert placed.lost == placed.reissued == placed.wrong == 0
        assert placed.returned >= 2 * placed.done
        assert placed.replication == pytest.approx(2, abs=0.1)


def test_adaptive_replication_saves_work_and_lets_more_through() -> None:
    scenario = replace(SMALL, hours=16, step=600, cheaters=0.1)
    fixed, adaptive = place(scenario, "choices"), place(scenario, "adaptive")
    assert adaptive.replication < fixed.replication - 0.4
    assert adaptive.wrong > fixed.wrong
    assert adaptive.wait(0.5) < fixed.wait(0.5)


def test_without_nodes_units_wait() -> None:
    placed = place(replace(SMALL, nodes=1, always_on=0.0, session_hours=0.01, away_hours=10_000, load=4.0), "adaptive")
    balanced(placed)
    assert placed.done == 0


def test_churn_follows_the_daily_curve_and_sessions_their_mean() -> None:
    scenario = PlacementScenario(nodes=4000, hours=48, step=600, always_on=0.1)
    churn = Churn(scenario, np.random.default_rng(0))
    assert (churn.until >= 0).all()
    there, came, went = [], 0, 0
    for _ in range(scenario.steps):
        on, off = churn.tick()
        came, went = came + on.size, went + off.size
        there.append(np.count_nonzero(churn.online))
    curve = np.array(there) / 4000
    day = scenario.steps // 2
    assert curve.max() - curve.min() > 0.08
    assert abs(curve[:day].argmax() - curve[day:].argmax()) < day / 6  # at the same hours of both days
    assert abs(came - went) < 800
    assert curve.mean() == pytest.approx(0.1 + 0.9 * 3 / 8, abs=0.05)
    flat = replace(scenario, daily=0.0)
    even = Churn(flat, np.random.default_rng(0))
    levels = [np.count_nonzero(even.online) for _ in range(day) if even.tick()]
    assert np.ptp(levels) / 4000 < np.ptp(curve)


def test_the_pool_of_units_grows_and_rows_are_used_again() -> None:
    units = Units(2)
    units.add(np.arange(5, dtype=np.uint64), np.ones(5, np.float32), 0)
    assert units.open == 5
    units.close(units.pending(3))
    assert units.open == 2
    units.add(np.arange(5, 8, dtype=np.uint64), np.ones(3, np.float32), 1)
    assert units.open == 5
    oldest = units.pending(2)
    assert (units.born[oldest] == 0).all()
    assert sorted(units.key[units.born >= 0].tolist())[-3:] == [5, 6, 7]


@pytest.mark.parametrize(
    "wrong", [{"nodes": 0}, {"step": 70}, {"load": 0.0}, {"daily": 1.0}, {"cheat": 1.5}, {"room": 17}, {"slack": 0.5}]
)
def test_a_world_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no policy"):
        place(SMALL, "best")
