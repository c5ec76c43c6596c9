"""The kit's page: its examples run as printed, and every public function has its line."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/scoring.md"
KIT = re.findall(r"^\| `subnet\.scoring\.(\w+)`", PAGE.read_text(), re.MULTILINE)


def test_the_examples_run_as_printed() -> None:
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert (failed, tried > 30) == (0, True)


@pytest.mark.parametrize("name", KIT)
def test_every_public_function_has_its_line_and_its_docstring(name: str) -> None:
    module = importlib.import_module(f"subnet.scoring.{name}")
    text = PAGE.read_text()
    part = text.split(f"| `subnet.scoring.{name}` |")[1].split("\n\n")[0]
    mine = [
        (public, of)
        for public, of in vars(module).items()
        if not public.startswith("_")
        and (inspect.isfunction(of) or inspect.isclass(of))
        and of.__module__ == module.__name__
    ]
    types = {"Decayed", "Skill", "LateCopy", "Matches", "Interval", "Outlook"}  # what functions return
    assert [public for public, _ in mine if f"`{public}`" not in part and public not in types] == []
    assert [public for public, of in mine if not (of.__doc__ or "").strip()] == []


def test_every_module_of_the_kit_is_on_the_page() -> None:
    """The kit is what takes its input through checks, and the two modules that validators always use."""
    stands_on_checks = {
        file.stem
        for file in (ROOT / "scoring").glob("*.py")
        if re.search(r"^from subnet\.scoring(\.checks)? import .*\b(checks|Floats)\b", file.read_text(), re.MULTILINE)
    }
    of_forecasts = ("synthesis", "hedge", "dynamic_averaging", "regressions", "mixtures", "forecasts")
    kit = {name for name in stands_on_checks if not name.startswith(of_forecasts)}
    assert kit | {"averages", "weights"} <= set(KIT)
    assert len(kit) > 12
