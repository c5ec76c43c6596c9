"""Ratings from comparisons: Elo as results come in, Bradley-Terry over all of them, OpenSkill over whole rounds.

For subnets whose answers have no score of their own, only a better and a worse (two texts before a judge). Keys are
whatever names a player, best a hotkey; who didn't play keeps the rating. Ratings are no shares: put them through
:func:`subnet.scoring.shares.by_softmax`. OpenSkill is rated by openskill (extra ``scoring``), Bradley-Terry
fitted by Newton's method on scipy's factorisation; Elo is its formula.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np

from subnet.scoring import checks
from subnet.scoring.checks import Floats

K = TypeVar("K", bound=Hashable)

MOST_PLAYERS: Final = 1024
"""Players that :func:`bradley_terry` fits at once: seconds; the work grows with the cube."""
MOST_IN_A_ROUND: Final = 256
"""Players that :func:`openskill` rates at once: a second; the work grows with the square."""

_MOST_STEPS: Final = 200  # the worst that was found, a chain of five with a prior of 1e-30, takes 72
_STEP: Final = 400.0  # points at which the odds are 10 to 1


def elo_expected(rating: float, other: float) -> float:
    """The expected result, 0 to 1, of a player of ``rating`` against one of ``other`` (points): 10 to 1 at 400 apart.

    Source: Elo, "The Rating of Chessplayers, Past and Present", 1978.
    """
    gap = checks.between("rating", rating, -1e6, 1e6) - checks.between("other", other, -1e6, 1e6)
    return 1.0 / (1.0 + math.pow(10.0, min(max(-gap / _STEP, -300.0), 300.0)))


def elo(
    ratings: Mapping[K, float],
    games: Sequence[tuple[K, K, float]],
    *,
    k: float = 32.0,
    start: float = 1500.0,
) -> dict[K, float]:
    """Ratings (points) after ``games``, one after the other, each ``(one, other, result)``: 1 won, 0.5 drawn, 0 lost.

    A player moves by ``k * (result - expected)``, its opponent by as much the other way. Newcomers have ``start``.
    Raises ValueError for a result outside 0 to 1, a player against itself, or ratings beyond a million.

    Source: Elo, "The Rating of Chessplayers, Past and Present", 1978.
    """
    checks.between("k", k, 0, 1e4, open_at="low")
    new = {key: checks.between("rating", rating, -1e6, 1e6) for key, rating in ratings.items()}
    checks.between("start", start, -1e6, 1e6)
    for one, other, result in games:
        _different(one, other)
        before = new.get(one, start), new.get(other, start)
        step = k * (checks.between("result", result, 0, 1) - elo_expected(*before))
        new[one], new[other] = before[0] + step, before[1] - step
    return new


def bradley_terry(games: Sequence[tuple[K, K]], *, prior: float = 1.0) -> dict[K, float]:
    """Log-strengths (mean 0) of all players, from games ``(winner, loser)`` in any order.

    The chance that i beats j is ``1 / (1 + exp(s_j - s_i))``. Besides its games each player
    is taken to have won ``prior`` > 0 and lost as many, spread evenly over all others: that keeps one who only
    won, or who met nobody else, at a finite strength, and newcomers near the middle. Raises ValueError for no games, a
    player against itself or more than ``MOST_PLAYERS``.

    Source: Bradley and Terry, "Rank Analysis of Incomplete Block Designs", Biometrika 1952.
    """
    checks.between("prior", prior, 0, 1e6, open_at="low")
    if not games:
        raise ValueError("there are no games to fit")
    index: dict[K, int] = {}
    for winner, loser in games:
        _different(winner, loser)
        index.setdefault(winner, len(index))
        index.setdefault(loser, len(index))
    if len(index) > MOST_PLAYERS:
        raise ValueError(f"{len(index)} players, at most {MOST_PLAYERS} are fitted at once")
    wins = np.full((len(index), len(index)), prior / (len(index) - 1))
    np.fill_diagonal(wins, 0.0)
    at = [(index[winner], index[loser]) for winner, loser in games]
    np.add.at(wins, tuple(np.array(at).T), 1.0)
    strengths = _most_likely(wins)
    return {key: float(strengths[i]) for key, i in index.items()}


class Skill(NamedTuple):
    """A belief about a player: normal, of mean ``mu`` and deviation ``sigma``."""

    mu: float = 25.0
    sigma: float = 25.0 / 3.0

    @property
    def ordinal(self) -> float:
        """``mu - 3 * sigma``: the skill that the player has almost surely; 0 for a newcomer."""
        return self.mu - 3.0 * self.sigma


def openskill(skills: Mapping[K, Skill], scores: Mapping[K, float], *, tau: float = 25.0 / 300.0) -> dict[K, Skill]:
    """Skills after one round in which all of ``scores`` played each other, the higher score the better, equals drawn.

    Only the order of the scores counts; the more players, the less one round moves each. Newcomers begin at
    ``Skill()``; who isn't in ``scores`` keeps its skill. A score that is NaN or infinite counts below all others,
    for it mustn't be a way out of a lost round. ``tau`` is how far a skill may drift from round to round:
    it is added, in squares, to each player's sigma first, so that none is ever settled for good. Raises ValueError
    for more than ``MOST_IN_A_ROUND`` scores or a skill that isn't finite, MissingExtra without openskill.

    Source: Weng and Lin, "A Bayesian Approximation Method for Online Ranking", JMLR 2011 (their Plackett-Luce model).
    """
    if len(scores) > MOST_IN_A_ROUND:
        raise ValueError(f"{len(scores)} players, at most {MOST_IN_A_ROUND} are rated at once")
    new = {key: _skill(key, skill) for key, skill in skills.items()}
    checks.between("tau", tau, 0, 1e6)
    if len(scores) < 2:
        return new
    model = checks.optional("openskill.models", "openskill").PlackettLuce(tau=tau)
    before = {key: new.get(key, Skill()) for key in scores}
    finite = [float(score) if math.isfinite(score) else -math.inf for score in scores.values()]
    place = {score: float(rank) for rank, score in enumerate(sorted(set(finite), reverse=True))}
    teams = [[model.rating(mu=skill.mu, sigma=skill.sigma)] for skill in before.values()]
    rated = model.rate(teams, ranks=[place[score] for score in finite])
    for key, (rating,) in zip(before, rated, strict=True):
        new[key] = Skill(float(rating.mu), float(rating.sigma))
    return new


def _most_likely(wins: Floats) -> Floats:
    """Log-strengths (n,) of mean 0 from wins (n, n) of row over column, every pair's above 0: damped Newton.

    The likelihood is concave, and steps are halved until they gain, so that it converges from 0 whatever the games.
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.special import expit

    n = len(wins)
    wins = wins / wins.max()
    games = wins + wins.T
    strengths = np.zeros(n)

    def cost(s: Floats) -> float:
        return float((wins * np.logaddexp(0.0, s[None] - s[:, None])).sum())

    now = cost(strengths)
    for _ in range(_MOST_STEPS):
        upset = expit(strengths[None] - strengths[:, None])
        gradient = (wins * upset).sum(axis=0) - (wins * upset).sum(axis=1)
        curvature = games * upset * upset.T
        hessian = np.diag(curvature.sum(axis=1)) - curvature
        scale = np.trace(hessian) / n
        # the sum of all strengths is free, and pairs far apart bear next to nothing: both would be singular
        step = -cho_solve(cho_factor(hessian + scale / n + 1e-12 * scale * np.eye(n)), gradient)
        part = 1.0
        while (new := cost(strengths + part * step)) > now and part > 1e-9:
            part /= 2
        strengths, now = strengths + part * step, new
        if np.abs(step).max() < 1e-9 * (1.0 + np.abs(strengths).max()):
            break
    return np.asarray(strengths - strengths.mean())


def _different(one: Hashable, other: Hashable) -> None:
    if one == other:
        raise ValueError(f"{str(one)[:60]} plays against itself")


def _skill(key: Hashable, skill: Skill) -> Skill:
    if not (abs(skill.mu) <= 1e6 and 0 < skill.sigma <= 1e6):
        raise ValueError(
            f"{str(key)[:60]} has mu {skill.mu} and sigma {skill.sigma}, expected finite ones, sigma above 0"
        )
    return skill
