from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from subnet.demo import checks
from subnet.demo.display import Now, account, live, spark
from subnet.demo.record import Record

Lived = Callable[..., Record]
FIGURES = ("score", "weight", "cons", "inc", "div", "vtr", "α")


def shown(renderable: RenderableType, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 104, 144, 200])
def test_the_live_view_shows_every_neuron_with_all_its_figures(lived: Lived, width: int) -> None:
    record = lived()
    now = Now(block=255, epoch_start=240, seconds=44.0, states={"good-a": "serving", "reborn": "killed"})
    lines = shown(live(record, now, width), width)
    heading = next(line for line in lines if line.lstrip().startswith("uid"))
    assert all(figure in heading for figure in FIGURES)
    assert "…" not in "".join(lines)
    (good,) = [line for line in lines if line.strip().startswith("3 good-a")]
    assert "serving" in good
    assert "0.900" in good
    assert "21.922" in good
    assert any("18 of 18" in line and "15/20" in line for line in lines)


def test_before_anything_has_happened_there_is_a_view_too(lived: Lived) -> None:
    record = Record(seed=1, rounds_wanted=18)
    assert any("local chain" in line for line in shown(live(record, Now(), 80), 80))
    record.actors = lived().actors
    assert any("good-a" in line for line in shown(live(record, Now(), 80), 80))


def test_only_the_end_of_the_story_is_shown(lived: Lived) -> None:
    now = Now(story=[f"line {i}." for i in range(50)])
    text = "\n".join(shown(live(lived(), now, 80), 80))
    assert "line 49." in text
    assert "line 9." not in text


def test_the_account_names_who_earned_what_whether_it_holds_and_where_things_lie(lived: Lived) -> None:
    record = lived()
    text = "\n".join(shown(account(record, checks.run(record), {"plot": Path("demo.png")}, 61.0), 100))
    assert text.index("good-a") < text.index("weak") < text.index("random")
    assert "The order of pay holds: 10 checks passed in 61 s." in text
    assert "demo.png" in text


def test_an_account_that_does_not_hold_says_so(lived: Lived) -> None:
    record = lived(copier=0.9)
    text = "\n".join(shown(account(record, checks.run(record), {}, 61.0), 100))
    assert "The order of pay does NOT hold: 1 of 10 failed." in text
    assert "✗" in text


def test_a_spark_shows_the_last_scores() -> None:
    assert spark([0.0, 0.5, 1.0, 2.0]) == "▁▅██"
    assert len(spark([0.5] * 99)) == 13


def test_a_low_terminal_shows_less_of_the_story_and_all_neurons(lived: Lived) -> None:
    now = Now(story=[f"line {i}." for i in range(9)])
    lines = shown(live(lived(), now, 80, height=18), 80)
    assert len(lines) <= 18
    assert any("reborn" in line for line in lines)
    assert any("line 8." in line for line in lines)
