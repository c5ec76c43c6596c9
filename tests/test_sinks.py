"""The W&B sink: what is sent, and that nothing it does or suffers reaches the neuron."""

from __future__ import annotations

import logging
import sys
import threading
import types
from typing import Any

import pytest

from subnet import sinks
from subnet.errors import MissingExtra
from subnet.sinks import WandbSink
from subnet.telemetry import Metrics

ABOUT = {"netuid": 2, "hotkey": "5Me", "role": "validator"}


class Wandb(types.ModuleType):
    """In wandb's place: keeps what it is told, waits or fails where a test says so."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.begun: dict[str, Any] = {}
        self.logged: list[dict[str, float]] = []
        self.finished = False
        self.fails: dict[str, BaseException] = {}
        self.held = threading.Event()
        self.held.set()

    def _step(self, name: str) -> None:
        self.held.wait(60)
        if name in self.fails:
            raise self.fails[name]

    def init(self, **fields: Any) -> Wandb:
        self._step("init")
        self.begun = fields
        return self

    def log(self, values: dict[str, float]) -> None:
        self._step("log")
        self.logged.append(values)

    def finish(self) -> None:
        self._step("finish")
        self.finished = True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Wandb:
    made = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", made)
    return made


def metrics(sink: WandbSink) -> Metrics:
    return Metrics(netuid=2, hotkey="5Me", role="validator", sink=sink.record)


def test_counters_arrive_as_totals_and_gauges_as_they_are(wandb: Wandb) -> None:
    sink = WandbSink("mine", ABOUT)
    told = metrics(sink)
    for _ in range(3):
        told.count("subnet_weights_set_total", outcome="unseen", mechanism="0")
    told.gauge("subnet_score", 0.25, peer="5A")
    told.gauge("subnet_score", 0.5, peer="5A")
    sink.close()
    assert wandb.begun["project"] == "mine"
    assert wandb.begun["config"] == ABOUT
    assert wandb.logged[-1] == {"weights_set/unseen/0": 3.0, "score/5A": 0.5}
    assert wandb.finished
    sink.close()


@pytest.mark.parametrize("step", ["init", "log", "finish"])
@pytest.mark.parametrize("error", [RuntimeError("no\nnetwork"), SystemExit(1), KeyboardInterrupt()])
def test_a_failure_is_one_line_in_the_log(
    wandb: Wandb, step: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    wandb.fails[step] = error
    sink = WandbSink("mine", ABOUT, every=0.001)
    told = metrics(sink)
    told.count("subnet_rounds_total", outcome="ok")
    sink.close()
    for _ in range(100):
        told.count("subnet_rounds_total", outcome="ok")  # the neuron goes on
    assert b'outcome="ok",role="validator"} 101.0' in told.render()[0]
    assert [one.levelno for one in caplog.records if one.message == "wandb_failed"] == [logging.WARNING]


def test_one_that_hangs_holds_nobody_up_and_fills_no_memory(wandb: Wandb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "WAITING", 10)
    monkeypatch.setattr(sinks, "PATIENCE", 0.01)
    wandb.held.clear()
    sink = WandbSink("mine", ABOUT)
    for number in range(100):
        sink.record("subnet_score", number, {"peer": "5A"})
    assert sink.dropped == 90
    sink.close()  # returns although wandb does not
    wandb.held.set()
    monkeypatch.setattr(sinks, "PATIENCE", 60)
    sink.close()
    assert wandb.logged[-1] == {"score/5A": 9}


def test_peers_without_end_do_not_make_it_grow(wandb: Wandb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "SERIES", 3)
    sink = WandbSink("mine", ABOUT)
    for number in range(9):
        sink.record("subnet_score", 1.0, {"peer": str(number)})
    sink.close()
    assert len(wandb.logged[-1]) == 3
    assert sink.dropped == 6


def test_without_the_extra_the_remedy_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        WandbSink("mine", ABOUT)
    assert "subnetkit[wandb]" in caught.value.remedy
