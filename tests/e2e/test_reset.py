"""A local chain that goes back to a snapshot, and one that is wiped: neurons go on, or say why not and end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from subnet.chain import Chain
from subnet.errors import NotRegistered, WrongNetwork
from tests.e2e.test_neurons import MINER, Bench, prepare

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for name in list(made.running):
        made.end(name)


def call(bench: Bench, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(bench.url.replace("ws:", "http:"), body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())["result"]


def start(bench: Bench, *more: str) -> None:
    common = ("--metrics-port", "0", *more)
    bench.start_neuron("miner", "squares:Squares", "//NeuronMiner", *common)
    bench.start_neuron("validator", "squares:Asks", "//NeuronValidator", *common)


def asked(bench: Bench, name: str, path: str) -> int:
    """The status of a page of a neuron, beside its metrics."""
    url = bench.events(name, "metrics")[-1]["url"].replace("/metrics", path)
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


async def weights_are(chain: Chain, bench: Bench, uid: int, row: list[tuple[int, int]]) -> bool:
    return (await chain.weights(bench.netuid)).get(uid) == row  # type: ignore[call-overload, no-any-return]


async def test_neurons_go_on_when_the_chain_goes_back_under_them(bench: Bench) -> None:
    bench.start_chain()
    async with await Chain.connect(bench.url, timeout=60.0) as chain:
        bench.netuid = await prepare(chain)
        registered = call(bench, "dev_snapshot")
        start(bench)
        await bench.until(lambda: weights_are(chain, bench, 1, [(2, 65535)]))
        call(bench, "dev_newBlock", {"count": 200})
        await bench.until(lambda: len(bench.weights_since(200)) >= 1)
        before = int(await chain.block_number())
        call(bench, "dev_revert", registered)  # the axon and the weights are gone
        await bench.until(lambda: len(bench.events("miner", "served")) == 2)
        await bench.until(lambda: weights_are(chain, bench, 1, [(2, 65535)]))
        assert await chain.block_number() < before  # it did not wait for the old chain's blocks to come again
        (reset,) = bench.events("validator", "chain_reset")
        assert (
            reset["was"] >= 200 > reset["block"]
        )  # as far as it had seen the head come, which may be less than we have
        assert asked(bench, "miner", "/health") == asked(bench, "validator", "/health") == 200


async def ended(bench: Bench, name: str) -> int:
    process: subprocess.Popen[bytes] = bench.running.pop(name)
    code = await asyncio.to_thread(process.wait, 120)
    if process.stdout is not None:
        process.stdout.close()
    return code


async def test_a_chain_that_was_wiped_ends_its_neurons_and_their_next_life_joins_it(bench: Bench) -> None:
    bench.start_chain()
    async with await Chain.connect(bench.url, timeout=60.0) as chain:
        bench.netuid = await prepare(chain)
        pinned = chain.genesis_hash
    start(bench, "-o", "strange=8")
    waits = ("--genesis-hash", pinned, "-o", "strange=0", "--metrics-port", "0", "--state", str(bench.folder / "other"))
    bench.start_neuron("waits", "squares:Squares", "//NeuronMiner", *waits)
    await bench.until(lambda: bench.last_round() >= 3)
    await bench.until(lambda: len(bench.events("waits", "serving")) == 1)
    assert asked(bench, "miner", "/ready") == asked(bench, "validator", "/ready") == 200

    bench.end("chain")
    for file in bench.folder.glob("chain.db*"):
        file.unlink()
    bench.start_chain()
    for name in ("miner", "validator", "waits"):
        await bench.until(lambda name=name: len(bench.events(name, "wrong_network")) == 1)  # type: ignore[misc]
        assert asked(bench, name, "/ready") == asked(bench, name, "/health") == 503
        (told,) = bench.events(name, "wrong_network")
        assert (told["code"], pinned in told["error"]) == ("chain.wrong-network", True)
    assert await ended(bench, "miner") == await ended(bench, "validator") == WrongNetwork.exit_code
    assert "error[chain.wrong-network]" in bench.log("miner")
    assert bench.events("validator", "stopped")
    assert bench.running["waits"].poll() is None
    old = bench.last_round()

    async with await Chain.connect(bench.url, timeout=60.0) as chain:
        assert await prepare(chain) == bench.netuid
        logged = len(bench.log("validator"))
        start(bench)
        await bench.until(lambda: weights_are(chain, bench, 1, [(2, 65535)]))
        (began,) = bench.events("validator", "validating", logged)
        assert (began["round"], began["scores"]) == (1, 0)  # nothing is taken over
        (fresh,) = bench.events("validator", "fresh_ledger", logged)
        assert fresh["genesis"] == chain.genesis_hash
        assert fresh["others"] == [pinned]
        me = (await chain.metagraph(bench.netuid)).neuron(MINER.ss58_address)  # type: ignore[arg-type]
        assert me is not None
        assert me.axon is not None
        assert me.axon.port == bench.events("miner", "serving")[-1]["port"]
    assert old > 0


async def test_who_is_on_the_wrong_network_or_has_no_uid_is_told_the_command(bench: Bench) -> None:
    bench.start_chain()
    async with await Chain.connect(bench.url, timeout=60.0) as chain:
        bench.netuid = await prepare(chain)
        genesis = chain.genesis_hash
    bench.start_neuron("lost", "squares:Squares", "//NeuronMiner", "--genesis-hash", "0x" + "5a" * 32)
    bench.start_neuron("stranger", "squares:Squares", "//Stranger")
    assert await ended(bench, "lost") == WrongNetwork.exit_code
    assert f"--genesis-hash {genesis}" in bench.log("lost")
    assert await ended(bench, "stranger") == NotRegistered.exit_code
    assert f"subnet register --netuid {bench.netuid}" in bench.log("stranger")
