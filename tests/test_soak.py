"""What the soak says of what it measured: each bound of benchmarks/_soak_verdict.py can be broken."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_soak_verdict")


def measured(bounds: Any) -> Any:
    """A run in which all went well, but for an epoch whose weights were due when the chain was killed."""
    soak = bounds.Soak(seconds=90.0, warm=30.0)
    soak.epochs = [bounds.Epoch(12, {0: True}, False), bounds.Epoch(24, {0: False}, True)]
    soak.samples["validator-0"] = [bounds.Sample(float(at), 100 + at // 30, 80 + at % 3) for at in range(90)]
    return soak


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda s, m: None, []),
        (lambda s, m: s.epochs.append(m.Epoch(36, {0: False}, False)), ["missed the epochs of blocks [36]"]),
        (lambda s, m: s.samples["validator-0"].append(m.Sample(90.0, 1, 1)), []),
        (lambda s, m: [setattr(one, "rss", 120) for one in s.samples["validator-0"][60:]], ["memory grew by 18.8%"]),
        (lambda s, m: [setattr(one, "files", 99) for one in s.samples["validator-0"][60:]], ["18 more open files"]),
    ],
)
def test_what_was_seen(bounds: Any, spoil: Callable[[Any, Any], None], says: list[str]) -> None:
    soak = measured(bounds)
    spoil(soak, bounds)
    good = bounds.Ledger(rounds=60, failed=0, pace=1.0, scores=64, off=0.001, wrong=[])
    found = bounds.verdict(soak, [good])
    assert len(found) == len(says)
    assert all(words in line for words, line in zip(says, found, strict=True))


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [({"failed": 2}, "2 rounds failed"), ({"pace": 0.2}, "0.20 times"), ({"off": 0.01}, "0.0100 off"),
     ({"wrong": ["round numbers have gaps"]}, "gaps"), ({"pace": math.nan}, None)],
)  # fmt: skip
def test_what_a_ledger_says(bounds: Any, spoiled: dict[str, Any], says: str | None) -> None:
    fields = {"rounds": 60, "failed": 0, "pace": 1.0, "scores": 64, "off": 0.001, "wrong": []} | spoiled
    found = bounds.verdict(measured(bounds), [bounds.Ledger(**fields)])
    assert [says in line for line in found] == [True] * (says is not None)
