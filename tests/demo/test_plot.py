from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from subnet.demo.plot import draw
from subnet.demo.record import Record

matplotlib = pytest.importorskip("matplotlib")


def pixels(path: Path) -> tuple[tuple[int, int], int]:
    from matplotlib.image import imread

    image = imread(path)
    return (image.shape[1], image.shape[0]), len({tuple(p) for p in image.reshape(-1, image.shape[2])[::7]})


def test_the_plot_is_a_png_with_lines_in_it(lived: Callable[..., Record], tmp_path: Path) -> None:
    size, colours = pixels(draw(lived(), tmp_path / "demo.png"))
    assert size == (1650, 1200)
    assert colours > 50


def test_a_record_without_rounds_or_epochs_can_be_drawn(lived: Callable[..., Record], tmp_path: Path) -> None:
    record = lived(epochs=0)
    record.rounds = []
    assert draw(record, tmp_path / "demo.png").stat().st_size > 0
