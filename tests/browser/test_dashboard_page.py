"""The dashboard in a real browser, over a local chain that has run for epochs and neurons that go on working.

The demo makes the chain's state and the ledgers; then the chain, a validator and miners are started again on them, so
that blocks, rounds and health arrive while the page is open. Pictures go to SUBNET_SCREENSHOTS, where that is set.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import subnet
from subnet.chain import Chain
from subnet.keys import load_key
from tests.browser.chromium import Chromium, found
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(subnet.__file__).parents[1])}
AGAIN = {"good-a": 3, "good-b": 4, "random": 6, "validator-a": 1}
"""Neurons that go on, and their uids."""
HOSTILE = "<img src=x onerror='hacked=1'>"
READY = "ready()"


class Stage:
    """The processes, all started here, and what they said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.running, self.url = folder, dict[str, subprocess.Popen[bytes]](), ""

    def start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.err").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "subnet", *words],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
                env=ENVIRONMENT,
            )
        return self.running[name]

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text()

    def first_line(self, name: str) -> Any:
        out = self.running[name].stdout
        assert out is not None
        line = out.readline()
        assert line, self.said(name)
        return json.loads(line)

    def event(self, name: str, event: str) -> dict[str, Any] | None:
        for line in self.said(name).splitlines():
            told = json.loads(line)
            if told["event"] == event:
                return dict(told)
        return None

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        process = self.running.pop(name)
        process.send_signal(number)
        try:
            return process.wait(timeout=60)
        finally:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    if found() is None:
        (pytest.fail if os.environ.get("SUBNET_CI") else pytest.skip)("there is no chromium")
    stage = Stage(tmp_path_factory.mktemp("stage"))
    demo = [sys.executable, "-m", "subnet", "demo", "--keep", "--rounds", "12", "--json"]
    done = subprocess.run(demo, cwd=stage.folder, env=ENVIRONMENT, capture_output=True, timeout=400)
    assert done.returncode in (0, 1), done.stdout.decode() + done.stderr.decode()  # 1: so few rounds show no order
    (kept,) = stage.folder.glob("subnet-demo-*")
    assert list((kept / "state").glob("validator-*.sqlite")), done.stderr.decode()
    try:
        url = json.loads((kept / "chain.json").read_text())["url"]
        state = str(kept / "state" / "chain.sqlite")
        chain = ("chain", "--json", "--port", url.rpartition(":")[2], "--block-time", "0.5", "--state", state)
        stage.start("chain", *chain)
        stage.first_line("chain")
        asyncio.run(name_the_owner(url))
        for name in AGAIN:
            command = (kept / "logs" / f"{name}.log").read_text().splitlines()[0].removeprefix("$ subnet ").split(" ")
            stage.start(name, *command, "--metrics-port", "0", "--log-json")
        (ledger,) = (one for one in (kept / "state").glob("validator-*.sqlite") if validator_of(kept, one))
        asyncio.run(until(lambda: all(stage.event(name, "metrics") for name in AGAIN)))
        asyncio.run(until(lambda: stage.event("validator-a", "round")))
        health = [f"--health={uid}={metrics(stage, name)}" for name, uid in AGAIN.items()]
        health.append("--health=5=http://127.0.0.1:9")  # a neuron that is gone
        stage.start(
            "dashboard", "dashboard", "-n", "1", "-e", url, "--ledger", str(ledger), "--port=0", "--json", *health
        )
        stage.url = stage.first_line("dashboard")["url"]
        yield stage
    finally:
        for name in list(stage.running):
            stage.end(name)


async def name_the_owner(url: str) -> None:
    """Its identity is an attack on whoever shows it as markup."""
    async with await Chain.connect(url) as chain:
        await chain.set_identity(load_key("//Alice"), {"name": HOSTILE})


def validator_of(kept: Path, ledger: Path) -> bool:
    return load_key("//ValidatorA").ss58_address in ledger.name


def metrics(stage: Stage, name: str) -> str:
    told = stage.event(name, "metrics")
    assert told is not None
    return str(told["url"]).removesuffix("/metrics")


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with Chromium(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(os.environ.get("SUBNET_SCREENSHOTS") or tmp_path)


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("light", {}),
        ("dark", {"dark": True}),
        ("phone", {"width": 390, "height": 844, "phone": True}),
        ("phone-dark", {"width": 390, "height": 844, "phone": True, "dark": True}),
    ],
)
async def test_the_page_shows_the_subnet(
    stage: Stage, browser: Chromium, pictures: Path, name: str, looks: dict[str, Any]
) -> None:
    await browser.open(stage.url, **looks)
    await browser.until(READY)
    await browser.until("document.querySelectorAll('#health-table .tag.bad').length == 1")  # the one that is gone
    await browser.until("document.querySelector('#status').textContent == 'live'")
    assert await browser.look("document.documentElement.dataset.theme") == ("dark" if looks.get("dark") else "light")
    assert await browser.look("document.documentElement.scrollWidth") <= looks.get("width", 1360)
    assert await browser.look("poorContrast()") == []
    assert await browser.look("nameless()") == []
    assert await browser.look("shades()") > 3  # the heat map has its shades
    picture = await browser.shoot(pictures / f"dashboard-{name}.png")
    assert len(picture) > 50_000
    assert browser.said == []  # no error, and nothing that the page's own policy stopped


async def test_blocks_and_rounds_arrive_while_it_is_open(stage: Stage, browser: Chromium) -> None:
    await browser.open(stage.url)
    await browser.until(READY)
    first = await browser.look("[tile('Block'), tile('Last round')]")
    await browser.until(f"tile('Block') > {first[0]} + 3 && tile('Last round') > {first[1]}")
    assert await browser.look("performance.getEntriesByType('navigation').length") == 1


async def test_the_table_is_sorted_and_searched(stage: Stage, browser: Chromium) -> None:
    await browser.open(stage.url)
    await browser.until(READY)
    await browser.look("document.querySelector('#neurons thead button').click()")
    assert await browser.look("uids()") == list(range(9))
    assert await browser.look("document.querySelector('#neurons thead th').ariaSort") == "ascending"
    await browser.look("document.querySelector('#neurons thead button').click()")
    assert await browser.look("uids()") == list(range(9))[::-1]
    hotkey = await browser.look("document.querySelectorAll('#neurons tbody button')[2].title")
    await browser.look(f"search({json.dumps(hotkey.upper())})")
    assert await browser.look("uids()") == [6]
    await browser.look("search('<b>nobody</b>')")
    assert "No neuron matches" in await browser.look("document.querySelector('#neurons tbody').innerText")


async def test_from_a_miner_to_its_rounds_and_receipts(stage: Stage, browser: Chromium, pictures: Path) -> None:
    await browser.open(stage.url)
    await browser.until(READY)
    await browser.look("openMiner(3)")
    await browser.until("document.querySelectorAll('#drill .tag.good').length >= 3")  # receipts, verified
    assert "Each moving score follows" in await browser.look("document.querySelector('#drill').innerText")
    assert await browser.look("document.querySelectorAll('#drill .tag.bad').length") == 0
    await browser.shoot(pictures / "dashboard-miner.png", whole=False)
    await browser.look("document.querySelector('#drill tbody button').click()")
    await browser.until("document.querySelector('#drill-title').textContent.startsWith('Round')")
    await browser.until("document.querySelectorAll('#drill tbody tr').length == 6")
    await browser.call("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape", windowsVirtualKeyCode=27)
    await browser.until("!document.querySelector('#drill').open")
    assert browser.said == []


async def test_a_hostile_name_is_shown_as_the_text_it_is(stage: Stage, browser: Chromium) -> None:
    await browser.open(stage.url)
    await browser.until(READY)
    assert HOSTILE in await browser.look("document.querySelector('#neurons').innerText")
    await browser.look("openMiner(0)")
    await browser.until("document.querySelector('#drill .notice')")  # the ledger does not know the owner
    assert HOSTILE in await browser.look("document.querySelector('#drill').innerText")
    assert await browser.look("typeof hacked") == "undefined"
    assert await browser.look("document.querySelectorAll('img').length") == 1  # the page's own icon
    # what a page's own policy stops, were there a hole
    await browser.look("document.body.append(Object.assign(document.createElement('script'), {text: 'hacked = 1'}))")
    assert await browser.look("typeof hacked") == "undefined"


async def test_the_theme_is_chosen_and_remembered(stage: Stage, browser: Chromium) -> None:
    await browser.open(stage.url)
    await browser.until(READY)
    await browser.look("document.querySelector('#theme').click()")
    assert await browser.look("document.documentElement.dataset.theme") == "dark"
    await browser.open(stage.url)
    await browser.until(READY)
    assert await browser.look("document.documentElement.dataset.theme") == "dark"


async def test_a_dead_chain_is_said_and_the_server_ends_by_ctrl_c(
    stage: Stage, browser: Chromium, pictures: Path
) -> None:
    """The last: it ends what the others need."""
    await browser.open(stage.url)
    await browser.until(READY)
    stage.end("chain", signal.SIGKILL)
    await browser.until("document.querySelector('#status').textContent.startsWith('stale since')")
    assert await browser.look("uids()")  # what was known stays
    await browser.shoot(pictures / "dashboard-stale.png", whole=False)
    assert await asyncio.to_thread(stage.end, "dashboard", signal.SIGINT) == 0
    await browser.until("document.querySelector('#status').textContent == 'page offline'")
    assert "Traceback" not in stage.said("dashboard")
