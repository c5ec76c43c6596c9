"""The text subnet's rule, on distributions made here: no torch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.examples.text.judge import (
    CANNED,
    IMPOSSIBLE,
    TARGET,
    TOLERANCE,
    Evidence,
    evidence,
    likeness,
    originality,
    score,
    z_score,
)

VOCABULARY, TOKENS = 40, 256


def model(seed: int, temperature: float = 1.0) -> np.ndarray:
    """Distributions before TOKENS tokens, as a sharp model's: log probabilities."""
    logits = np.random.default_rng(seed).normal(0, 2, (TOKENS, VOCABULARY)) / temperature
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def drawn(log_probabilities: np.ndarray, seed: int) -> list[int]:
    random = np.random.default_rng(seed)
    return [int(random.choice(VOCABULARY, p=np.exp(row) / np.exp(row).sum())) for row in log_probabilities]


def z_of(reference: np.ndarray, tokens: list[int]) -> float:
    return z_score([evidence(reference, tokens)])


def test_text_drawn_from_the_model_is_a_standard_normal_away() -> None:
    found = np.array([z_of(model(seed), drawn(model(seed), 1000 + seed)) for seed in range(200)])
    assert abs(found.mean()) < 4 / np.sqrt(200)
    assert 0.8 < found.std() < 1.2
    assert np.mean([likeness(z) for z in found]) > 0.95


def test_a_flatter_model_and_a_greedy_one_are_found_out_on_their_sides() -> None:
    for seed in range(20):
        reference = model(seed)
        assert z_of(reference, drawn(model(seed, temperature=2.0), seed)) > 5
        assert z_of(reference, [int(row.argmax()) for row in reference]) < -5
        assert likeness(z_of(reference, drawn(model(999), seed))) < 1e-6  # the text of another prompt


def test_what_can_not_have_been_drawn_is_worth_nothing_not_next_to_nothing() -> None:
    assert likeness(TOLERANCE) == likeness(-TOLERANCE) == 1
    assert 0 < likeness(TOLERANCE + IMPOSSIBLE - 0.01) < 1e-3
    assert likeness(TOLERANCE + IMPOSSIBLE) == likeness(-17.0) == 0  # alone on the subnet it would earn all


def test_evidence_is_entropy_and_its_variance() -> None:
    odds = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    with np.errstate(divide="ignore"):
        found = evidence(np.log(odds), [0, 0])
    ln2 = np.log(2)
    assert found == Evidence(2, pytest.approx(ln2), pytest.approx(1.5 * ln2), pytest.approx(0.25 * ln2**2))
    with np.errstate(divide="ignore"):
        never = evidence(np.log(odds), [0, 1])
    assert np.isfinite(never.surprise)
    assert never.surprise > 50
    with pytest.raises(ValueError, match="3 tokens"):
        evidence(np.log(odds[:1]), [0, 0, 0])


def test_certainty_is_no_evidence_unless_it_is_contradicted() -> None:
    assert z_score([]) == 0
    assert z_score([Evidence(1, 0.0, 0.0, 0.0)]) == 0
    assert likeness(z_score([Evidence(1, 50.0, 0.0, 0.0)])) == 0


def test_the_same_text_after_different_prompts_is_canned() -> None:
    fine = "the very same fine text, and so on"
    assert originality(["a", "b", "c", "d"], [fine, fine + "!", fine, "another"]) == 0.25
    assert originality(["a", "a"], [fine, fine]) == 1  # the same question may be answered the same
    assert originality(["a", "b"], ["x" * CANNED + "1", "y" * CANNED]) == 1
    assert originality([], []) == 0


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 500), st.integers(0, 300), st.floats(0, 1e6))
def test_a_score_is_never_outside_0_to_1(likely: float, original: float, tokens: int, asked: int, time: float) -> None:
    assert 0 <= score(likely, original, tokens, asked, time) <= 1


def test_speed_and_wholeness_count() -> None:
    assert score(1, 1, 100, 100, 100 / TARGET) == pytest.approx(1)
    assert score(1, 1, 100, 100, 200 / TARGET) == pytest.approx(0.5)
    assert score(1, 1, 50, 100, 1e-3) == pytest.approx(0.25)
    assert score(1, 1, 0, 100, 0.1) == 0
    assert score(1, 0.5, 100, 100, 0.1) == pytest.approx(0.125)
