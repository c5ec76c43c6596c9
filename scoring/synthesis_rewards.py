"""From losses to who is paid what: scores, reward fractions, entropy, and the split among the three tasks.

Source: Allora, x/emissions/module/rewards. NaN stands for a worker who was not there, and passes through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subnet.scoring.entropy import effective_number, entropy
from subnet.scoring.synthesis_state import ValueBundle
from subnet.scoring.synthesis_weights import Floats, Params, potential


@dataclass(frozen=True, slots=True)
class Split:
    """How an epoch's reward is shared among the tasks: shares of the whole, summing to 1."""

    task_score: float
    """log10: the loss without forecasters less the loss with them."""
    score_ratio: float
    """tau: its moving average against the best inferer's score."""
    utility: float
    """chi, 0.1 to 0.5: how much of the workers' share leans to the forecasters."""
    inferers: float
    forecasters: float
    reputers: float


def worker_scores(losses: ValueBundle) -> tuple[Floats, Floats]:
    """What each worker's absence would cost, log10: (I,) of the inferers, (F,) of the forecasters.

    A forecaster's is mixed of the loss with it alone and the loss without it: among many who know the same,
    nobody is missed. Somebody alone at a task scores 0.
    """
    inferers = len(losses.inferers)
    missed = losses.one_out - losses.network
    alone = losses.naive - losses.one_in
    unique = 2.0 ** -(np.isfinite(losses.forecasters).sum() - 1.0)
    return (
        _alone_to_zero(missed[:inferers], losses.inferers),
        _alone_to_zero(unique * alone + (1 - unique) * missed[inferers:], losses.forecasters),
    )


def _alone_to_zero(scores: Floats, losses: Floats) -> Floats:
    there = np.isfinite(losses)
    return np.where(there, 0.0 if there.sum() == 1 else scores, np.nan)


def worker_fractions(scores: Floats, recent: Floats, p: float, params: Params) -> Floats:
    """u, shares of the task's reward: phi(T / (sigma + epsilon)) over their sum, (n,).

    ``recent``: (T, n), the scores of the last ten epochs, this one's among them; sigma is their standard deviation
    (ddof 1). Where they hardly differ everybody has the same.
    """
    there = np.isfinite(scores)
    known = recent[np.isfinite(recent)]
    sigma = known.std(ddof=1) if len(known) > 1 else 0.0
    if sigma < params.epsilon:
        mapped = np.where(there, 1.0, np.nan)
    else:
        mapped = potential(scores / (sigma + params.epsilon), p, params.c_reward)
    return _shares(mapped)


def reputer_fractions(stakes: Floats, scores: Floats, params: Params) -> Floats:
    """Shares of the reputers' reward, (R,): (stake x score)^p over their sum."""
    product = stakes * scores
    top = np.nanmax(product, initial=0.0)  # a power of stakes in the chain's units could overflow
    return _shares((product / top) ** params.p_reward_reputer) if top > 0 else np.full(len(product), np.nan)


def _shares(values: Floats) -> Floats:
    """Over their sum; alike where all are 0."""
    total = np.nansum(values)
    return values / total if total > 0 else values * 0.0 + 1.0 / max(np.isfinite(values).sum(), 1)


def smooth(fractions: Floats, previous: Floats, alpha: float) -> Floats:
    """Moving average of reward fractions, summing to 1 over those there; who begins takes the first for the average.

    Those who are not there keep what they had.
    """
    average = np.where(np.isnan(previous), fractions, alpha * fractions + (1 - alpha) * previous)
    return np.where(np.isnan(fractions), previous, _shares(average))


def task_entropy(fractions: Floats, params: Params) -> float:
    """How evenly a task is done by many: -sum f ln f x (N_eff / N)^beta, N_eff = 1 / sum f^2, over those there.

    It gives a task weight, and splitting oneself in two adds less than it seems. One participant has a fixed
    small value; NaN where there is nobody.
    """
    f = fractions[np.isfinite(fractions)]
    if len(f) < 2:
        return params.entropy_single_participant if len(f) else float("nan")
    return float(entropy(f) * (effective_number(f, order=2) / len(f)) ** params.beta_entropy)


def split(
    losses: ValueBundle,
    scores: Floats,
    entropies: tuple[float, float, float],
    previous_ratio: float,
    params: Params,
) -> Split:
    """The tasks' shares of the reward.

    ``scores``: the inferers', (I,). ``entropies``: of inferers, forecasters and reputers; NaN, of a task that
    nobody did or that has no scores, counts as 0. ``previous_ratio``: tau before.
    """
    task_score = float(losses.naive - losses.network)
    ratio = _score_ratio(task_score, scores, previous_ratio, params.task_reward_alpha)
    chi = 0.1 if ratio < 0 else 0.5 if ratio >= 1 else 0.4 * ratio + 0.1
    f, g, h = (0.0 if np.isnan(value) else value for value in entropies)
    total = f + g + h
    if f + g == 0:  # no scores, or one worker of many had all: nothing to share by
        return Split(task_score, ratio, chi, 0.0 if total else 1.0, 0.0, h / total if total else 0.0)
    gamma = (f + g) / ((1 - chi) * f + chi * g)
    return Split(task_score, ratio, chi, (1 - chi) * gamma * f / total, chi * gamma * g / total, h / total)


def _score_ratio(task_score: float, scores: Floats, previous: float, alpha: float) -> float:
    known = scores[np.isfinite(scores)]
    if not len(known) or np.isnan(task_score):
        return previous
    best = float(known.max())
    against = abs(best) or abs(task_score)
    ratio = (task_score - min(0.0, best)) / against if against else 0.0
    return alpha * ratio + (1 - alpha) * previous
