"""mypy on the typing cases: what must pass passes, and what must fail fails where it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PASSES = sorted(path for path in HERE.glob("*.py") if not path.stem.endswith("_fails") and path != Path(__file__))
FAILS = sorted(HERE.glob("*_fails.py"))


def mypy(path: Path) -> tuple[str, int]:
    # In a process of its own: mypy raises the recursion limit of the one it runs in.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--hide-error-context", "--no-pretty", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr, done.returncode


@pytest.mark.parametrize("path", PASSES, ids=lambda path: path.stem)
def test_passes(path: Path) -> None:
    out, status = mypy(path)
    assert status == 0, out


@pytest.mark.parametrize("path", FAILS, ids=lambda path: path.stem)
def test_fails_where_it_says(path: Path) -> None:
    wanted = {
        (number, code)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for code in re.findall(r"# error: ([a-z-]+)", line)
    }
    out, _ = mypy(path)
    found = {(int(line), code) for line, code in re.findall(rf"{path.name}:(\d+): error: .*\[([a-z-]+)\]", out)}
    assert found == wanted, out
