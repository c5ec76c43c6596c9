from __future__ import annotations

from pathlib import Path

import numpy as np

from subnet.examples.digits.side_channel import FILES, SideChannel


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 17, (count, 8, 8), dtype=np.uint8)


def test_the_copier_finds_what_was_answered_and_only_that(tmp_path: Path) -> None:
    accomplice, copier = SideChannel(tmp_path), SideChannel(tmp_path)
    both, mine = pictures(3), pictures(2, seed=1)
    accomplice.drop(both, np.array([4, 5, 6]))
    assert copier.look_up(np.concatenate([mine[:1], both[::-1], mine[1:]])) == [None, 6, 5, 4, None]


def test_later_answers_are_found_too(tmp_path: Path) -> None:
    accomplice, copier = SideChannel(tmp_path), SideChannel(tmp_path)
    images = pictures(1)
    assert copier.look_up(images) == [None]
    accomplice.drop(images, np.array([7]))
    assert copier.look_up(images) == [7]


def test_the_folder_does_not_grow_without_end(tmp_path: Path) -> None:
    accomplice, copier = SideChannel(tmp_path), SideChannel(tmp_path)
    for i in range(FILES + 10):
        accomplice.drop(pictures(1, seed=i), np.array([1]))
    assert len(list(tmp_path.iterdir())) == FILES
    assert copier.look_up(pictures(1, seed=FILES + 9)) == [1]
    assert copier.look_up(pictures(1, seed=0)) == [None]
