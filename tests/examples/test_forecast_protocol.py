from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet import codec
from subnet.errors import WireError
from subnet.examples.forecast.protocol import SALT, Board, Commit, Losses, Opened, holds, seal
from subnet.examples.forecast.reports import packed, told, unpacked
from subnet.scoring.synthesis_state import ValueBundle, bundle_shapes
from subnet.types import Hotkey

ME, OTHER = Hotkey("5Me"), Hotkey("5Other")
NUMBERS = st.floats(-1e5, 1e5)
OPENED = st.builds(
    Opened,
    salt=st.binary(min_size=SALT, max_size=SALT),
    value=NUMBERS,
    losses=st.dictionaries(st.text(st.characters(codec="ascii"), max_size=20), NUMBERS, max_size=5),
)


@given(opened=OPENED, step=st.integers(0, 10**6))
def test_what_was_sealed_opens_for_its_hotkey_and_step_alone(opened: Opened, step: int) -> None:
    digest = seal(ME, step, opened)
    assert holds(ME, step, digest, opened)
    assert not holds(OTHER, step, digest, opened)
    assert not holds(ME, step + 1, digest, opened)


@given(opened=OPENED)
def test_another_number_salt_or_loss_does_not_open_it(opened: Opened) -> None:
    digest = seal(ME, 1, opened)
    assert opened.value is not None
    changed = [
        Opened(salt=bytes(SALT - 1) + b"x", value=opened.value, losses=opened.losses),
        Opened(salt=opened.salt, value=math.nextafter(opened.value, math.inf), losses=opened.losses),
        Opened(salt=opened.salt, value=None, losses=opened.losses),
        Opened(salt=opened.salt, value=opened.value, losses={**opened.losses, "5New": 1.0}),
    ]
    assert not any(holds(ME, 1, digest, other) for other in changed if other != opened)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e7])
def test_a_number_that_can_not_count_counts_as_absent(value: float) -> None:
    opened = Opened(salt=bytes(SALT), value=value)
    assert not holds(ME, 1, seal(ME, 1, opened), opened)


def test_nothing_and_a_short_salt_count_as_absent() -> None:
    for opened in (Opened(salt=bytes(SALT)), Opened(salt=b"short", value=1.0)):
        assert not holds(ME, 1, seal(ME, 1, opened), opened)


def test_what_is_too_large_does_not_decode() -> None:
    history, losses = np.zeros(3), np.zeros((0, 39))
    with pytest.raises(WireError):
        codec.decode(Commit, codec.encode(Commit(step=1, history=history, workers=["5A"] * 39, losses=losses)))
    with pytest.raises(WireError):
        codec.decode(Opened, codec.encode(Opened(salt=bytes(33), value=1.0)))


def bundle(inferers: int, forecasters: int) -> ValueBundle:
    size = sum(int(np.prod(shape)) for shape in bundle_shapes(inferers, forecasters).values())
    return ValueBundle.of_flat(np.linspace(-2.0, 2.0, size), inferers, forecasters)


def test_a_report_finds_everybody_in_another_validators_order() -> None:
    ours, theirs = ["5A", None, "5B", "5C"], ["5C", "5A", None]
    sent = packed(bundle(4, 2), ours, ["5F", "5G"])
    got = unpacked(sent, theirs, ["5G"])
    assert got is not None
    arrived, whole = ValueBundle.of_flat(got, 3, 1), bundle(4, 2)
    assert arrived.network == whole.network
    assert arrived.inferers[:2].tolist() == [whole.inferers[3], whole.inferers[0]]
    assert np.isnan(arrived.inferers[2])
    assert arrived.one_out.tolist()[:2] == [whole.one_out[3], whole.one_out[0]]
    assert arrived.one_out[3] == whole.one_out[5]
    assert arrived.forecasters_one_out[0, :2].tolist() == whole.forecasters_one_out[1, [3, 0]].tolist()
    assert arrived.one_in.tolist() == [whole.one_in[1]]


def test_a_report_that_makes_no_sense_is_none() -> None:
    good = packed(bundle(2, 1), ["5A", "5B"], ["5F"])
    short = Losses(inferers=good.inferers, forecasters=good.forecasters, losses=good.losses[:-1])
    twice = Losses(inferers=["5A", "5A"], forecasters=good.forecasters, losses=good.losses)
    assert unpacked(short, ["5A", "5B"], ["5F"]) is None
    assert unpacked(twice, ["5A", "5B"], ["5F"]) is None
    wild = Losses(inferers=good.inferers, forecasters=good.forecasters, losses=np.where(good.losses > 0, 1e9, np.nan))
    got = unpacked(wild, ["5A", "5B"], ["5F"])
    assert got is not None
    assert np.isnan(got).all()


def test_what_most_miners_tell_alike_is_believed_and_one_mans_tale_is_not() -> None:
    true, tale = packed(bundle(1, 0), ["5A"], []), packed(bundle(1, 0), ["5B"], [])
    honest, liar, silent = Board(reports={"5V": true}), Board(reports={"5V": tale, "5W": tale}), Board()
    assert told([honest, honest, liar]) == {"5V": true}
    assert told([honest, liar]) == {}
    assert told([honest, silent]) == {}
    assert told([]) == {}
