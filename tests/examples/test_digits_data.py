from __future__ import annotations

import numpy as np
import pytest

from subnet.examples.digits.data import INK, Exam, digits, hold_out, sensor_noise, training_half


def test_the_halves_and_the_hold_out_cut_the_pictures_in_three() -> None:
    parts = [training_half(0), training_half(1), hold_out()]
    assert [len(part) for part in parts] == [600, 600, 597]
    together = np.concatenate([part.images for part in parts]).reshape(-1, 64)
    everything = digits().images.reshape(-1, 64)
    assert sorted(map(bytes, together)) == sorted(map(bytes, everything))


def test_there_is_no_third_half() -> None:
    with pytest.raises(ValueError, match="half is 0 or 1"):
        training_half(2)


def test_noise_keeps_shape_type_and_range_and_never_repeats() -> None:
    images = hold_out().images
    random = np.random.default_rng(1)
    once, again = sensor_noise(images, random), sensor_noise(images, random)
    assert once.shape == images.shape
    assert once.dtype == np.uint8
    assert once.max() <= INK
    assert not {image.tobytes() for image in once} & {image.tobytes() for image in again}


def test_miners_share_a_part_of_their_questions_and_no_more() -> None:
    exam = Exam(hold_out(), np.random.default_rng(1), shared=20, own=12)
    first, second, third = (set(map(bytes, batch.images)) for batch in exam.draw(3))
    assert len(first & second) == len(first & third) == len(first & second & third) == 20
    assert len(first) == len(second) == 32


def test_the_same_seed_asks_the_same_and_rounds_differ() -> None:
    a, b = (Exam(hold_out(), np.random.default_rng(7)) for _ in range(2))
    first = a.draw(2)
    assert np.array_equal(first[1].images, b.draw(2)[1].images)
    assert not np.array_equal(first[1].images, a.draw(2)[1].images)


def test_shuffling_keeps_pictures_and_labels_together() -> None:
    exam = Exam(hold_out(), np.random.default_rng(2), shared=8, own=8)
    known = hold_out()
    for batch in exam.draw(2):
        for image, label in zip(batch.images, batch.labels, strict=True):
            distances = ((known.images.astype(float) - image) ** 2).sum((1, 2))
            assert known.labels[distances.argmin()] == label


def test_more_miners_than_the_deck_feeds_are_dealt_from_a_new_one() -> None:
    batches = Exam(hold_out(), np.random.default_rng(3)).draw(40)
    assert len(batches) == 40
    own = [set(map(bytes, batch.images)) for batch in batches]
    assert len(own[0] & own[39]) == 24  # the shared part, and nothing else under the same noise


@pytest.mark.parametrize(("shared", "own"), [(0, 0), (-1, 4), (600, 0)])
def test_an_exam_that_does_not_fit_is_refused(shared: int, own: int) -> None:
    with pytest.raises(ValueError, match="don't fit"):
        Exam(hold_out(), np.random.default_rng(1), shared=shared, own=own)
