"""Each attack does what its name says: seen from the rule's side, and from the chain's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from subnet.errors import DeclarationError
from subnet.lab import (
    Actor,
    Intermittent,
    Lazy,
    ModelSwapper,
    Overfitter,
    Poisoner,
    Round,
    Sandbagger,
    Scenario,
    Seen,
    SelfWeighting,
    Slow,
    Sybil,
    WeightCopier,
)
from subnet.lab.engine import World, run
from subnet.scoring.yuma import EpochParams

SMALL = Scenario(validators=5, miners=12, epochs=12)
M = 3  # of the attack under test: seats 9, 10 and 11


def seen_of(attack: Actor, **changes: object) -> list[Round]:
    rounds: list[Round] = []

    def spy(seen: Round) -> np.ndarray:
        rounds.append(seen)
        return np.exp(-np.abs(np.nan_to_num(seen.errors, nan=9.0))).mean(axis=2)

    run(replace(SMALL, rule=spy, attacks=[attack], **changes), 0)  # type: ignore[arg-type]
    return rounds


def error(rounds: list[Round]) -> np.ndarray:
    """The attack's mean absolute error by epoch."""
    return np.array([np.abs(seen.errors[:, -M:]).mean() for seen in rounds])


def test_the_lazy_know_nothing_of_the_truth() -> None:
    honest = error(seen_of(Actor(miners=M)))
    for how in ("random", "constant"):
        assert error(seen_of(Lazy(miners=M, how=how))).mean() > 2 * honest.mean()  # type: ignore[arg-type]
    constant = seen_of(Lazy(miners=M, how="constant"))
    assert all((seen.answers[:, -M:] == 0).all() for seen in constant)


def test_a_cache_is_fresh_every_now_and_then() -> None:
    rounds = seen_of(Lazy(miners=M, how="cached", every=4))
    answers = [seen.answers[:, -M:] for seen in rounds]
    same = [bool((answers[t] == answers[t - 1]).all()) for t in range(1, 12)]
    assert same == [t % 4 != 0 for t in range(1, 12)]
    assert error(rounds)[::4].mean() < error(rounds).mean()


def test_a_cache_serves_where_questions_repeat() -> None:
    rounds = seen_of(Lazy(miners=M, how="cached"), pool=3, epochs=30)
    assert len(np.unique(rounds[-1].truth)) <= 3
    assert error(rounds)[-5:].mean() < 0.6
    # three questions, three miners: nine answers, again and again
    assert len(np.unique([seen.answers[:, -M:] for seen in rounds[10:]])) == 9


def test_the_overfitted_know_the_questions_of_leaked_seeds_and_those_they_met() -> None:
    leaked = seen_of(Overfitter(miners=M, leaked=1.0))
    assert error(leaked).max() == 0
    none = error(seen_of(Overfitter(miners=M, leaked=0.0)))
    assert none.min() > 0.3
    met = error(seen_of(Overfitter(miners=M, leaked=0.0), pool=20, epochs=40))
    assert met[0] > 0.3
    assert met[-10:].max() == 0


def test_a_sandbagger_works_when_its_pay_has_fallen() -> None:
    found = error(seen_of(Sandbagger(miners=M, content=0.95, idle=0.0), epochs=60, alpha=0.5))
    honest = error(seen_of(Actor(miners=M), epochs=60))
    assert found.max() > 2 * honest.mean()
    assert found.min() < 1.5 * honest.mean()


def test_a_model_is_swapped_on_its_day() -> None:
    swapped = error(seen_of(ModelSwapper(miners=M, after=6, cheap=0.0)))
    honest = error(seen_of(Actor(miners=M)))
    assert (swapped[:6] == honest[:6]).all()
    assert swapped[6:].mean() > 2 * honest.mean()
    half = error(seen_of(ModelSwapper(miners=M, after=6, cheap=0.0, part=0.5)))
    assert honest[6:].mean() < half[6:].mean() < swapped[6:].mean()


def test_the_intermittent_are_away_for_a_third_of_the_time() -> None:
    rounds = seen_of(Intermittent(miners=M, up=10, down=5), epochs=300)
    away = np.array([np.isnan(seen.answers[0, -M:, 0]) for seen in rounds])
    assert away.mean() == pytest.approx(1 / 3, abs=0.08)
    # an absence lasts five epochs on average: it begins as often as that says
    assert (away[1:] & ~away[:-1]).sum() == pytest.approx(away.sum() / 5, rel=0.4)


def test_the_slow_answer_late_or_too_late() -> None:
    usual, slow = seen_of(Actor(miners=M)), seen_of(Slow(miners=M, factor=2))
    assert slow[0].elapsed[0, -M:] == pytest.approx(2 * usual[0].elapsed[0, -M:])
    assert (slow[0].answers == usual[0].answers).all()


def test_jitter_makes_a_swarm_s_answers_differ() -> None:
    answers = seen_of(Sybil(miners=M, jitter=0.01))[0].answers[:, -M:]
    assert len(np.unique(answers)) == answers.size
    assert np.ptp(answers, axis=1).max() < 0.1


def test_self_weight_counts_for_the_owner_only() -> None:
    attack = SelfWeighting(stake=0.6)
    row = SMALL.validators - 1
    alone = run(replace(SMALL, attacks=[attack]), 0)
    owner = run(replace(SMALL, attacks=[attack], params=EpochParams(owner_uid=row)), 0)
    assert alone.vtrust[-1, 1] == 0
    # with most of the stake it is consensus by itself, and paid as a miner too
    assert owner.vtrust[-1, 1] == pytest.approx(1)
    assert owner.server[-1, 1] == pytest.approx(0.5)


def test_a_poisoner_votes_for_those_whom_consensus_likes_least() -> None:
    world = World(replace(SMALL, attacks=[Poisoner(stake=0.3)]), 0)
    for t in range(5):
        world.epoch(t)
    published = world.chain.published(0)
    assert published is not None
    others, own = published[:4].mean(axis=0)[5:], published[4, 5:]
    assert np.argmax(own) == np.argmin(others)
    assert own[np.argmax(others)] == 0
    assert np.corrcoef(own, others)[0, 1] < -0.9


def test_a_copier_s_row_is_the_others_mean_or_the_richest_one_s() -> None:
    for of, skew in (("consensus", 0.0), ("best", 1.0)):
        world = World(replace(SMALL, attacks=[WeightCopier(stake=0.1, of=of)], skew=skew), 0)  # type: ignore[arg-type]
        world.epoch(0)
        rows = world.chain.published(0)
        assert rows is not None
        shares = rows / rows.sum(axis=1, keepdims=True)
        wanted = shares[:4].mean(axis=0) if of == "consensus" else shares[0]
        assert shares[4] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("method", ["answer", "elapse", "weigh"])
def test_an_actor_that_returns_the_wrong_shape_is_named(method: str) -> None:
    class Wrong(Actor):
        pass

    setattr(Wrong, method, lambda self, *views: np.ones(7))
    with pytest.raises(DeclarationError, match=rf"Wrong\.{method} returned float64 \(7,\)"):
        run(replace(SMALL, attacks=[Wrong(miners=1, validators=1, stake=0.1)]), 0)


def test_what_an_actor_raises_is_told_as_its_own() -> None:
    class Broken(Actor):
        def weigh(self, seen: Seen) -> np.ndarray:
            raise LookupError("no such weights")

    with pytest.raises(DeclarationError, match=r"Broken\.weigh failed in epoch 0.*LookupError: no such weights"):
        run(replace(SMALL, attacks=[Broken(validators=1, stake=0.1)]), 0)
