"""The text subnet's scoring rule: was it drawn from the subnet's model, and how fast?

A miner is asked for text that is *drawn* from the model, so that its likelihood is known beforehand, not only that it
should be high. Where the reference gives the next token the distribution p, a drawn token's surprise ``-ln p(token)``
has the mean H(p) (the entropy) and a variance that follows from p. Summed over all tokens of a round,

    z = (surprise - expected) / sqrt(variance)

is close to a standard normal for whoever ran the model: the differences are martingale increments (Hall and Heyde,
"Martingale Limit Theory and Its Application", 1980). A smaller model's text surprises the reference, z > 0; so does
text that does not follow from the prompt; text that repeats itself or takes the likeliest token each time surprises
too little, z < 0.

All numbers are numpy; nothing here needs torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from subnet.scoring import speed

Floats = npt.NDArray[np.float64]

TOLERANCE: Final = 2.5
"""Standard deviations that cost nothing: one honest round in eighty is further out."""
IMPOSSIBLE: Final = 4.0
"""Standard deviations beyond the tolerance from which on it is worth nothing at all: weights are shares, and while no
honest miner is there, the smallest score above zero would be paid everything."""
TARGET: Final = 40.0
"""Tokens a second that are worth the whole score; a tiny model on one busy core gives some hundreds."""
CANNED: Final = 24
"""Characters of a continuation's beginning that two continuations of different prompts must not share."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the reference makes of one continuation, in nats; the sums over its tokens."""

    tokens: int
    surprise: float
    expected: float
    variance: float


def evidence(log_probabilities: Floats, tokens: Sequence[int]) -> Evidence:
    """From the reference's distribution before each token, (tokens, vocabulary) float64 natural logarithms.

    Raises ValueError for shapes that don't agree.
    """
    if log_probabilities.ndim != 2 or len(log_probabilities) != len(tokens):
        raise ValueError(f"{log_probabilities.shape} log probabilities for {len(tokens)} tokens")
    if not len(tokens):
        return Evidence(0, 0.0, 0.0, 0.0)
    odds = np.exp(log_probabilities)
    cost = -np.where(odds > 0, log_probabilities, 0.0)
    entropy = (odds * cost).sum(axis=1)
    variance = (odds * (cost - entropy[:, None]) ** 2).sum(axis=1)
    drawn = -log_probabilities[np.arange(len(tokens)), np.asarray(tokens, np.intp)]
    # a token that the reference never draws is proof enough; 50 nats keep the sums finite
    return Evidence(len(tokens), float(np.minimum(drawn, 50.0).sum()), float(entropy.sum()), float(variance.sum()))


def z_score(found: Sequence[Evidence]) -> float:
    """How many standard deviations a round's text is from what the model draws; 0 where nothing was uncertain."""
    variance = sum(one.variance for one in found)
    difference = sum(one.surprise - one.expected for one in found)
    if variance < 1e-9:
        return 0.0 if abs(difference) < 1e-6 else float(np.copysign(np.inf, difference))
    return float(difference / np.sqrt(variance))


def likeness(z: float) -> float:
    """1 within TOLERANCE standard deviations, then down as a normal density does: 0.61, 0.14, 0.01 at 1, 2, 3 more;
    0 from IMPOSSIBLE more on."""
    further = max(0.0, abs(z) - TOLERANCE)
    return float(np.exp(-0.5 * further**2)) if further < IMPOSSIBLE else 0.0


def originality(prompts: Sequence[str], continuations: Sequence[str]) -> float:
    """The part of the continuations whose first CANNED characters follow no other prompt: 1 where all differ."""
    if not continuations:
        return 0.0
    begins: dict[str, set[str]] = {}
    for prompt, text in zip(prompts, continuations, strict=True):
        begins.setdefault(text[:CANNED], set()).add(prompt)
    shared = Counter(text[:CANNED] for text in continuations if len(begins[text[:CANNED]]) > 1)
    return 1.0 - shared.total() / len(continuations)


def score(likelihood: float, original: float, tokens: int, asked: int, seconds: float) -> float:
    """A round's worth, 0 to 1, of ``tokens`` where ``asked`` were asked for, in ``seconds`` altogether.

    Text that is short of what was asked loses by its square; text that was said before, by its cube.
    """
    whole = min(1.0, tokens / asked) if asked else 0.0
    quick = float(speed.throughput(tokens, seconds, target=TARGET)) if tokens else 0.0
    return likelihood * original**3 * whole**2 * quick
