from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from subnet.demo.processes import Troupe, environment

pytestmark = pytest.mark.e2e

MARK = "DEMO_TEST_MARK"
PERFORMANCE = """
import sys, time
from pathlib import Path
from subnet.demo.processes import Troupe

with Troupe(Path(sys.argv[1])) as troupe:
    troupe.start("chain", "chain", "--port", "0", "--json")
    print("on stage", flush=True)
    time.sleep(600)
"""


def marked(mark: str) -> list[psutil.Process]:
    """The processes that carry the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_a_process_runs_the_command_and_leaving_ends_it(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        process = troupe.start("version", "--version")
        assert process.popen.wait(60) == 0
        assert process.ended() == 0
        assert troupe.dead() == [process]
        text = process.log.read_text().splitlines()
        assert text[0] == "$ subnet --version"
        assert text[1].startswith("subnet ")
        assert process.tail() == "\n".join(text)
        chain = troupe.start("chain", "chain", "--port", "0")
        assert chain.ended() is None
    assert not psutil.pid_exists(chain.pid)


def test_what_the_users_settings_say_does_not_reach_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBNET_ENDPOINT", "ws://elsewhere:9944")
    monkeypatch.setenv("SUBNET_CACHE_DIR", "-")
    monkeypatch.setenv("PYTHONPATH", "here")
    env = environment()
    assert [name for name in env if name.startswith("SUBNET_")] == ["SUBNET_CACHE_DIR"]
    assert env["OMP_NUM_THREADS"] == "1"
    assert env["PYTHONPATH"].split(os.pathsep)[0] == os.path.abspath("here")


def test_a_stopped_process_is_gone_and_the_others_go_on(tmp_path: Path) -> None:
    with Troupe(tmp_path) as troupe:
        one, two = (troupe.start(name, "chain", "--port", "0") for name in ("one", "two"))
        troupe.stop(["one"])
        assert not psutil.pid_exists(one.pid)
        assert two.ended() is None
        assert list(troupe.processes) == ["two"]


def test_even_kill_9_of_the_demo_leaves_no_process(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    demo = subprocess.Popen(
        [sys.executable, "-c", PERFORMANCE, str(tmp_path)],
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
    )
    assert demo.stdout is not None
    assert demo.stdout.readline() == b"on stage\n"
    assert len(marked(mark)) >= 3  # the demo, the keeper, the chain
    demo.kill()
    demo.wait()
    demo.stdout.close()
    deadline = time.monotonic() + 60
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert marked(mark) == []
