"""Ratings against published ones: a chess player's, a baseball season, OpenSkill's own first example."""

from __future__ import annotations

import math
import sys

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import MissingExtra
from subnet.scoring.ranking import Skill, bradley_terry, elo, elo_expected, openskill

# American League 1987, Agresti, Categorical Data Analysis: wins of the row's team over the column's
TEAMS = ["Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore"]
WINS = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
# against Baltimore: Turner and Firth, "Bradley-Terry Models in R: The BradleyTerry2 Package", JSS 2012
STRENGTHS = [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0]


def season() -> list[tuple[str, str]]:
    return [(a, b) for i, a in enumerate(TEAMS) for j, b in enumerate(TEAMS) for _ in range(WINS[i][j])]


def test_bradley_terry_is_agrestis() -> None:
    fitted = bradley_terry(season(), prior=1e-9)
    assert [fitted[team] - fitted["Baltimore"] for team in TEAMS] == pytest.approx(STRENGTHS, abs=6e-5)
    assert sum(fitted.values()) == pytest.approx(0)


def test_a_prior_pulls_together_and_keeps_a_winner_of_all_finite() -> None:
    free, held = bradley_terry(season(), prior=1e-9), bradley_terry(season(), prior=10)
    assert max(held.values()) < max(free.values())
    strengths = bradley_terry([("a", "b"), ("c", "d")])
    assert strengths["a"] == pytest.approx(strengths["c"])
    assert math.isfinite(strengths["a"])
    # each of two players: won 1 + 1 and 0 + 1
    assert bradley_terry([("a", "b")])["a"] == pytest.approx(math.log(2) / 2)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda game: game[0] != game[1]), min_size=1))
def test_bradley_terry_is_choixs(games: list[tuple[int, int]]) -> None:
    fitted = bradley_terry(games, prior=0.5)
    players = list(fitted)
    wins = np.full((len(players), len(players)), 0.5 / (len(players) - 1))
    np.fill_diagonal(wins, 0)
    for winner, loser in games:
        wins[players.index(winner), players.index(loser)] += 1
    theirs = choix.ilsr_pairwise_dense(wins, max_iter=10_000, tol=1e-10)
    assert [fitted[player] for player in players] == pytest.approx((theirs - theirs.mean()).tolist(), abs=1e-6)


@pytest.mark.parametrize(("players", "prior"), [(2, 1e-9), (5, 1e-30), (60, 1.0), (60, 1e-9)])
def test_a_chain_of_wins_which_is_the_worst_there_is_comes_out_in_order(players: int, prior: float) -> None:
    fitted = bradley_terry([(i, i + 1) for i in range(players - 1)] * 20, prior=prior)
    assert sorted(fitted, key=lambda player: -fitted[player]) == list(range(players))
    # at the maximum each player has as many wins as its strength leads one to expect
    expected = won = 0.0
    for i in range(players - 1):
        pair = 2 * prior / (players - 1)
        expected += (pair + 20 * (i == 0)) / (1 + math.exp(fitted[i + 1] - fitted[0]))
        won += prior / (players - 1) + 20 * (i == 0)
    assert expected == pytest.approx(won, rel=1e-6)


def test_elo_is_the_books() -> None:
    assert elo_expected(1900, 1500) == pytest.approx(10 / 11)
    # a player of 1613 in a tournament of five rounds, a much printed example: expected 2.867 points
    opponents = [1609, 1477, 1388, 1586, 1720]
    assert sum(elo_expected(1613, other) for other in opponents) == pytest.approx(2.867, abs=1e-3)
    assert elo({"a": 1613.0, "b": 1609.0}, [("a", "b", 0)]) == pytest.approx({"a": 1596.816, "b": 1625.184}, abs=1e-3)
    assert elo({"c": 1.0}, [("a", "b", 0.5)]) == {"a": 1500, "b": 1500, "c": 1}
    assert elo_expected(1e6, -1e6) == 1
    assert elo_expected(-1e6, 1e6) == pytest.approx(0)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(5, 9), st.floats(0, 1)), max_size=30))
def test_elo_hands_points_on_and_makes_none(games: list[tuple[int, int, float]]) -> None:
    ratings = elo(dict.fromkeys(range(10), 1500.0), games)
    assert sum(ratings.values()) == pytest.approx(15_000)


def test_openskill_is_its_readmes() -> None:
    rated = openskill({}, {"a": 1.0, "b": 0.0}, tau=0)
    assert rated["a"] == pytest.approx((27.63523138347365, 8.065506316323548))
    assert rated["b"] == pytest.approx((22.36476861652635, 8.065506316323548))
    assert Skill().ordinal == 0


def test_openskill_of_two_is_weng_and_lins_formula() -> None:
    beta, tau = 25 / 6, 25 / 300
    variance = (25 / 3) ** 2 + tau**2
    c = math.sqrt(2 * variance + 2 * beta**2)
    eta = variance / c**2 * math.sqrt(variance) / c / 4
    expected = (25 + variance / c / 2, math.sqrt(variance * (1 - eta)))
    assert openskill({}, {"a": 1.0, "b": 0.0})["a"] == pytest.approx(expected, rel=1e-9)


def test_who_did_not_play_keeps_its_skill_and_order_alone_counts() -> None:
    held = {"c": Skill(30.0, 2.0)}
    rated = openskill(held, {"a": 5.0, "b": math.nan, "d": -9.0})
    assert rated["c"] == Skill(30.0, 2.0)
    assert rated["a"].mu > rated["d"].mu > rated["b"].mu
    assert rated == openskill(held, {"a": 1.0, "b": math.inf, "d": 0.0})
    assert openskill(held, {"a": 1.0}) == held
    drawn = openskill({}, {"a": 1.0, "b": 1.0})
    assert drawn["a"].mu == pytest.approx(drawn["b"].mu)


def test_the_better_player_comes_out_ahead() -> None:
    dice = np.random.default_rng(0)
    truth = {name: float(i) for i, name in enumerate("abcdef")}
    skills: dict[str, Skill] = {}
    for _ in range(150):
        skills = openskill(skills, {name: level + dice.normal(0, 2) for name, level in truth.items()})
    assert sorted(skills, key=lambda name: skills[name].ordinal) == list("abcdef")


def test_without_the_extra_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openskill.models", None)
    with pytest.raises(MissingExtra) as caught:
        openskill({}, {"a": 1, "b": 2})
    assert "subnetkit[scoring]" in caught.value.remedy


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: elo({}, [("a", "a", 1)]), "a plays against itself"),
        (lambda: elo({}, [("a", "b", 2)]), "result is 2"),
        (lambda: elo({}, [], k=0), "k is 0"),
        (lambda: elo({"a": math.nan}, []), "rating is nan"),
        (lambda: bradley_terry([]), "no games"),
        (lambda: bradley_terry([("a", "a")]), "against itself"),
        (lambda: bradley_terry([("a", "b")], prior=0), "prior is 0"),
        (lambda: bradley_terry([(i, i + 1) for i in range(1024)]), "1025 players"),
        (lambda: openskill({"a": Skill(math.nan, 1)}, {}), "a has mu nan"),
        (lambda: openskill({"a": Skill(1, 0)}, {}), "sigma above 0"),
        (lambda: openskill({}, dict.fromkeys(range(257), 1.0)), "257 players"),
    ],
)
def test_bad_input_is_named(call, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()
