"""The W&B sink: what is sent, and that nothing it does or suffers reaches the neuron."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from subnet import sinks
from subnet.errors import MissingExtra
from subnet.sinks import WandbSink
from subnet.telemetry import Metrics

ABOUT = {"netuid": 2, "hotkey": "5Me", "role": "validator"}
FAKE = '''
"""In wandb's place: writes down what it is told; fails or hangs where a test says so."""
import builtins, json, os, pathlib, threading

url = "https://wandb.invalid/run"

def step(name, told=None):
    with (pathlib.Path(__file__).parent / "told").open("a") as file:
        print(json.dumps([name, told]), file=file)
    at, _, mood = os.environ.get("MOOD", "").partition(":")
    if at == name and mood == "hangs":
        threading.Event().wait()
    if at == name:
        raise getattr(builtins, mood)("no\\nnetwork")

def Settings(**fields):
    return fields

def setup(settings):
    step("setup", settings)

def init(**fields):
    print("Welcome!")
    step("init", fields)
    return Run()

class Run:
    url = "https://wandb.invalid/run"
    def log(self, values): step("log", values)
    def finish(self): step("finish")
'''


class Wandb:
    """What stands in wandb's place in the sink's process, and what it was told there."""

    def __init__(self, folder: Path) -> None:
        (folder / "wandb.py").write_text(FAKE)
        self.file = folder / "told"

    def told(self, name: str) -> list[Any]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [what for step, what in map(json.loads, lines) if step == name]


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wandb:
    monkeypatch.setattr(sinks, "PATIENCE", 60.0)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return Wandb(tmp_path)


def metrics(sink: WandbSink) -> Metrics:
    return Metrics(netuid=2, hotkey="5Me", role="validator", sink=sink.record)


def until(condition: Callable[[], Any]) -> None:
    tick = threading.Event()
    for _ in range(6000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it has not come in a minute")


def test_counters_arrive_as_totals_and_gauges_as_they_are(wandb: Wandb, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sink = WandbSink("mine", ABOUT)
    told = metrics(sink)
    for _ in range(3):
        told.count("subnet_weights_set_total", outcome="unseen", mechanism="0")
    told.gauge("subnet_score", 0.25, peer="5A")
    told.gauge("subnet_score", 0.5, peer="5A")
    sink.close()
    (begun,) = wandb.told("init")
    assert (begun["project"], begun["config"], begun["name"]) == ("mine", ABOUT, "validator-5Me")
    assert begun["settings"]["console"] == "off"
    assert wandb.told("log")[-1] == {"weights_set/unseen/0": 3.0, "score/5A": 0.5}
    assert len(wandb.told("finish")) == 1
    assert [(one.message, one.url) for one in caplog.records] == [("wandb", "https://wandb.invalid/run")]  # type: ignore[attr-defined]
    sink.close()


@pytest.mark.parametrize("step", ["setup", "init", "log", "finish"])
@pytest.mark.parametrize("error", ["RuntimeError", "SystemExit", "KeyboardInterrupt"])
def test_a_failure_is_one_line_in_the_log(
    wandb: Wandb, step: str, error: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOOD", f"{step}:{error}")
    sink = WandbSink("mine", ABOUT, every=0.001)
    told = metrics(sink)
    told.count("subnet_rounds_total", outcome="ok")
    if step != "finish":
        until(lambda: not sink._thread.is_alive())
    sink.close()
    for _ in range(100):
        told.count("subnet_rounds_total", outcome="ok")  # the neuron goes on
    assert b'outcome="ok",role="validator"} 101.0' in told.render()[0]
    (line,) = [one for one in caplog.records if one.message == "wandb_failed"]
    assert line.levelno == logging.WARNING
    assert ("stopped on its page" if error == "KeyboardInterrupt" else "no\nnetwork") in line.error  # type: ignore[attr-defined]


def test_a_process_that_dies_is_one_line_in_the_log(wandb: Wandb, caplog: pytest.LogCaptureFixture) -> None:
    sink = WandbSink("mine", ABOUT, every=0.001)
    sink.record("subnet_score", 1.0, {"peer": "5A"})
    until(lambda: wandb.told("log"))
    assert sink._process is not None
    sink._process.kill()
    until(lambda: not sink._thread.is_alive())
    assert [one.error for one in caplog.records] == ["its process ended with -9"]  # type: ignore[attr-defined]
    sink.close()


@pytest.mark.parametrize("step", ["setup", "init", "log", "finish"])
def test_one_that_hangs_holds_nobody_up_and_fills_no_memory(
    wandb: Wandb, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    monkeypatch.setattr(sinks, "WAITING", 10)
    monkeypatch.setattr(sinks, "SERIES", 100_000)
    monkeypatch.setenv("MOOD", f"{step}:hangs")
    sink = WandbSink("mine", ABOUT, every=0.001)
    if step in ("setup", "init"):
        until(lambda: wandb.told(step))
        fill = 0
        while not sink.dropped:  # the pipe is full, then the queue is
            sink.record("subnet_score", fill, {"peer": f"5{fill:064}"})
            fill += 1
    else:
        sink.record("subnet_score", 1.0, {"peer": "5A"})
        until(lambda: wandb.told("log"))
    monkeypatch.setattr(sinks, "PATIENCE", 0.01)
    sink.close()  # returns although wandb does not
    monkeypatch.setattr(sinks, "PATIENCE", 60.0)
    sink.close()
    assert sink._process is not None
    assert sink._process.poll() == -9
    assert [one.error for one in caplog.records] == ["it took more than 0.01 s to end"]  # type: ignore[attr-defined]


def test_peers_without_end_do_not_make_it_grow(wandb: Wandb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "SERIES", 3)
    sink = WandbSink("mine", ABOUT)
    for number in range(9):
        sink.record("subnet_score", 1.0, {"peer": str(number)})
    sink.close()
    assert len(wandb.told("log")[-1]) == 3
    assert sink.dropped == 6


def test_without_the_extra_the_remedy_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()  # as a run leaves it in the current folder
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingExtra) as caught:
        WandbSink("mine", ABOUT)
    assert "subnetkit[wandb]" in caught.value.remedy


NEURON = """
import logging, subprocess, sys, threading
from subnet.sinks import WandbSink
logging.basicConfig(level=logging.INFO, format="%(message)s")
kept = sys.exit, sys.excepthook, sys.stderr.write
sink = WandbSink("mine", {"netuid": 2, "hotkey": "5Me", "role": "validator"}, every=0.01)
sink.record("subnet_score", 0.5, {"peer": "5Peer"})
ready = threading.Event()
logging.getLogger("subnet.sinks").addFilter(lambda record: ready.set() or True)
assert ready.wait(100)
logging.info("A-LINE-OF-THE-LOG")
assert (sys.exit, sys.excepthook, sys.stderr.write) == kept
assert "wandb" not in sys.modules
sink.close()
"""


@pytest.mark.e2e
@pytest.mark.skipif(find_spec("wandb") is None or find_spec("wandb").origin is None, reason="wandb is not installed")  # type: ignore[union-attr]
def test_the_real_one_gets_the_metrics_and_nothing_else(tmp_path: Path) -> None:
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", NEURON, "--key", "//A-SECRET-WORD"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stderr.splitlines()) == (0, ["wandb", "A-LINE-OF-THE-LOG"])
    (run,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    written = b"".join(file.read_bytes() for file in run.parent.rglob("*") if file.is_file())
    assert b"score/5Peer" in run.read_bytes()
    for unwanted in (b"A-LINE-OF-THE-LOG", b"A-SECRET-WORD", b"msgspec", sys.executable.encode()):
        assert unwanted not in written
