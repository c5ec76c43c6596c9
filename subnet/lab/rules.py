"""Scoring rules: what a subnet designer brings into the lab.

A rule is called once an epoch with a :class:`Round`, all that the validators saw, and returns scores (V, M), the higher
the better. It is a plain function, or an object that may remember things between epochs; a class is made anew for
each run. An object may also bring ``move(moving, scores)`` and ``weigh(moving)``, as a Validator does, to replace the
moving average and the proportional weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.errors import DeclarationError
from subnet.lab.tasks import Answers, Floats, Task
from subnet.loading import find

_SHAPE = (
    "Return one number for each validator and miner, shape (validators, miners): reduce only round.answers' last axis."
)


@dataclass(frozen=True, eq=False)
class Round:
    """One epoch as V validators saw it: each asked all M miners its own K questions.

    ``answers`` (V, M, K) float32, NaN where none came in time; ``truth`` (V, K) float32; ``elapsed`` (V, M) float32,
    seconds to the answer, infinite where none came within ``timeout``: a copy comes after what it copies.
    ``age`` (M,) int64: epochs since the miner registered.
    """

    epoch: int
    answers: Answers
    truth: Answers
    elapsed: Answers
    timeout: float
    age: npt.NDArray[np.int64]
    task: Task

    @property
    def errors(self) -> Answers:
        """``answers`` less ``truth``, (V, M, K)."""
        return self.answers - self.truth[:, None, :]


Rule = Callable[[Round], Any]


def accuracy(seen: Round) -> Floats:
    """The default rule: the mean worth of a miner's answers, (V, M); no answer is worth 0."""
    worth = seen.task.worth(seen.answers, seen.truth[:, None, :])
    if np.isnan(worth.min(initial=0.0)):
        worth = np.nan_to_num(worth, copy=False)
    # a product with ones: a reduction over a short last axis is several times slower
    return np.asarray(worth @ np.full(worth.shape[2], 1 / worth.shape[2], dtype=np.float32), dtype=np.float64)


def load_rule(target: str) -> Rule:
    """The rule that ``module:name`` names, a function or class. Raises ConfigError or DeclarationError."""
    rule = find(target, "rules:score")
    if not callable(rule):
        raise DeclarationError(f"{target} can't be called", remedy="A rule is a function, or a class with __call__.")
    return rule  # type: ignore[no-any-return]


def fresh(rule: Any) -> Any:
    """The rule for one run: a class is instantiated, an object with state is copied, a function is itself."""
    import copy

    if isinstance(rule, type):
        try:
            return rule()
        except TypeError as error:
            raise DeclarationError(
                f"the rule {rule.__name__} can't be made without arguments: {error}",
                remedy="Give __init__ no required parameters.",
            ) from error
    return copy.deepcopy(rule)


def scored(rule: Rule, seen: Round) -> Floats:
    """What ``rule`` says, checked: (V, M) float64. NaN and infinite count as 0, as they do in a Validator.

    Raises DeclarationError for another shape, for what holds no numbers, and for whatever the rule raises.
    """
    name = getattr(rule, "__name__", type(rule).__name__)
    try:
        scores = rule(seen)
    except Exception as error:  # the designer's code may raise anything
        raise failure(f"the rule {name}", seen.epoch, error) from error
    return checked(rule, "__call__", scores, seen.answers.shape[:2])


def failure(name: str, epoch: int, error: Exception) -> DeclarationError:
    """What the designer's code raised, with its place: the traceback itself does not come back from a worker."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f", {frames[-1].filename.rpartition('/')[2]} line {frames[-1].lineno}" if frames else ""
    return DeclarationError(
        f"{name} failed in epoch {epoch}{place}: {type(error).__name__}: {error}",
        remedy="docs/how-to/attack-your-subnet.md shows what it is called with and returns.",
    )


def checked(rule: Any, method: str, given: Any, wanted: tuple[int, ...]) -> Floats:
    """What a rule's method returned, as float64 of shape ``wanted``, NaN and infinite as 0; else DeclarationError."""
    name = getattr(rule, "__name__", type(rule).__name__) + ("" if method == "__call__" else f".{method}")
    try:
        scores = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DeclarationError(f"the rule {name} returned no numbers: {error}", remedy=_SHAPE) from error
    if scores.shape != wanted:
        raise DeclarationError(f"the rule {name} returned shape {scores.shape}, expected {wanted}", remedy=_SHAPE)
    return np.where(np.isfinite(scores), scores, 0.0)
