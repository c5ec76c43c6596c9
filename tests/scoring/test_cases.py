"""Case files: every real epoch through JSON, and what is no case is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.scoring.cases import MAX_NEURONS, outcome, read_case
from subnet.scoring.yuma import epoch

DATA = Path(__file__).parent.parent / "data"
REAL = json.loads((DATA / "real_epochs.json").read_text())["cases"]
CASE: dict[str, Any] = REAL["yuma3_8x16"][1]["input"]


def read(case: Any) -> Any:
    return read_case(json.dumps(case).encode())


@pytest.mark.parametrize("name", REAL)
def test_a_real_epoch_comes_out_under_its_own_names_and_in_its_own_shapes(name: str) -> None:
    for case in REAL[name]:
        out = outcome(epoch(*read(case["input"]), "293", exact=True))
        assert {key: out[key] for key in case["output"]} == case["output"]
        assert set(out) - set(case["output"]) == {"ServerEmission", "ValidatorEmission"}


def test_a_whole_case_is_taken_for_its_input() -> None:
    whole = {"input": CASE, "output": {}, "model_exact": True}
    assert outcome(epoch(*read(whole))) == outcome(epoch(*read(CASE)))


def test_what_has_a_default_may_be_left_out() -> None:
    few = {
        "n": 2,
        "block": 10,
        "total_stake": [5, 0],
        "weights": {"0": [[1, 65535]]},
        "last_update": [9, 2**64 - 1],
        "block_at_registration": [0, 0],
        "validator_permit": [True, False],
        "rao_emission": 1000,
    }
    out = outcome(epoch(*read(few), exact=True))
    assert out["Incentive"] == [0, 65535]
    assert sum(out["Emission"]) in (999, 1000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 23}, "total_stake"),
        ({"n": MAX_NEURONS + 1}, r"\$\.n"),
        ({"total_stake": [-1] * 24}, r"\$\.total_stake"),
        ({"total_stake": [2**80] * 24}, "stake"),
        ({"weights": {"0": [[1, 65536]]}}, r"\$\.weights"),
        ({"weights": {"x": []}}, "expected a uid"),
        ({"weights": {"1": [], "01": []}}, "twice"),
        ({"weights": {"0": [[1, 2], [1, 3]]}}, r"\$\.weights.*twice"),
        ({"weights": {"99999": [[1, 2]]}}, "outside u16"),
        ({"validator_permit": [True]}, "validator_permit"),
        ({"kappa": 70000}, r"\$\.kappa"),
        ({"bonds_moving_average": 1_000_001}, "bonds_moving_average"),
        ({"kapa": 1}, "kapa"),
        ({"tao_stake": [1]}, "tao_stake"),
        ({"tao_weight": 2**64}, "tao_weight"),
        ({"rao_emission": 2**64}, "rao_emission"),
        ({"total_stake": [2**63] * 24}, "2\\*\\*63"),
    ],
)
def test_what_is_no_case_is_refused_in_words(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(CASE | change)


def test_a_matrix_that_no_memory_holds_is_refused_before_it_is_made() -> None:
    n = MAX_NEURONS
    columns = {"total_stake": [1] * n, "last_update": [9] * n, "block_at_registration": [0] * n}
    wide = {"n": n, "block": 10, "validator_permit": [True] * n, "weights": {str(uid): [[0, 1]] for uid in range(n)}}
    with pytest.raises(ValueError, match="65536 uids have weights or bonds on 65536 neurons"):
        read(wide | columns)


def test_keys_stand_in_any_order_and_root_tao_apart() -> None:
    other = dict(reversed(CASE.items())) | {"tao_stake": [0] * 23 + [10**12], "tao_weight": 2**64 - 1}
    assert outcome(epoch(*read(dict(reversed(CASE.items()))))) == outcome(epoch(*read(CASE)))
    assert outcome(epoch(*read(other)))["StakeWeight"][23] > 0


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"input": 3}'])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_case(data)


@given(
    st.sampled_from(sorted(CASE)),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("0123"), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_any_value_anywhere_is_an_epoch_or_a_value_error(name: str, value: Any) -> None:
    try:
        state, params = read(CASE | {name: value})
    except ValueError:
        return
    for exact in (False, True):
        assert len(outcome(epoch(state, params, "293", exact=exact))["Emission"]) == state.n
