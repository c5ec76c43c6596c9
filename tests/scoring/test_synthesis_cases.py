"""Case files: what is read, what is left out, and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet.scoring.synthesis import Params
from subnet.scoring.synthesis_cases import Case, columns, read_case, run

EPOCHS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "allora_epochs.json").read_text()
)["epochs"]
PREVIOUS, CURRENT = EPOCHS["300"], EPOCHS["301"]
FRACTIONS = [f"{role}_reward_fraction_{i}" for role in ("inferer", "forecaster") for i in range(5)]


def found(previous: Any, current: Any, **more: Any) -> dict[str, Any]:
    document = {"previous": previous, "current": current, **more}
    return columns(run(read_case(json.dumps(document).encode()), Params()))


def without(epoch: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in epoch.items() if name not in names}


def test_before_the_truth_there_are_inferences_only() -> None:
    current = {name: value for name, value in CURRENT.items() if name.startswith(("inference_", "forecasted_loss_"))}
    current = {name: value for name, value in current.items() if not name.startswith("inference_loss_")}
    computed = found(PREVIOUS, current)
    assert computed["network_inference"] == pytest.approx(CURRENT["network_inference"], rel=1e-12)
    assert not [name for name in computed if "loss" in name or "reward" in name]


def test_what_hangs_on_ten_epochs_is_left_out_unless_given() -> None:
    computed = found(PREVIOUS, without(CURRENT, *FRACTIONS))
    assert "reputer_reward_fraction_smooth_0" in computed
    assert "inferer_reward_fraction_smooth_0" not in computed
    assert "inferers_entropy" not in computed
    assert "forecaster_score_ratio" in computed
    assert not [name for name, value in computed.items() if value is None]


def test_the_history_gives_the_scores_that_fractions_hang_on() -> None:
    computed = found(PREVIOUS, without(CURRENT, *FRACTIONS), history=[EPOCHS["302"]])
    scores = np.array(
        [EPOCHS[epoch][f"inferer_score_{number}"] for epoch in ("302", "300", "301") for number in range(5)]
    )
    now = scores[-5:] / (scores.std(ddof=1) + 0.01)
    mapped = np.log1p(np.exp(3 * (now - 0.75)))
    assert [computed[f"inferer_reward_fraction_{number}"] for number in range(5)] == pytest.approx(
        mapped / mapped.sum()
    )
    assert "inferers_reward_fraction" in computed


def test_a_topics_first_epoch_has_no_previous() -> None:
    computed = found(None, without(CURRENT, *FRACTIONS))
    assert computed["network_inference"] == pytest.approx(np.mean([CURRENT[f"inference_{i}"] for i in range(5)]))
    assert computed["inferer_reward_fraction_0"] >= 0
    again = found(computed, without(CURRENT, *FRACTIONS), history=[])
    assert again["network_inference"] != computed["network_inference"]


def test_without_topic_rewards_shares_only() -> None:
    computed = found(PREVIOUS, without(CURRENT, "topic_rewards"))
    assert "inferers_reward_fraction" in computed
    assert "inferer_reward_0" not in computed


def test_null_is_absent() -> None:
    """A worker who sent nothing, and reputers who say nothing of it."""
    absent = dict.fromkeys([name for name in CURRENT if name.startswith("reputer_") and "inference_3" in name])
    absent |= {"inference_3": None, "reputer_4_loss_inference_0": None, "inferer_reward_fraction_3": None}
    computed = found(PREVIOUS, CURRENT | absent | {"network_loss_oneout_3": None})
    assert computed["inference_loss_3"] is None
    assert computed["network_inference_oneout_3"] is None
    assert computed["inference_regret_worker_3"] == PREVIOUS["inference_regret_worker_3"]
    assert computed["inferer_reward_fraction_smooth_3"] == PREVIOUS["inferer_reward_fraction_smooth_3"]
    assert computed["inference_loss_0"] != CURRENT["inference_loss_0"]


def test_a_worker_new_to_the_topic_has_null_regrets() -> None:
    new = dict.fromkeys(
        name for name in PREVIOUS if "regret_worker_2" in name or name.endswith(("oneout_2", "smooth_2"))
    )
    computed = found(PREVIOUS | new, CURRENT)
    assert all(value is not None for value in computed.values())
    assert computed["network_inference"] != CURRENT["network_inference"]


def test_inferers_alone_make_a_topic() -> None:
    first = found(None, {"inference_0": 1.0})
    assert first["network_inference"] == 1.0
    assert first["network_inference_oneout_0"] is None
    report = {
        f"reputer_0_loss_{name}": -2.0 for name in ("network_inference", "naive_network_inference", "inference_0")
    }
    epoch = {"inference_0": 2.0, "reputer_stake_0": 5, "reputer_0_loss_network_inference_oneout_0": None} | report
    second = found(None, epoch)
    assert second["inferers_reward_fraction"] + second["reputers_reward_fraction"] == pytest.approx(1)
    third = found(second, epoch, history=[])
    assert third["network_inference"] == 2.0


@pytest.mark.parametrize("name", ["inference_regret_worker_6_oneout_2", "network_loss", "forecaster_score_ratio"])
def test_a_column_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"`\$\.previous` has no {name}; null"):
        found(without(PREVIOUS, name), CURRENT)


def test_of_many_missing_some_are_named() -> None:
    names = [f"reputer_2_loss_inference_{number}" for number in range(5)]
    with pytest.raises(ValueError, match=r"has no reputer_2_loss_inference_0, \S+_1, \S+_2 and 2 more; null"):
        found(PREVIOUS, without(CURRENT, *names))


@pytest.mark.parametrize(
    ("current", "message"),
    [
        ({}, "0 inferers, expected 1 to 32"),
        ({f"inference_{i}": 0.0 for i in range(33)}, "33 inferers"),
        ({"inference_999999999999": 0.0}, "inferers, expected 1 to 32"),
        ({"inference_0": 0.0, "forecasted_loss_6_for_0": 0.0}, "7 forecasters"),
        ({"inference_0": 0.0, "reputer_stake_6": 1.0}, "7 reputers"),
        ({"inference_1": 0.0}, "has no inference_0"),
        ({"inference_0": None}, "no inference"),
        ({"inference_0": 0.0, "forecasted_loss_1_for_0": 0.0}, "forecasted_loss_0_for_0"),
    ],
)
def test_numbers_of_workers_are_bounded_first(current: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        found(None, current)


def test_workers_cannot_vanish_by_being_left_out() -> None:
    current = without(CURRENT, "inference_4", *(f"forecasted_loss_{k}_for_4" for k in range(3)))
    with pytest.raises(ValueError, match="null in"):
        found(PREVIOUS, current)


@pytest.mark.parametrize(("name", "value"), [("reputer_stake_1", -1.0)])
def test_no_stake_is_negative(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="negative"):
        found(PREVIOUS, CURRENT | {name: value})


def test_listening_lies_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="listening"):
        found(PREVIOUS | {"reputer_listening_coefficient_1": 1.5}, CURRENT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"previous": null}',
        '{"previous": null, "current": {"inference_0": "1"}}',
        '{"previous": null, "current": {"inference_0": NaN}}',
        '{"previous": null, "current": {"inference_0": 1e999}}',
        '{"previous": null, "current": {"inference_0": 2e100}}',
        '{"previous": null, "current": {"inference_0": 1}, "history": [{"inferer_score_0": -2e100}]}',
        '{"previous": null, "current": {"inference_0": 1}, "more": 1}',
        '{"previous": null, "current": {"inference_0": 1}, "history": [' + ",".join(["{}"] * 9) + "]}",
        '{"previous": ' + "[" * 5000,
    ],
)
def test_broken_documents_are_told(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_case(text.encode())


def test_the_largest_topic_is_computed() -> None:
    rng = np.random.default_rng(0)
    current: dict[str, Any] = {f"inference_{i}": rng.normal() for i in range(32)}
    current |= {f"forecasted_loss_{k}_for_{i}": rng.normal() for k in range(6) for i in range(32)}
    result = run(Case(previous=None, current=current), Params())
    assert len(columns(result)) == 6 * 32 * 2 + 6 + 1 + 1 + 38 + 6 + 5
