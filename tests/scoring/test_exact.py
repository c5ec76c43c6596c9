"""The exact form against a plain transcription of the runtime, on epochs that no vector covers."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.yuma import EpochInput, EpochOutput, EpochParams, Sparse, Variant, epoch

NEVER = 2**64 - 1
FLOAT_OFF = 1e-6


def _load_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("yuma_reference", Path(__file__).with_name("reference.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = _load_reference()


def random_row(rng: random.Random, n: int) -> list[tuple[int, int]]:
    """A stored row: some uids, often out of order, with zeros, ties and extremes among the values."""
    columns = rng.sample(range(n), rng.randint(0, n))
    if rng.random() < 0.6:
        columns.sort()
    values = [rng.choice((0, 1, 65535, 32768, rng.randint(0, 65535))) for _ in columns]
    return list(zip(columns, values, strict=True))


def random_case(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A subnet's state and parameters, small and odd."""
    rng = random.Random(seed)
    n, block, tempo = rng.randint(1, 9), 1000, rng.choice((0, 1, 10, 100, 2000))
    stakes = (0, 1, 2, 10**9, rng.randint(0, 10**12), rng.randint(0, 2**62))
    low, high = rng.choice(((45875, 58982), (0, 65535), (65535, 65535), (0, 0), (50000, 20000), (1638, 60001)))
    state = {
        "block": block,
        "stake": [rng.choice(stakes) for _ in range(n)],
        "tao_stake": rng.choice((None, [rng.choice((0, 1, 7, rng.randint(0, 10**15))) for _ in range(n)])),
        "tao_weight": rng.choice((0, 1, 2**61, 2**64 - 1, rng.getrandbits(64))),
        "weights": {i: random_row(rng, n) for i in range(n) if rng.random() < 0.8},
        "bonds": {i: random_row(rng, n) for i in range(n + 1) if rng.random() < 0.6},
        "last_update": [rng.choice((block, block - 1, block - 50, 1, 0)) for _ in range(n)],
        "block_at_registration": [rng.choice((0, 0, 0, 1, block - 20, block - 2)) for _ in range(n)],
        "validator_permit": [rng.random() < 0.7 for _ in range(n)],
        "last_step_block": rng.choice((0, block - 1, block - 10)),
        "oldest_commit": rng.choice((None, [rng.choice((NEVER, block - 10)) for _ in range(n)])),
        "rao_emission": rng.choice((0, 1, 820_004_577, 2**63, 2**64 - 1)),
    }
    params = {
        "tempo": tempo,
        "kappa": rng.choice((0, 32767, 65535, 13107, rng.randint(0, 65535))),
        "bonds_penalty": rng.choice((0, 65535, rng.randint(0, 65535))),
        "bonds_moving_average": rng.choice((900_000, 975_000, 0, 1_000_000, rng.randint(0, 10**6))),
        "yuma3": rng.random() < 0.7,
        "liquid_alpha": rng.random() < 0.7,
        "alpha_low": low,
        "alpha_high": high,
        "alpha_sigmoid_steepness": rng.choice((1000, 0, 1, -1000, 4177, 4178, 32767, -32768, rng.randint(-9999, 9999))),
        "max_allowed_validators": rng.choice((0, 1, 3, 64)),
        "activity_cutoff": rng.choice((0, 10, 5000)),
        "stake_threshold": rng.choice((0, 0, 2, 10**9)),
        "owner_uid": rng.choice((None, rng.randrange(n), n + 3)),
    }
    return state, params


def run(state: dict[str, Any], params: dict[str, Any], variant: Variant, *, exact: bool) -> EpochOutput:
    given = {**state, "weights": Sparse.of(state["weights"]), "bonds": Sparse.of(state["bonds"])}
    return epoch(EpochInput(**given), EpochParams(**params), variant, exact=exact)


def as_stored(out: EpochOutput) -> dict[str, Any]:
    plain = {name: value.tolist() for name, value in vars(out).items() if isinstance(value, np.ndarray)}
    return {**plain, "bonds": out.bonds.rows()}


@pytest.mark.parametrize("variant", ["head", "293"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=300)
def test_exact_is_the_runtime_line_by_line(variant: Variant, seed: int) -> None:
    state, params = random_case(seed)
    assert as_stored(run(state, params, variant, exact=True)) == reference.epoch(state, params, variant)


@pytest.mark.parametrize("variant", ["head", "293"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=150)
def test_float_conserves_and_bounds(variant: Variant, seed: int) -> None:
    state, params = random_case(seed)
    out = run(state, params, variant, exact=False)
    exact = run(state, params, variant, exact=True)
    for name in ("stake_weight", "active", "validator_permit"):
        assert (getattr(out, name) == getattr(exact, name)).all()
    assert np.abs(out.floats.consensus - exact.floats.consensus).max() < FLOAT_OFF
    for share in vars(out.floats).values():
        assert np.isfinite(share).all()
        assert share.min() >= 0
        assert share.max() <= 1 + 1e-12
    paid = int(out.emission.sum(dtype=object))
    assert paid <= state["rao_emission"] * (1 + 1e-12)
