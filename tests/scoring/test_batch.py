"""Many epochs at once: each as it comes out alone, and as the chain's own form has it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.batch import CELLS, DenseInput, DenseOutput, epochs
from subnet.scoring.yuma import EpochInput, EpochOutput, EpochParams, Sparse, Variant, epoch

VECTORS = [field.name for field in fields(DenseOutput) if field.name not in ("bonds", "floats")]
BLOCK = 1000


def random_rules(rng: np.random.Generator, n: int) -> EpochParams:
    return EpochParams(
        tempo=int(rng.choice([0, 10, 100])),
        kappa=int(rng.choice([0, 32767, 65535, 20000])),
        bonds_penalty=int(rng.choice([0, 65535, 40000])),
        yuma3=bool(rng.random() < 0.7),
        liquid_alpha=bool(rng.random() < 0.6),
        alpha_sigmoid_steepness=int(rng.choice([1000, 0, -1000, 32767])),
        max_allowed_validators=int(rng.choice([1, 3, 64])),
        activity_cutoff=int(rng.choice([10, 5000])),
        stake_threshold=int(rng.choice([0, 10**9])),
        owner_uid=rng.choice([None, int(rng.integers(n)), n + 1]),
    )


def random_batch(rng: np.random.Generator, lead: tuple[int, ...], n: int, rows: int) -> DenseInput:
    def matrix() -> Any:
        shape = (*lead, rows, n)
        odd = rng.choice([0, 1, 65535, 32768], shape)
        return np.where(rng.random(shape) < 0.5, odd, rng.integers(0, 65536, shape)) * (rng.random(shape) < 0.7)

    return DenseInput(
        stake=rng.choice([0, 1, 10**9, 10**9 + 1, int(rng.integers(2**61))], (*lead, n)),
        weights=matrix().astype(np.uint16),
        bonds=matrix().astype(np.uint16),
        uids=np.sort(rng.choice(n, rows, replace=False)),
        block=BLOCK,
        last_update=rng.choice([BLOCK, BLOCK - 5, BLOCK - 50, 0], (*lead, n)),
        block_at_registration=rng.choice([0, 0, 0, BLOCK - 20, BLOCK], (*lead, n)),
        validator_permit=rng.random((*lead, n)) < 0.7,
        last_step_block=int(rng.choice([0, BLOCK - 10])),
        rao_emission=rng.integers(0, 10**12, lead),
    )


def alone(state: DenseInput, at: tuple[int, ...]) -> DenseInput:
    names = ("stake", "weights", "bonds", "last_update", "block_at_registration", "validator_permit", "rao_emission")
    return replace(state, **{name: getattr(state, name)[at] for name in names})


def as_stored(state: DenseInput) -> EpochInput:
    def sparse(matrix: Any) -> Sparse:
        row, column = np.nonzero(matrix)
        return Sparse(state.uids[row], column, matrix[row, column])

    return EpochInput(
        block=state.block,
        stake=state.stake,
        weights=sparse(state.weights),
        bonds=sparse(state.bonds),
        last_update=state.last_update,
        block_at_registration=state.block_at_registration,
        validator_permit=state.validator_permit,
        last_step_block=state.last_step_block,
        rao_emission=int(state.rao_emission),
    )


def bonds_of(out: EpochOutput, state: DenseInput) -> Any:
    return out.bonds.dense(state.n)[state.uids]


@pytest.mark.parametrize("exact", [False, True], ids=["float", "exact"])
@pytest.mark.parametrize("variant", ["head", "293"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=25)
def test_each_comes_out_as_it_does_alone_and_as_stored(variant: Variant, exact: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    lead = ((3,), (2, 2), (1,))[int(rng.integers(3))]
    rules, state = random_rules(rng, n), random_batch(rng, lead, n, int(rng.integers(0, n + 1)))
    together = epochs(state, rules, variant, exact=exact)
    for at in np.ndindex(*lead):
        one = alone(state, at)
        single, stored = epochs(one, rules, variant, exact=exact), epoch(as_stored(one), rules, variant, exact=exact)
        assert (together.bonds[at] == single.bonds).all()
        off = 0 if exact else 1
        assert np.abs(single.bonds.astype(int) - bonds_of(stored, one)).max(initial=0) <= off
        for name in VECTORS:
            assert (getattr(together, name)[at] == getattr(single, name)).all(), name
            if exact or getattr(single, name).dtype == bool:
                assert (getattr(single, name) == getattr(stored, name)).all(), name
        for name, share in vars(single.floats).items():
            assert (getattr(together.floats, name)[at] == share).all(), name
            np.testing.assert_allclose(share, getattr(stored.floats, name), atol=1e-9)


def test_more_than_is_computed_together_is_cut_and_joined() -> None:
    rng = np.random.default_rng(1)
    state = random_batch(rng, (7,), 400, 100)
    assert state.weights[0].size * 4 > CELLS
    together = epochs(state)
    assert together.incentive.shape == (7, 400)
    assert (together.incentive[6] == epochs(alone(state, (6,))).incentive).all()


def test_bonds_are_carried_on_from_epoch_to_epoch() -> None:
    weights = np.array([[0, 0, 3, 1], [0, 0, 1, 3]], dtype=np.uint16)
    state = DenseInput(stake=np.array([3, 1, 0, 0]) * 10**9, weights=weights, bonds=np.zeros_like(weights))
    rules = EpochParams(yuma3=True)
    grown = []
    for _ in range(3):
        out = epochs(state, rules)
        grown.append(int(out.bonds[0, 2]))
        state = replace(state, bonds=out.bonds)
    # a tenth of what is left of 0.75 each time
    assert grown == [4915, 9338, 13319]
    assert out.validator_permit.tolist() == [True, True, False, False]


def test_what_is_left_out_is_permitted_active_and_old() -> None:
    weights = np.array([[0.0, 0.0, 1.0]])
    out = epochs(DenseInput(stake=np.array([5, 0, 0]), weights=weights, bonds=np.zeros((1, 3), int), rao_emission=10))
    assert out.incentive.tolist() == [0, 0, 65535]
    assert out.dividends.tolist() == [65535, 0, 0]
    assert out.emission.tolist() == [5, 0, 5]
    assert out.active.all()


def test_no_epochs_and_nobody() -> None:
    none = DenseInput(stake=np.zeros((0, 3), int), weights=np.zeros((0, 2, 3), int), bonds=np.zeros((0, 2, 3), int))
    assert epochs(none).incentive.shape == (0, 3)
    nobody = DenseInput(stake=np.zeros(0, int), weights=np.zeros((0, 0), int), bonds=np.zeros((0, 0), int))
    assert epochs(nobody, exact=True).emission.shape == (0,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stake": np.array([1, 2])}, "weights has shape"),
        ({"stake": np.array([1, -2, 3])}, "stake must hold whole numbers"),
        ({"stake": np.array([1.5, 2, 3])}, "stake must hold whole numbers"),
        ({"stake": 3}, r"not \(\.\.\., n\)"),
        ({"weights": np.full((1, 3), np.nan)}, "weights must hold"),
        ({"weights": np.full((1, 3), -1.0)}, "weights must hold"),
        ({"weights": np.full((1, 3), 65536)}, "weights must hold"),
        ({"weights": np.full((1, 3), "a")}, "weights are"),
        ({"weights": np.ones((4, 3))}, r"not \(\.\.\., n\)"),
        ({"bonds": np.zeros((1, 3))}, "bonds are float64"),
        ({"bonds": np.zeros((2, 3), int)}, "bonds has shape"),
        ({"uids": np.array([3])}, "below n"),
        ({"uids": np.array([0, 1])}, "ascending uids"),
        ({"last_update": np.array([1, 2])}, "last_update has shape"),
        ({"rao_emission": -1}, "rao_emission"),
        ({"rao_emission": 0.5}, "rao_emission"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    given = {"stake": np.array([1, 2, 3]), "weights": np.ones((1, 3)), "bonds": np.zeros((1, 3), dtype=np.uint16)}
    with pytest.raises(ValueError, match=message):
        DenseInput(**(given | changes))


def test_the_exact_form_takes_no_floating_point_weights() -> None:
    state = DenseInput(stake=np.array([1, 2, 3]), weights=np.ones((1, 3)), bonds=np.zeros((1, 3), dtype=np.uint16))
    with pytest.raises(ValueError, match="as u16"):
        epochs(state, exact=True)
