"""The epoch against the runtime: its own test vectors (head) and what it really computed (293)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet.scoring.weights import max_upscale_u16
from subnet.scoring.yuma import EpochInput, EpochOutput, EpochParams, Sparse, epoch

DATA = Path(__file__).parent.parent / "data"
PARAMS = EpochParams.__slots__

VECTORS = {
    "StakeWeight": "stake_weight",
    "Active": "active",
    "Rank": "rank",
    "Trust": "trust",
    "Consensus": "consensus",
    "Incentive": "incentive",
    "Dividends": "dividends",
    "ValidatorTrust": "validator_trust",
    "PruningScores": "pruning_scores",
    "ValidatorPermit": "validator_permit",
    "Emission": "emission",
}

# What the float form is off by at most, as observed. One epoch on given state: units of u16, RAO
# of 1,640,009,154. Several epochs on its own state, whose stored bonds may differ by 1 of u16 and
# are carried on: units of u16, shares.
FLOAT_OFF_REAL = {"ValidatorTrust": 1, "PruningScores": 1, "Emission": 3, "Bonds": 1}
FLOAT_OFF_GOLDEN_U16 = 1
FLOAT_OFF_GOLDEN_SHARE = 5e-6


@cache
def load(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def golden_cases() -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in load("yuma_golden.json")["cases"]]


def real_epochs() -> list[Any]:
    cases = load("real_epochs.json")["cases"]
    return [pytest.param(e, id=f"{name}-{i}") for name, epochs in cases.items() for i, e in enumerate(epochs)]


def off(a: Any, b: Any) -> int:
    """The largest difference of two integer arrays."""
    return int(np.abs(np.asarray(a).astype(np.int64) - np.asarray(b).astype(np.int64)).max(initial=0))


# --- the runtime's own tests ---


def run_case(case: dict[str, Any], *, exact: bool) -> Iterator[tuple[dict[str, Any], EpochOutput]]:
    """A case's steps on persistent state: each step's expectations and what came out."""
    params = EpochParams(**{name: case["params"][name] for name in PARAMS})
    stake, permit = case["stake"], case["initial_validator_permit"]
    weights: dict[int, list[tuple[int, int]]] = {}
    bonds = Sparse.of({})
    for step in case["steps"]:
        stake, permit = step.get("stake", stake), step.get("validator_permit", permit)
        for uid, row in step["weights"].items():
            values = max_upscale_u16([value for _, value in row])
            weights[int(uid)] = [(column, value) for (column, _), value in zip(row, values, strict=True)]
        for uid in step.get("clear_bonds_of", []):
            bonds = bonds.where(bonds.row != uid)
        if "reset_bonds_of" in step:
            bonds = bonds.where(bonds.column != step["reset_bonds_of"])
        for _ in range(step.get("repeat", 1)):
            state = EpochInput(
                block=step["block"],
                stake=np.array(stake),
                weights=Sparse.of(weights),
                bonds=bonds,
                last_update=np.array(step["last_update"]),
                block_at_registration=np.array(step["block_at_registration"]),
                validator_permit=np.array(permit),
                rao_emission=case["params"]["rao_emission"],
            )
            out = epoch(state, params, "head", exact=exact)
            bonds, permit = out.bonds, out.validator_permit.tolist()
        yield step["expect"], out


def check_step(expect: dict[str, Any], out: EpochOutput, case: dict[str, Any], *, exact: bool) -> None:
    tolerance = case.get("tolerance", {})
    one = 0 if exact else FLOAT_OFF_GOLDEN_U16
    n = case["n"]
    bonds = out.bonds.dense(n)
    permits = out.validator_permit

    def vector(name: str) -> Callable[[Any], None]:
        return lambda want: _within(off(want, getattr(out, VECTORS[name])), one, name)

    checks: dict[str, Callable[[Any], None]] = {
        **{name: vector(name) for name in ("Consensus", "Incentive", "Dividends", "Rank", "Trust")},
        "Active": lambda want: _within(off(want, out.active), 0, "Active"),
        "ValidatorPermit": lambda want: _within(off(want, permits), 0, "ValidatorPermit"),
        "Emission": lambda want: _within(
            off(want, out.emission),
            tolerance.get("Emission", 0) if exact else round(FLOAT_OFF_GOLDEN_SHARE * 1e9),
            "Emission",
        ),
        "Bonds_cells": lambda want: _within(max(off(bonds[i, j], value) for i, j, value in want), one, "Bonds_cells"),
        "Dividends_cells": lambda want: _within(
            max(off(out.dividends[i], value) for i, value in want), one, "Dividends_cells"
        ),
        "Dividends_float": lambda want: np.testing.assert_allclose(
            out.floats.dividends, want, atol=tolerance["Dividends_float"] if exact else FLOAT_OFF_GOLDEN_SHARE
        ),
        "Dividends_proportion": lambda want: np.testing.assert_allclose(
            out.dividends / 65535, want, atol=tolerance["Dividends_proportion"]
        ),
        "Bonds_proportion": lambda want: np.testing.assert_allclose(
            bonds[:3, 3:] / 65535, want, atol=tolerance["Bonds_proportion"]
        ),
        "server_emission_equal": lambda want: _within(int(np.ptp(out.server_emission[want])), 0, "servers"),
        "major_uids": lambda want: None,
        "major_emission_share_at_least": lambda want: _at_least(
            out.emission[expect["major_uids"]].sum() / out.emission.sum(), want
        ),
    }
    for name, want in expect.items():
        checks[name](want)


def _within(found: int, bound: int, name: str) -> None:
    assert found <= bound, f"{name} is off by {found}, allowed {bound}"


def _at_least(found: float, want: float) -> None:
    assert found >= want


@pytest.mark.parametrize("exact", [False, True], ids=["float", "exact"])
@pytest.mark.parametrize("case", golden_cases())
def test_golden(case: dict[str, Any], exact: bool) -> None:
    steps = 0
    for expect, out in run_case(case, exact=exact):
        check_step(expect, out, case, exact=exact)
        steps += 1
    assert steps == len(case["steps"])


# --- what the real runtime, 293, computed ---


def state_of(given: dict[str, Any]) -> EpochInput:
    return EpochInput(
        block=given["block"],
        stake=np.array(given["total_stake"]),
        weights=sparse_of(given["weights"]),
        bonds=sparse_of(given["bonds"]),
        last_update=np.array(given["last_update"]),
        block_at_registration=np.array(given["block_at_registration"]),
        validator_permit=np.array(given["validator_permit"]),
        rao_emission=given["rao_emission"],
    )


def sparse_of(rows: dict[str, list[tuple[int, int]]]) -> Sparse:
    return Sparse.of({int(uid): row for uid, row in rows.items()})


@pytest.mark.parametrize("exact", [False, True], ids=["float", "exact"])
@pytest.mark.parametrize("case", real_epochs())
def test_real_epoch(case: dict[str, Any], exact: bool) -> None:
    given, want = case["input"], case["output"]
    params = EpochParams(**{name: given[name] for name in PARAMS})
    out = epoch(state_of(given), params, "293", exact=exact)
    allowed = {} if exact else FLOAT_OFF_REAL
    for name, field in VECTORS.items():
        _within(off(want[name], getattr(out, field)), allowed.get(name, 0), name)
    bonds, n = sparse_of(want["Bonds"]), given["n"]
    _within(off(bonds.dense(n), out.bonds.dense(n)), allowed.get("Bonds", 0), "Bonds")
    if exact:
        assert out.bonds.rows() == bonds.rows()


def test_emission_of_a_real_epoch_is_split_between_servers_and_validators() -> None:
    given = load("real_epochs.json")["cases"]["yuma3_8x16"][1]["input"]
    params = EpochParams(**{name: given[name] for name in PARAMS})
    out = epoch(state_of(given), params, "293", exact=True)
    assert out.server_emission[:8].sum() == out.validator_emission[8:].sum() == 0
    for paid in (out.server_emission, out.validator_emission):
        assert given["rao_emission"] // 2 - int(paid.sum()) in range(20)


def test_all_golden_cases_are_there() -> None:
    assert len(load("yuma_golden.json")["cases"]) == 26
    assert sum(len(epochs) for epochs in load("real_epochs.json")["cases"].values()) == 24
