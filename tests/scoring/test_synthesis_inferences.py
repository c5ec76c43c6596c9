"""Combinations of inferences: laws over random topics, and the edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.scoring.synthesis import Params, State, Synthesis, learn, synthesise
from subnet.scoring.synthesis_state import ValueBundle
from subnet.scoring.synthesis_weights import Floats

SEEDS = st.integers(0, 10**6)
SIZES = st.tuples(st.integers(1, 8), st.integers(0, 4))
NORMALISATIONS = st.sampled_from([Params(), Params(normalisation="mad")])


def topic(inferers: int, forecasters: int, rng: np.random.Generator) -> State:
    """A topic with a past."""
    workers = inferers + forecasters
    return replace(
        State.new(inferers, forecasters),
        network_loss=rng.normal(),
        regrets=rng.normal(size=workers),
        naive_regrets=rng.normal(size=inferers),
        one_out_regrets=rng.normal(size=(workers, workers)),
        one_in_regrets=rng.normal(size=(forecasters, inferers + 1)),
        initial_regret=-2.0,
    )


def draw(inferers: int, forecasters: int, seed: int) -> tuple[State, Floats, Floats]:
    """A topic with a past, inferences and forecasts, some of them absent."""
    rng = np.random.default_rng(seed)
    inferences = np.where(rng.random(inferers) < 0.2, np.nan, rng.normal(size=inferers))
    inferences[rng.integers(inferers)] = rng.normal()
    losses = np.where(rng.random((forecasters, inferers)) < 0.2, np.nan, rng.normal(size=(forecasters, inferers)))
    return topic(inferers, forecasters, rng), inferences, losses


def permuted(state: State, inferers: Floats, forecasters: Floats) -> State:
    """The same topic with its workers numbered anew."""
    workers = np.concatenate([inferers, forecasters + state.inferers])
    own = np.append(inferers, state.inferers)
    return replace(
        state,
        regrets=state.regrets[workers],
        naive_regrets=state.naive_regrets[inferers],
        one_out_regrets=state.one_out_regrets[np.ix_(workers, workers)],
        one_in_regrets=state.one_in_regrets[np.ix_(forecasters, own)],
    )


@settings(max_examples=30)
@given(SIZES, SEEDS, NORMALISATIONS)
def test_weights_are_shares_and_combinations_lie_among_the_inferences(
    sizes: tuple[int, int], seed: int, params: Params
) -> None:
    state, inferences, losses = draw(*sizes, seed)
    made = synthesise(inferences, losses, state, params)
    assert (made.weights >= 0).all()
    assert (made.weights / made.weights.sum()).sum() == pytest.approx(1)
    low, high = np.nanmin(inferences) - 1e-9, np.nanmax(inferences) + 1e-9
    flat = made.inferences.flat()
    assert ((flat >= low) & (flat <= high) | np.isnan(flat)).all()
    assert np.isfinite(made.inferences.network)
    assert (np.diff(made.interval) >= -1e-12).all()
    assert np.isnan(made.inferences.one_out[: sizes[0]][np.isnan(inferences)]).all()


@settings(max_examples=30)
@given(SIZES, SEEDS, NORMALISATIONS)
def test_the_numbering_of_workers_changes_nothing(sizes: tuple[int, int], seed: int, params: Params) -> None:
    state, inferences, losses = draw(*sizes, seed)
    rng = np.random.default_rng(seed)
    i, f = rng.permutation(sizes[0]), rng.permutation(sizes[1])
    made = synthesise(inferences, losses, state, params)
    other = synthesise(inferences[i], losses[np.ix_(f, i)], permuted(state, i, f), params)
    close = {"rel": 1e-9, "abs": 1e-12, "nan_ok": True}
    workers = np.concatenate([i, f + sizes[0]])
    assert other.inferences.network == pytest.approx(made.inferences.network, **close)
    assert other.inferences.one_out == pytest.approx(made.inferences.one_out[workers], **close)
    assert other.inferences.one_in == pytest.approx(made.inferences.one_in[f], **close)
    assert other.inferences.forecasters_one_out == pytest.approx(
        made.inferences.forecasters_one_out[np.ix_(f, i)], **close
    )
    assert other.interval == pytest.approx(made.interval, **close)


@settings(max_examples=30)
@given(SIZES, SEEDS, st.floats(0.01, 100), st.floats(-100, 100))
def test_units_of_the_inferences_come_through(sizes: tuple[int, int], seed: int, scale: float, shift: float) -> None:
    state, inferences, losses = draw(*sizes, seed)
    made = synthesise(inferences, losses, state, Params()).inferences.flat()
    other = synthesise(inferences * scale + shift, losses, state, Params()).inferences.flat()
    assert other == pytest.approx(made * scale + shift, rel=1e-9, abs=1e-9, nan_ok=True)


@settings(max_examples=30)
@given(SIZES, SEEDS, st.floats(-50, 50))
def test_units_of_the_losses_do_not_matter(sizes: tuple[int, int], seed: int, shift: float) -> None:
    """A loss in other units is a log10 loss moved by a constant."""
    state, inferences, losses = draw(*sizes, seed)
    made = synthesise(inferences, losses, state, Params()).inferences.flat()
    moved = replace(state, network_loss=state.network_loss + shift)
    other = synthesise(inferences, losses + shift, moved, Params()).inferences.flat()
    assert other == pytest.approx(made, rel=1e-7, abs=1e-9, nan_ok=True)


def test_all_new_the_network_takes_the_mean_and_forecasters_the_median() -> None:
    made = made_of([1.0, 2.0, 6.0], [[0.0, 0.0, 0.0], [0.0, 0.0, np.nan]], State.new(3, 2))
    assert made.inferences.network == 3.0
    assert made.inferences.forecasters == pytest.approx([2.0, 1.5])
    assert made.inferences.one_out[:3] == pytest.approx([4.0, 3.5, 1.5])
    assert made.inferences.naive == 3.0


def test_a_new_inferer_among_known_ones_hardly_weighs() -> None:
    state = replace(topic(3, 0, np.random.default_rng(1)), regrets=np.array([0.0, 0.1, np.nan]), initial_regret=-4.0)
    weight = made_of([1.0, 2.0, 3.0], np.empty((0, 3)), state).weights
    assert 0 < weight[2] < 0.01 * weight[:2].min()


def test_a_lone_inferer_has_no_network_without_it() -> None:
    made = made_of([1.0, np.nan], [[0.0, 0.0]], topic(2, 1, np.random.default_rng(2)))
    assert made.inferences.network == 1.0
    assert np.isnan(made.inferences.one_out[:2]).all()
    assert made.inferences.one_out[2] == 1.0


def test_a_forecaster_who_forecast_nobody_is_absent() -> None:
    made = made_of([1.0, 2.0], [[np.nan, np.nan]], topic(2, 1, np.random.default_rng(3)))
    assert np.isnan(made.inferences.forecasters[0])
    assert np.isnan(made.inferences.one_out[2])
    assert np.isnan(made.inferences.one_in[0])
    assert made.weights[2] == 0


def made_of(inferences: list[float], losses: object, state: State) -> Synthesis:
    return synthesise(np.array(inferences), np.asarray(losses, dtype=np.float64), state, Params())


@settings(max_examples=30)
@given(SIZES, st.integers(0, 3), SEEDS, NORMALISATIONS)
def test_epochs_with_anybody_absent_stay_defined(
    sizes: tuple[int, int], reputers: int, seed: int, params: Params
) -> None:
    """Six epochs from nothing, workers, reputers and reports missing at random."""
    inferers, forecasters = sizes
    rng = np.random.default_rng(seed)
    state = State.new(inferers, forecasters, reputers)
    for epoch in range(6):
        _, inferences, losses = draw(inferers, forecasters, seed + epoch)
        made = synthesise(inferences, losses, state, params)
        flat = made.inferences.flat()
        reports = np.where(np.isnan(flat), np.nan, rng.normal(size=(reputers, len(flat))))
        reports[rng.random(reports.shape) < 0.1] = np.nan
        out = learn(
            state, made, ValueBundle.of_flat(reports, inferers, forecasters), rng.random(reputers) * 1e6, params
        )
        shares = (out.split.inferers, out.split.forecasters, out.split.reputers)
        if np.isfinite(out.losses.inferers).any() and np.isfinite(out.losses.network):
            assert sum(shares) == pytest.approx(1)
            assert min(shares) >= 0
        assert 0.1 <= out.split.utility <= 0.5
        for fractions in (out.inferer_fractions, out.forecaster_fractions, out.reputer_fractions):
            known = fractions[np.isfinite(fractions)]
            assert not len(known) or (known.sum() == pytest.approx(1) and (known >= 0).all())
        assert ((out.state.listening >= 0) & (out.state.listening <= 1)).all()
        assert np.isfinite(synthesise(inferences, losses, out.state, params).inferences.network)
        state = out.state
