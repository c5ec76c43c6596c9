"""`subnet demo` as a user runs it: it pays in order, and however it ends, no process is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MARK = "DEMO_TEST_MARK"
PATIENCE = 240.0  # seconds for what comes within ten on a quiet machine


class Running:
    """A demo in a process of its own, its lines (stderr) in a file, its neurons marked by an environment variable."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.mark = uuid.uuid4().hex
        self.lines = folder / "lines"
        with self.lines.open("wb") as lines, (folder / "data").open("wb") as data:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "subnet", "demo", "--json", "--keep", *options],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), MARK: self.mark},
                stdout=data,
                stderr=lines,
            )
        self.data = folder / "data"

    def until(self, text: str) -> None:
        """Wait until a line says ``text``."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.lines.read_text():
            assert self.popen.poll() is None, self.lines.read_text()
            assert time.monotonic() < deadline, self.lines.read_text()
            time.sleep(0.05)

    def gone(self) -> bool:
        """Whether no process is left, once the system has cleared away those that were killed."""
        deadline = time.monotonic() + 30
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        return not self.left()

    def process(self, name: str) -> psutil.Process:
        """The process of this name, by its command line."""
        (found,) = [p for p in self.left() if name in p.cmdline()]
        return found

    def left(self) -> list[psutil.Process]:
        """The demo's processes that are there: itself, its keeper, chain and neurons."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    demos: list[Running] = []

    def start(*options: str) -> Running:
        demos.append(Running(tmp_path, *options))
        return demos[-1]

    yield start
    for demo in demos:
        demo.popen.kill()
        demo.popen.wait()
        for process in demo.left():
            process.kill()


def test_the_demo_pays_everybody_in_the_order_of_their_work(running: Callable[..., Running]) -> None:
    demo = running("--rounds", "12", "--seed", "3")
    status = demo.popen.wait(500)
    data: dict[str, Any] = json.loads(demo.data.read_text())
    assert status == 0, [check for check in data["checks"] if not check["passed"]]
    assert data["holds"] is True
    earned = data["earned_rao"]
    assert min(earned["good-a"], earned["good-b"]) > earned["weak"] > earned["random"]
    assert earned["good-a"] > 2 * earned["copier"]
    assert earned["reborn"] > 0
    assert len(data["record"]["epochs"]) >= 6
    assert [event["what"] for event in data["record"]["events"]] == ["killed", "restarted", "serving"]
    assert Path(data["places"]["plot"]).read_bytes().startswith(b"\x89PNG")
    logs = {path.stem for path in Path(data["places"]["logs"]).iterdir()}
    assert logs == {actor["name"] for actor in data["record"]["actors"]} - {"owner"} | {"chain"}
    assert demo.gone()


@pytest.mark.parametrize(
    ("moment", "stop", "status"),
    [
        ("logs and chain state go to", signal.SIGINT, 130),
        ("funded keys", signal.SIGINT, 130),
        ("owner //Owner is uid 0", signal.SIGTERM, 143),
    ],
)
def test_stopped_at_any_moment_it_leaves_no_process(
    running: Callable[..., Running], moment: str, stop: signal.Signals, status: int
) -> None:
    demo = running()
    demo.until(moment)
    assert demo.left()
    demo.popen.send_signal(stop)
    assert demo.popen.wait(PATIENCE) == status
    assert demo.gone()
    assert demo.data.read_text() == ""
    assert "Traceback" not in demo.lines.read_text()


def test_a_miner_that_dies_is_named_the_demo_goes_on_and_ctrl_c_ends_it(running: Callable[..., Running]) -> None:
    demo = running()
    demo.until("all miners serve")
    demo.process("//Weak").kill()
    demo.until("weak ended by itself with status -9")
    assert demo.popen.poll() is None
    demo.popen.send_signal(signal.SIGINT)
    assert demo.popen.wait(PATIENCE) == 130
    assert demo.gone()


def test_without_its_chain_it_ends_and_says_why(running: Callable[..., Running]) -> None:
    demo = running()
    demo.until("owner //Owner is uid 0")
    demo.process("chain").kill()
    assert demo.popen.wait(PATIENCE) == 7
    error = json.loads(demo.data.read_text())["error"]
    assert error["code"] == "demo"
    assert error["message"].startswith("chain ended by itself with status -9")
    assert demo.gone()


@pytest.mark.slow
def test_forecasts_are_sealed_combined_and_paid_and_the_picture_is_drawn(running: Callable[..., Running]) -> None:
    demo = running("forecast", "--rounds", "24")
    status = demo.popen.wait(550)
    data: dict[str, Any] = json.loads(demo.data.read_text())
    assert status == 0, [check for check in data["checks"] if not check["passed"]]
    earned = data["earned_rao"]
    assert min(earned["boosting"], earned["arima"], earned["smoothing"]) > earned["naive"]
    assert earned["hash-copier"] == 0
    assert earned["old-copier"] < 0.05 * earned["boosting"]
    steps = data["record"]["steps"]["validator-a"]
    assert sum(step["truth"] is not None for step in steps.values()) >= 24
    assert Path(data["places"]["plot"]).read_bytes().startswith(b"\x89PNG")
    assert demo.gone()


@pytest.mark.slow
def test_the_forecast_demo_stopped_while_its_clock_runs_leaves_no_process(running: Callable[..., Running]) -> None:
    demo = running("forecast")
    demo.until("the network said")
    demo.popen.send_signal(signal.SIGINT)
    assert demo.popen.wait(PATIENCE) == 130
    assert demo.gone()
    assert "Traceback" not in demo.lines.read_text()
