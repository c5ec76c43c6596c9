"""What miners are asked in the lab, and how skill turns into answers. All arrays are float32.

A task draws truths, lets a miner of a given skill attempt them, and says what an answer is worth. ``skill`` is in
0..1. Two kinds are here; anything with these four methods will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Answers = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


class Task(Protocol):
    """Questions with a true answer that is one number."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Answers:
        """True answers."""

    def attempt(self, rng: np.random.Generator, truth: Answers, skill: Floats) -> Answers:
        """(V, m, K): what m miners of ``skill`` (m,) answer where ``truth`` is (V, K)."""

    def guess(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Answers:
        """Answers of somebody who did not look at the question."""

    def worth(self, answers: Answers, truth: Answers) -> Answers:
        """How good each answer is, 0..1; ``truth`` broadcasts against ``answers``. NaN in, NaN out."""


@dataclass(frozen=True)
class Numbers:
    """A number to be estimated: truth is N(0, 1), an attempt misses by N(0, noise * (1 - skill))."""

    noise: float = 1.0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Answers:
        return rng.standard_normal(shape, dtype=np.float32)

    def attempt(self, rng: np.random.Generator, truth: Answers, skill: Floats) -> Answers:
        answers = rng.standard_normal((truth.shape[0], skill.size, truth.shape[1]), dtype=np.float32)
        answers *= (self.noise * (1.0 - skill)).astype(np.float32)[:, None]
        answers += truth[:, None, :]
        return answers

    def guess(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Answers:
        return self.draw(rng, shape)

    def worth(self, answers: Answers, truth: Answers) -> Answers:
        error = answers - truth
        np.abs(error, out=error)
        np.negative(error, out=error)
        return np.asarray(np.exp(error, out=error))


@dataclass(frozen=True)
class Labels:
    """One of ``classes`` labels: right with probability ``skill``, else any other label."""

    classes: int = 10

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ValueError("classes must be at least 2")

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Answers:
        return rng.integers(self.classes, size=shape).astype(np.float32)

    def attempt(self, rng: np.random.Generator, truth: Answers, skill: Floats) -> Answers:
        shape = (truth.shape[0], skill.size, truth.shape[1])
        wrong = rng.random(shape, dtype=np.float32) >= skill[:, None]
        shift = rng.integers(1, self.classes, size=shape)
        return np.asarray((truth[:, None, :] + wrong * shift) % self.classes, dtype=np.float32)

    def guess(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Answers:
        return self.draw(rng, shape)

    def worth(self, answers: Answers, truth: Answers) -> Answers:
        right = (answers == truth).astype(np.float32)
        right[np.isnan(answers)] = np.nan
        return np.asarray(right)
