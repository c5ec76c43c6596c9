"""A miner and a validator as processes on a local chain, through everything that goes wrong in a week.

One long test, because each stage needs the one before: weights land on the chain, the validator is
killed and goes on where it was, the chain is killed and scoring goes on, weights come when it is back.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import subnet
from subnet.chain import Chain
from subnet.errors import ChainError, StoreError
from subnet.keys import load_key
from subnet.store import History, Kind, ledger_path
from subnet.types import rao

# The processes run in a folder of their own, and must find the library that is tested, installed or not.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(subnet.__file__).parents[1])}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TEMPO = 10
BLOCK_S = 0.4
OWNER, MINER, VALIDATOR = (load_key(f"//{name}") for name in ("Owner", "NeuronMiner", "NeuronValidator"))

SUBNET = """
import time
from collections.abc import Mapping, Sequence
from subnet import Caller, Message, Miner, Neuron, Ok, Synapse, Uid, Validator
from subnet.validators import Question as Deferred

class Answer(Message):
    square: int

class Question(Synapse[Answer], timeout=20.0):
    number: int

class Squares(Miner):
    def square(self, request: Question, caller: Caller) -> Answer:
        return Answer(square=request.number ** 2)

class Asks(Validator):
    interval = 0.3
    refresh_blocks = 2
    rounds_at_once = 2
    organic = (Question,)

    def load(self) -> None:
        self.rounds = 0

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        self.rounds += 1
        if self.rounds % 5 == 3:
            raise ValueError("rounds fail now and then")
        replies = await self.query(peers, Question(number=12))
        await self.defer(f"square of 12 at {time.time_ns()}", replies, due=time.time() + 0.2)
        return {r.uid: float(r.value.square == 144) if isinstance(r, Ok) else 0.0 for r in replies}

    async def judge_deferred(self, question: Deferred) -> Mapping[str, float]:
        return {hotkey: float(answer.square == 144) for hotkey, answer in question.answers(Answer).items()}

    async def judge_organic(self, request: Question, result) -> float:
        return float(isinstance(result, Ok) and result.value.square == request.number ** 2)
"""


class Bench:
    """The processes of one test, and the folder that they live in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url, self.netuid = folder, "", 0
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "squares.py").write_text(textwrap.dedent(SUBNET))

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "subnet.cli", *arguments]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command, cwd=self.folder, stdout=subprocess.PIPE, stderr=log, env=ENVIRONMENT
            )
        return self.running[name]

    def start_chain(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        state = ("--state", str(self.folder / "chain.db"))
        options = ("--port", port, "--block-time", str(BLOCK_S), "--tempo", str(TEMPO), "--json", *state)
        options += ("--start-call-delay", "3")
        process = self.start("chain", "chain", *options)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, self.log("chain")
        self.url = json.loads(line)["url"]

    def start_neuron(self, name: str, target: str, key: str, *more: str) -> None:
        common = ("--endpoint", self.url, "--netuid", str(self.netuid), "--key", key, "--log-json")
        self.start(name, "run", target, *common, "--state", str(self.folder / "state"), *more)

    def start_validator(self) -> None:
        self.start_neuron("validator", "squares:Asks", "//NeuronValidator", "--organic-port", "0")

    def tell(self, *command: str) -> Any:
        """What a command says about the ledger as JSON, while the validator writes."""
        options = ("--state", str(self.folder / "state"), "--json")
        return json.loads(
            subprocess.run(
                [sys.executable, "-m", "subnet.cli", *command, *options],
                capture_output=True,
                check=True,
                cwd=self.folder,
                env=ENVIRONMENT,
                timeout=110,
            ).stdout
        )

    def ask(self, number: int) -> int:
        """What a user of the validator's organic API is answered."""
        port = self.events("validator", "organic_serving")[-1]["port"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/Question",
            json.dumps({"number": number}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return int(json.loads(reply.read())["square"])

    def end(self, name: str, number: int = signal.SIGKILL) -> int:
        process = self.running.pop(name)
        process.send_signal(number)
        code = process.wait(timeout=60)
        if process.stdout is not None:
            process.stdout.close()
        return code

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def events(self, name: str, event: str, after: int = 0) -> list[dict[str, Any]]:
        """The events of this name in a log, from the character ``after`` on."""
        whole = self.log(name)[after:].rpartition("\n")[0]  # a line may be on its way
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def history(self) -> History:
        return History(ledger_path(self.folder / "state", self.netuid, VALIDATOR.ss58_address))

    def last_round(self) -> int:
        with self.history() as seen:
            last = seen.last_round()
        return last.id if last else 0

    def weights_since(self, block: int) -> list[int]:
        with self.history() as seen:
            return [w.block for w in seen.weights() if w.block > block]

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], *, seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, process in self.running.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            try:
                holds = condition()
                if await holds if isinstance(holds, Awaitable) else holds:
                    return
            except (StoreError, ChainError):
                pass  # not there yet
            await asyncio.sleep(0.2)
        pytest.fail("\n".join(f"--- {name}\n{self.log(name)[-3000:]}" for name in self.running))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for name in list(made.running):
        made.end(name)


async def prepare(chain: Chain) -> int:
    """A started subnet with a registered miner and a staked validator; its netuid."""
    alice, bob = load_key("//Alice"), load_key("//Bob")
    netuid = (await chain.register_network(alice, OWNER.ss58_address)).netuid
    for call, arguments in {
        "sudo_set_commit_reveal_weights_enabled": {"enabled": False},
        "sudo_set_weights_set_rate_limit": {"weights_set_rate_limit": 0},
        "sudo_set_serving_rate_limit": {"serving_rate_limit": 0},
    }.items():
        await chain.sudo(alice, "AdminUtils", call, {"netuid": netuid, **arguments})
    await chain.burned_register(bob, netuid, VALIDATOR.ss58_address)
    await chain.burned_register(bob, netuid, MINER.ss58_address)
    await chain.wait_for_block(await chain.start_call_block(netuid), timeout=120)
    await chain.start_call(alice, netuid)
    await chain.add_stake(bob, VALIDATOR.ss58_address, netuid, rao(2000))
    return int(netuid)


async def test_a_week_in_a_minute(bench: Bench) -> None:
    bench.start_chain()
    async with await Chain.connect(bench.url, timeout=60.0) as chain:
        bench.netuid = await prepare(chain)
        bench.start_neuron("miner", "squares:Squares", "//NeuronMiner")
        bench.start_validator()

        async def weights_landed() -> bool:
            return (await chain.weights(bench.netuid)).get(1) == [(2, 65535)]  # type: ignore[call-overload, no-any-return]

        await bench.until(weights_landed)
        await bench.until(lambda: len(bench.weights_since(0)) >= 2)
        with bench.history() as seen:
            scores = seen.scores()
            assert seen.last_round() is not None
        assert scores[MINER.ss58_address].uid == 2  # type: ignore[index]
        await bench.until(lambda: len(bench.events("validator", "round_failed")) > 0)
        assert "rounds fail now and then" in bench.log("validator")

    # The validator dies at a bad moment, and again.
    for _ in range(2):
        await bench.until(lambda: len(bench.weights_since(0)) >= 2)
        before = bench.last_round()
        bench.end("validator")
        assert bench.last_round() >= before
        bench.start_validator()
        await bench.until(lambda before=before: bench.last_round() > before + 3)  # type: ignore[misc]
    with bench.history() as seen:
        rounds = seen.rounds(limit=100_000)
        assert [r.id for r in rounds] == list(range(1, len(rounds) + 1))
        judged = [x for r in rounds for x in seen.results(r.id) if x.moving is not None]
        assert seen.scores()[MINER.ss58_address].rounds >= len(judged) - 1  # type: ignore[index]
        moving = 0.0
        for one in judged:
            moving = 0.1 * (one.score or 0.0) + 0.9 * moving
            assert one.moving == pytest.approx(moving)  # no life forgot or repeated a round

        truths = [r.subject for r in rounds if r.kind is Kind.TRUTH]
        assert len(truths) == len(set(truths)) > 3  # each truth counted once, over three lives

    # A user asks, and anybody may know why the miner has its weight.
    assert await asyncio.to_thread(bench.ask, 15) == 225
    await bench.until(lambda: bench.tell("history", "--kind", "organic") != [])
    told = await asyncio.to_thread(bench.tell, "explain-score", "2", "--endpoint", bench.url)
    assert (told["holds"], told["chain"]["weight"], told["weights"]["share"]) == (True, 65535, 1.0)
    assert told["receipts"]
    assert [one["problem"] for one in told["receipts"]] == [None] * len(told["receipts"])

    # The chain dies; rounds go on without it, and weights come when it is back.
    bench.end("chain")
    logged = len(bench.log("validator"))

    def cut_off() -> bool:
        return {e["loop"] for e in bench.events("validator", "loop_failed", logged)} >= {"weights", "metagraph"}

    await bench.until(cut_off)
    held, since = bench.last_round(), max(bench.weights_since(0))
    await bench.until(lambda: bench.last_round() > held + 10)
    assert bench.weights_since(since) == []
    with bench.history() as seen:
        assert any(r.answered == 1 for r in seen.rounds(after=held))
    bench.start_chain()
    await bench.until(lambda: bench.weights_since(since) != [])

    # Everybody ends as told, cleanly.
    assert bench.end("validator", signal.SIGTERM) == 0
    assert bench.end("miner", signal.SIGINT) == 0
    assert bench.events("miner", "served")[0]["ip"] == "127.0.0.1"
    assert len(bench.events("miner", "served")) == 1
    assert bench.events("validator", "weights_set")
    for name in ("miner", "validator"):
        assert bench.events(name, "stopped")
        assert "Task was destroyed" not in bench.log(name)
        assert "never awaited" not in bench.log(name)


@pytest.mark.parametrize(
    ("key", "code", "says"), [("//Stranger", 25, "subnet register --netuid"), ("not a key", 3, "keyfile")]
)
async def test_who_can_not_run_is_told_why(bench: Bench, key: str, code: int, says: str) -> None:
    bench.start_chain()
    async with await Chain.connect(bench.url, timeout=60.0) as chain:
        bench.netuid = (await chain.register_network(load_key("//Alice"), OWNER.ss58_address)).netuid
    command = [sys.executable, "-m", "subnet.cli", "run", "squares:Squares", "--endpoint", bench.url]
    command += ["--netuid", str(bench.netuid), "--key", key, "--state", str(bench.folder / "state")]
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=bench.folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
