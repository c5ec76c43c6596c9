"""From reputers' reports to losses: what the stake says, whom to listen to, and how near each came.

The network's losses are means weighted by stake. Beside them a consensus is sought that listens less to
reputers who stand alone; a reputer's score is its nearness to that consensus.
Source: Allora, x/emissions/keeper/inference_synthesis and x/emissions/module/rewards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subnet.scoring.synthesis_weights import Floats, Params, weighted_mean

GRADIENT_STEP = 0.001


@dataclass(frozen=True, slots=True)
class Reputation:
    """What :func:`reputers` returns; (R,) each, NaN for reputers who are not there."""

    scores: Floats
    """1 / (distance to the consensus + 0.01), the distance relative to the consensus' own length."""
    adjusted_stakes: Floats
    """0 to 1: the weights of that consensus."""
    listening: Floats
    """Coefficients for the next epoch, 0 to 1. Scores and adjusted stakes are those of the step before these."""


def stake_weighted(losses: Floats, stakes: Floats) -> Floats:
    """The mean of (R, D) log10 losses weighted by (R,) stakes, (D,): a reputer counts where it reported."""
    return weighted_mean(losses.T, stakes)


def reputers(losses: Floats, stakes: Floats, listening: Floats, params: Params) -> Reputation:
    """The reputers' scores, and whom to listen to next.

    ``losses``: (R, D) log10, all that each reputer reports, NaN for what it left out. ``stakes``: (R,), any unit,
    NaN or 0 for a reputer who is not there. ``listening``: (R,) coefficients as stored; 1 for new reputers.
    """
    there = (np.nan_to_num(stakes) > 0) & np.isfinite(losses).any(axis=1)
    known = np.isfinite(losses).any(axis=0)
    scores, adjusted, new = (np.full(len(stakes), np.nan) for _ in range(3))
    if there.any():
        seen = _Reports(losses[there][:, known], stakes[there], params)
        scores[there], adjusted[there], new[there] = _ascend(seen, listening[there], params)
    return Reputation(scores, adjusted, np.where(there, new, listening))


@dataclass(frozen=True, slots=True)
class _Reports:
    """The reports of the reputers who are there, each column known to one of them at least."""

    losses: Floats
    stakes: Floats
    params: Params

    def scores(self, listening: Floats) -> tuple[Floats, Floats]:
        """Scores and adjusted stakes under these coefficients, (R,) each."""
        heard = listening * self.stakes
        total = heard.sum()
        if total <= 0:  # nobody is listened to: all alike
            heard, total = self.stakes, self.stakes.sum()
        adjusted = np.minimum(len(heard) * heard / total, 1.0)
        consensus = stake_weighted(self.losses, adjusted)
        consensus = np.where(np.isnan(consensus), stake_weighted(self.losses, self.stakes), consensus)
        away = self.losses - consensus
        farthest = np.nanmax(np.abs(away), axis=0)
        distance = np.sqrt((np.where(np.isnan(away), farthest, away) ** 2).sum(axis=1))
        length = np.sqrt((consensus**2).sum()) or self.params.epsilon_safe_div
        return 1.0 / (distance / length + self.params.epsilon_reputer), adjusted

    def gradient(self, listening: Floats) -> Floats:
        """How much, relatively, the stake's mean score gains with each coefficient, (R,)."""
        now = self.stakes @ self.scores(listening)[0]
        gradient = np.empty(len(listening))
        for reputer, coefficient in enumerate(listening):
            step = -GRADIENT_STEP if coefficient == 1.0 else GRADIENT_STEP
            moved = listening.copy()
            moved[reputer] += step
            gradient[reputer] = (1.0 - now / (self.stakes @ self.scores(moved)[0])) / step
        return gradient

    def listened(self, listening: Floats) -> float:
        """The share of stake that is listened to."""
        return float(listening @ self.stakes / self.stakes.sum())


def _ascend(reports: _Reports, listening: Floats, params: Params) -> tuple[Floats, Floats, Floats]:
    """Numerical ascent: scores and adjusted stakes of the last step but one, and the last coefficients.

    A step that would listen to less than the smallest share of stake is shortened to end at it; where the share
    does not move at all the ascent is over.
    """
    scores, adjusted = reports.scores(listening)
    rounds = params.gradient_descent_max_iters if len(listening) > 1 else 0  # a lone reputer is the consensus
    for _ in range(rounds):
        scores, adjusted = reports.scores(listening)
        new = np.clip(listening + params.learning_rate * reports.gradient(listening), 0.0, 1.0)
        before, after = reports.listened(listening), reports.listened(new)
        if after < params.min_stake_fraction:
            if after == before:
                break
            shortened = listening + (new - listening) * (params.min_stake_fraction - before) / (after - before)
            new = np.clip(shortened, 0.0, 1.0)
        moved = np.abs(new - listening).max() / params.learning_rate
        listening = new
        if moved < params.max_gradient_threshold:
            break
    return scores, adjusted, listening
