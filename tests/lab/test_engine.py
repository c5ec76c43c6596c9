"""Runs of the lab: what is paid adds up, the same seed is the same run, and who joins late starts from nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import ConfigError, DeclarationError
from subnet.lab import (
    Actor,
    Cabal,
    Copier,
    Honest,
    Intermittent,
    Labels,
    Lazy,
    Round,
    Scenario,
    Seen,
    Sybil,
    WeightCopier,
    zoo,
)
from subnet.lab.engine import World, run
from subnet.lab.record import Run
from subnet.scoring.yuma import EpochParams

SMALL = Scenario(validators=5, miners=12, epochs=12)


def same(a: Run, b: Run) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("server", "validator", "vtrust", "seats")
    )


@settings(max_examples=25, deadline=None)
@given(
    attack=st.sampled_from(zoo()),
    reveal=st.integers(0, 2),
    registrations=st.sampled_from([0.0, 1.5]),
    yuma3=st.booleans(),
    labels=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_each_epoch_pays_its_emission_once(attack, reveal, registrations, yuma3, labels, seed) -> None:
    scenario = replace(
        SMALL,
        attacks=[attack],
        reveal=reveal,
        registrations=registrations,
        miners=20,
        epochs=6,
        immunity=1,
        params=EpochParams(yuma3=yuma3, liquid_alpha=yuma3),
        task=Labels(5) if labels else SMALL.task,
    )
    record = run(scenario, seed)
    assert record.income.sum(axis=1) == pytest.approx(np.ones(6))
    for shares in (record.server, record.validator, record.vtrust, record.stake):
        assert shares.min() >= 0
        assert shares.max() <= 1 + 1e-9
    assert 0 <= record.honest_share <= 1
    assert (record.seats.sum(axis=1) == 20).all()
    assert record.stake.sum(axis=1) == pytest.approx(np.ones(6))


def test_a_seed_is_a_run() -> None:
    scenario = replace(SMALL, attacks=[Cabal(), Copier(whom="random"), Intermittent(miners=2)], registrations=0.5)
    assert same(run(scenario, 7), run(scenario, 7))
    assert not same(run(scenario, 7), run(scenario, 8))


def test_actors_and_rules_remember_nothing_from_run_to_run() -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, seen: Round) -> np.ndarray:
            self.calls += 1
            return np.full(seen.answers.shape[:2], float(self.calls))

    rule = Counting()
    scenario = replace(SMALL, rule=rule, attacks=[Lazy(how="cached")])
    assert same(run(scenario, 1), run(scenario, 1))
    assert rule.calls == 0
    assert same(run(replace(scenario, rule=Counting), 1), run(scenario, 1))


def test_who_is_better_earns_more() -> None:
    class Best(Actor):
        pass

    better = run(replace(SMALL, attacks=[Best(miners=3, skill=0.95)], epochs=40), 0)
    worse = run(replace(SMALL, attacks=[Best(miners=3, skill=0.2)], epochs=40), 0)
    assert better.server[-1, 1] > 3 / 12 * better.server[-1].sum() > worse.server[-1, 1]


def test_under_commit_reveal_nobody_is_paid_for_work_before_the_first_reveal() -> None:
    record = run(replace(SMALL, reveal=3, attacks=[WeightCopier()]), 0)
    assert (record.server[:3].sum(axis=1) == 0).all()
    assert (record.server[3:].sum(axis=1) > 0).all()


def test_under_commit_reveal_a_copier_sees_only_what_was_revealed() -> None:
    """Of weights set in epoch t, those revealed by then were set in t - 3, and its copy counts in t + 3."""
    read: list[np.ndarray | None] = []
    committed: list[np.ndarray] = []

    class Spy(WeightCopier):
        def weigh(self, seen: Seen) -> np.ndarray:
            committed.append(seen.judged[0])
            read.append(seen.published(0))
            return seen.judged

    run(replace(SMALL, reveal=3, attacks=[Spy()], alpha=1.0), 0)
    assert read[:3] == [None] * 3
    for t in range(3, SMALL.epochs):
        shown, own = read[t][4], committed[t - 3]
        assert shown / shown.max() == pytest.approx(own / own.max(), abs=1e-4)


def test_seats_of_those_who_earn_least_go_to_newcomers() -> None:
    lazy = run(replace(SMALL, attacks=[Lazy(miners=4)], registrations=1.0, immunity=2, epochs=60), 0)
    assert lazy.seats[0, 1] == 4
    assert lazy.seats[-1, 1] < 4
    immune = run(replace(SMALL, attacks=[Lazy(miners=4)], registrations=1.0, immunity=100, epochs=60), 0)
    assert immune.seats[59, 1] <= 4


@pytest.mark.parametrize("reveal", [0, 3, 20])
def test_a_newcomer_is_paid_when_weights_that_know_it_are_revealed(reveal: int) -> None:
    """And validators who commit each tempo stay active, however long their weights stay hidden."""
    world = World(replace(SMALL, reveal=reveal, epochs=60), 0)
    for t in range(reveal + 2):
        world.epoch(t)
    assert world.chain.incentive[5:].min() > 0
    uid = 9
    world.chain.register(np.array([uid]))
    earned = [world.epoch(reveal + 2 + i).incentive[uid] for i in range(reveal + 2)]
    assert [e > 0 for e in earned] == [False] * reveal + [True] * 2


def test_a_swarm_answers_as_one_and_a_slow_answer_does_not_come() -> None:
    seen: list[Round] = []

    def spy(round_: Round) -> np.ndarray:
        seen.append(round_)
        return np.ones(round_.answers.shape[:2])

    from subnet.lab import Slow

    run(replace(SMALL, rule=spy, attacks=[Sybil(miners=3), Slow(miners=2, factor=1000)], epochs=1), 0)
    swarm, slow = seen[0].answers[:, 7:10], seen[0].answers[:, 10:]
    assert (swarm == swarm[:, :1]).all()
    assert np.isnan(slow).all()
    assert np.isinf(seen[0].elapsed[:, 10:]).all()
    assert (seen[0].elapsed[:, :10] <= seen[0].timeout).all()


def test_a_copy_comes_after_its_original() -> None:
    seen: list[Round] = []

    def spy(round_: Round) -> np.ndarray:
        seen.append(round_)
        return np.ones(round_.answers.shape[:2])

    run(replace(SMALL, rule=spy, attacks=[Copier(miners=1, lag=0.5)], epochs=2), 0)
    for round_ in seen:
        copied = np.flatnonzero((round_.answers[:, :11] == round_.answers[:, 11:]).all(axis=(0, 2)))
        assert copied.size == 1
        assert round_.elapsed[0, 11] == pytest.approx(round_.elapsed[0, copied[0]] + 0.5)


def test_stake_compounds_where_it_is_told_to() -> None:
    copier = [Cabal(stake=0.3)]
    flat = run(replace(SMALL, attacks=copier), 0)
    grown = run(replace(SMALL, attacks=copier, growth=0.1), 0)
    assert flat.stake[-1, 1] == pytest.approx(0.3)
    assert grown.stake[-1, 1] < 0.29


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (lambda seen: np.ones(3), "shape"),
        (lambda seen: seen.answers, "shape"),
        (lambda seen: 1 / 0, "ZeroDivisionError"),
        (lambda seen: "good", "no numbers"),
        (lambda seen: None, "shape"),
    ],
)
def test_a_rule_that_can_t_work_is_named(rule, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        run(replace(SMALL, rule=rule), 0)


def test_a_score_that_is_no_number_counts_as_nothing() -> None:
    def rule(seen: Round) -> np.ndarray:
        scores = np.ones(seen.answers.shape[:2])
        scores[:, 0], scores[:, 1] = np.nan, np.inf
        return scores

    record = run(replace(SMALL, rule=rule, epochs=3), 0)
    assert np.isfinite(record.income).all()


@pytest.mark.parametrize(
    "broken",
    [
        {"validators": 0},
        {"miners": 10**6},
        {"epochs": 0},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"reveal": -1},
        {"pool": -5},
        {"timeout": float("inf")},
        {"questions": 10**9},
        {"attacks": [Cabal(miners=12)]},
        {"attacks": [Cabal(validators=5)]},
        {"variant": "294"},
    ],
)
def test_what_can_t_be_played_is_refused(broken: dict) -> None:
    with pytest.raises(ConfigError):
        replace(SMALL, **broken)


def test_attacks_that_fit_alone_may_not_fit_together() -> None:
    many = replace(SMALL, attacks=[Lazy(miners=8), Lazy(miners=8)])
    rich = replace(SMALL, attacks=[Cabal(stake=0.6), Cabal(stake=0.5)])
    for crowd, says in ((many, "nobody honest"), (rich, "of all stake")):
        run(crowd.with_only(0), 0)
        with pytest.raises(ConfigError, match=says):
            run(crowd, 0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cabal(stake=1.0),
        lambda: Cabal(part=2),
        lambda: Cabal(stake=0.0),
        lambda: Lazy(how="sleepy"),  # type: ignore[arg-type]
        lambda: Honest(memory=1.0),
        lambda: Honest(skill=None),
        lambda: Lazy(miners=0),
        lambda: Labels(1),
    ],
)
def test_an_actor_that_can_t_be(make) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()
