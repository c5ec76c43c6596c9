"""Epochs of the Allora chain's own tests: every column that follows from the one before, to 1e-10."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet.scoring.synthesis import Outcome, Params, ValueBundle, learn, synthesise
from subnet.scoring.synthesis_cases import REPORTS, Case, Result, columns, read_case, run
from subnet.scoring.synthesis_state import bundle_shapes
from subnet.scoring.synthesis_weights import potential

EPOCHS: dict[str, dict[str, float]] = json.loads(
    (Path(__file__).parent.parent / "data" / "allora_epochs.json").read_text()
)["epochs"]
PAIRS = [("300", "301"), ("301", "302")]
INPUTS = re.compile(
    r"target|topic_rewards|inference_\d+|forecasted_loss_\d+_for_\d+|reputer_stake_\d+|reputer_\d+_loss_.*"
    r"|(inferer|forecaster)_reward_fraction_\d+"
)
"""What nothing in two epochs tells: what was sent, the topic's reward, and shares that hang on ten epochs."""


def case(previous: str, current: str) -> Case:
    document = {"previous": EPOCHS[previous], "current": EPOCHS[current]}
    return read_case(json.dumps(document).encode())


def assert_golden(found: dict[str, Any], current: str) -> None:
    off = {name: abs(value / EPOCHS[current][name] - 1) for name, value in found.items()}
    worst = max(off, key=lambda name: off[name])
    assert off[worst] <= 1e-10, f"{worst} is {found[worst]}, expected {EPOCHS[current][worst]}"


@pytest.mark.parametrize(("previous", "current"), PAIRS)
def test_every_column_that_follows_is_golden(previous: str, current: str) -> None:
    found = columns(run(case(previous, current), Params()))
    assert {name for name in EPOCHS[current] if not INPUTS.fullmatch(name)} == set(found)
    assert len(found) == 245
    assert_golden(found, current)


@pytest.mark.parametrize(("previous", "current"), PAIRS)
def test_nothing_is_read_but_the_inputs(previous: str, current: str) -> None:
    inputs = {name: value for name, value in EPOCHS[current].items() if INPUTS.fullmatch(name)}
    whole = columns(run(case(previous, current), Params()))
    assert columns(run(Case(previous=EPOCHS[previous], current=inputs), Params())) == whole


def test_an_epoch_that_was_computed_is_the_next_ones_state() -> None:
    first = columns(run(case("300", "301"), Params()))
    second = columns(run(Case(previous=first, current=EPOCHS["302"]), Params()))
    assert_golden(second, "302")


def test_the_state_goes_on_without_columns() -> None:
    params = Params()
    state = outcome(run(case("300", "301"), params)).state
    synthesis = synthesise(
        array("302", "inference_{}", 5), array("302", "forecasted_loss_{}_for_{}", 3, 5), state, params
    )
    shapes = bundle_shapes(5, 3)
    reports = ValueBundle(**{field: array("302", name, 5, *shapes[field]) for field, name in REPORTS.items()})
    after = learn(state, synthesis, reports, array("302", "reputer_stake_{}", 5), params)
    assert float(synthesis.inferences.network) == pytest.approx(EPOCHS["302"]["network_inference"], rel=1e-12)
    golden = array("302", "inference_regret_worker_{}_oneout_{}", 8, 8).T
    assert after.state.one_out_regrets == pytest.approx(golden, rel=1e-10)
    assert after.state.listening == pytest.approx(array("302", "reputer_listening_coefficient_{}", 5), rel=1e-10)
    assert len(after.state.inferer_scores) == 2


def array(epoch: str, template: str, *shape: int) -> Any:
    names = [template.format(*index) for index in np.ndindex(*shape)]
    return np.array([EPOCHS[epoch][name] for name in names]).reshape(shape)


def outcome(result: Result) -> Outcome:
    assert result.outcome is not None
    return result.outcome


@pytest.mark.parametrize("epoch", list(EPOCHS))
@pytest.mark.parametrize(("role", "count"), [("inferer", 5), ("forecaster", 3)])
def test_the_reward_fractions_have_the_form_of_the_formula(epoch: str, role: str, count: int) -> None:
    """Their scale needs ten epochs; but one number must explain all of an epoch's."""
    scores, fractions = (
        np.array([EPOCHS[epoch][f"{role}_{what}_{worker}"] for worker in range(count)])
        for what in ("score", "reward_fraction")
    )

    def off(scale: float) -> float:
        mapped = potential(scores / scale)
        return float(np.abs(mapped / mapped.sum() - fractions).max())

    low, high = 0.05, 5.0
    for _ in range(12):
        grid = np.linspace(low, high, 41)
        best = int(np.argmin([off(scale) for scale in grid]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 40)]
    assert off((low + high) / 2) < 1e-9
