"""The local chain's and its client's figures, each beside the mark that the project sets itself.

    python benchmarks/chain.py                  # every group but the soak: a table
    python benchmarks/chain.py start weights    # these groups; the client's are metagraph and connect
    python benchmarks/chain.py metagraph --bittensor PYTHON    # bittensor 11's read of the same node beside ours
    python benchmarks/chain.py --soak 10000     # the soak: memory and disk over so many blocks, some minutes
    python benchmarks/chain.py --json           # the same rows as JSON

A group is a function that returns rows. The node is a process of its own, as users run it, with the
subnet of 256 neurons that :func:`genesis` declares.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from substrateinterface import Keypair

from subnet.devnet import devnet
from subnet.devnet.context import Spec
from subnet.devnet.hashing import blake2_256
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.system import SPEC_VERSION, TRANSACTION_VERSION
from subnet.devnet.runtime import runtime
from subnet.devnet.scale import U32, compact

NEURONS, VALIDATORS, WEIGHTS = 256, 64, 64
WARM_BLOCKS, STEP = 1000, 250  # of the soak: blocks before the first look at memory, and between two


@dataclass(frozen=True)
class Row:
    """One figure: what it is, its value (None where it was not measured), and the most that it may be.

    With ``least``, ``mark`` is the least.
    """

    what: str
    value: float | None
    unit: str
    mark: float | None = None
    least: bool = False

    @property
    def kept(self) -> bool | None:
        if self.mark is None or self.value is None:
            return None
        return self.value >= self.mark if self.least else self.value <= self.mark


# a subnet of 256
def hotkeys() -> list[Keypair]:
    """The keys of uid 0 to 255."""
    return [Keypair.create_from_uri(f"//bench//{uid}") for uid in range(NEURONS)]


def genesis(keys: list[Keypair], *, tempo: int = 360, everybody: bool = False) -> str:
    """A genesis file: 64 validators (or all) with permit, stake and weights on 64 uids each; the rest serve."""
    chance = random.Random(7)
    validators = NEURONS if everybody else VALIDATORS
    rules = f"tempo = {tempo}, commit_reveal_enabled = false, weights_rate_limit = 0, max_validators = {validators}"
    text = [f'[[subnets]]\nowner_hotkey = "{keys[0].ss58_address}"\nhyperparameters = {{ {rules} }}']
    for uid, key in enumerate(keys[1:], 1):
        text.append(f'[[subnets.neurons]]\nhotkey = "{key.ss58_address}"\naxon = "127.0.0.1:{8000 + uid}"')
        if uid < validators:
            weights = ", ".join(f"{one} = {chance.randint(1, 99)}" for one in chance.sample(range(NEURONS), WEIGHTS))
            text.append(f"stake = {1000 + uid}\npermit = true\nweights = {{ {weights} }}")
    return "\n".join(text) + "\n"


# a node
class Node:
    """A node process and its JSON-RPC."""

    def __init__(self, process: subprocess.Popen[str], url: str, genesis_hash: bytes) -> None:
        self.process, self.genesis_hash = process, genesis_hash
        self.url = url
        self._http = url.replace("ws://", "http://")

    def ask(self, *calls: tuple[str, list[Any]]) -> list[Any]:
        """The results of these calls, in one batch."""
        body = [{"jsonrpc": "2.0", "id": i, "method": name, "params": ps} for i, (name, ps) in enumerate(calls)]
        request = urllib.request.Request(self._http, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=600) as reply:
            answers = json.loads(reply.read())
        failed = [answer["error"] for answer in answers if "error" in answer]
        if failed:
            raise SystemExit(f"the node refuses: {failed[0]}")
        return [answer["result"] for answer in answers]


@contextlib.contextmanager
def node(*options: str) -> Iterator[Node]:
    command = [sys.executable, "-m", "subnet.cli", "chain", "--port", "0", "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = json.loads(process.stdout.readline() or "{}")
            if "url" not in line:
                raise SystemExit(f"the node did not start: {line}")
            yield Node(process, line["url"], bytes.fromhex(line["genesis"][2:]))
        finally:
            process.terminate()


@contextlib.contextmanager
def bench_node(keys: list[Keypair], *options: str, **rules: Any) -> Iterator[Node]:
    """A node with the subnet of 256 whose blocks are made on demand."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genesis.toml"
        path.write_text(genesis(keys, **rules))
        with node("--manual", "--genesis", str(path), *options) as found:
            yield found


def set_weights(key: Keypair, nonce: int, uids: list[int], values: list[int], genesis_hash: bytes) -> str:
    """A signed, immortal set_weights on subnet 1, as hex."""
    args = {"netuid": 1, "dests": uids, "weights": values, "version_key": 0}
    call = runtime(Spec().tempo_rule).call("SubtensorModule", "set_weights", **args).raw
    extra = b"\0" + compact(nonce) + compact(0) + b"\0"
    implicit = U32.encode(SPEC_VERSION) + U32.encode(TRANSACTION_VERSION) + genesis_hash * 2 + b"\0"
    payload = call + extra + implicit
    signature = key.sign(blake2_256(payload) if len(payload) > 256 else payload)
    body = b"\x84\0" + key.public_key + b"\1" + signature + extra + call
    return "0x" + (compact(len(body)) + body).hex()


def send_weights(chain: Node, keys: list[Keypair], nonce: int) -> None:
    """One set_weights of 64 weights for each key, into the pool."""
    chance = random.Random(nonce)
    raw = [
        set_weights(
            key, nonce, chance.sample(range(NEURONS), WEIGHTS), [chance.randint(1, 65535) for _ in range(WEIGHTS)],
            chain.genesis_hash,
        )
        for key in keys
    ]  # fmt: skip
    for first in range(0, len(raw), 64):
        chain.ask(*(("author_submitExtrinsic", [one]) for one in raw[first : first + 64]))


# groups
def start() -> list[Row]:
    """From the command to the first block, seen by a client; and until tests have one in their process."""
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        with node("--block-time", "12") as chain:
            while chain.ask(("chain_getHeader", []))[0]["number"] == "0x0":
                time.sleep(0.001)
            taken.append(time.perf_counter() - began)
    inside = []
    for _ in range(5):
        began = time.perf_counter()
        with devnet(production="manual"):
            inside.append(time.perf_counter() - began)
    return [
        Row("node: start to first block", statistics.median(taken), "s", 1.5),
        Row("devnet() in this process, first: until it is ready", inside[0], "s", 0.5),
        Row("devnet() in this process, median of five", statistics.median(inside), "s", 0.5),
    ]


def weights() -> list[Row]:
    """256 set_weights of 64 weights in one block."""
    keys = hotkeys()
    with bench_node(keys, everybody=True) as chain:
        chain.ask(("dev_newBlock", []))
        began = time.perf_counter()
        send_weights(chain, keys, 0)
        pooled = time.perf_counter() - began
        began = time.perf_counter()
        (block,) = chain.ask(("dev_newBlock", []))
        built = time.perf_counter() - began
        (updates,) = chain.ask(("state_getStorage", ["0x" + S.LastUpdate.key(1).hex(), block]))
        (header,) = chain.ask(("chain_getHeader", [block]))
    number = int(header["number"], 16)
    accepted = S.LastUpdate.value.decode(bytes.fromhex(updates[2:])).count(number)
    return [
        Row(f"node: of {NEURONS} set_weights of {WEIGHTS}, accepted in one block", accepted, "", NEURONS, least=True),
        Row("node: that block", built, "s", 2.0),
        Row("node: signing and pooling them", pooled, "s"),
    ]


def soak(blocks: int) -> list[Row]:
    """Memory and disk over many blocks: an epoch each 100, and new weights of all validators each 250."""
    keys = hotkeys()
    with (
        tempfile.TemporaryDirectory() as folder,
        bench_node(keys, "--state", f"{folder}/chain.db", tempo=100) as chain,
    ):
        process = psutil.Process(chain.process.pid)

        def disk() -> int:
            return sum(file.stat().st_size for file in Path(folder).iterdir())

        memory, sizes, began = [], [], time.perf_counter()
        for number in range(0, WARM_BLOCKS + blocks, STEP):
            send_weights(chain, keys[1:VALIDATORS], number // STEP)
            chain.ask(("dev_newBlock", [{"count": STEP}]))
            if number + STEP >= WARM_BLOCKS:
                memory.append(process.memory_info().rss)
                sizes.append(disk())
            print(f"\r{number + STEP} blocks, {process.memory_info().rss >> 20} MiB", end="", file=sys.stderr)
        taken = time.perf_counter() - began
    print(file=sys.stderr)
    return [
        Row(
            f"node: memory after {blocks} blocks more, over that after {WARM_BLOCKS}", max(memory) / memory[0], "", 1.1
        ),
        Row("node: memory then", memory[-1] / 2**20, "MiB"),
        Row("node: disk", (sizes[-1] - sizes[0]) / blocks, "bytes a block"),
        Row("node: time", taken / (WARM_BLOCKS + blocks) * 1000, "ms a block"),
    ]


def of_client(name: str) -> Callable[[str | None], list[Row]]:
    """A group of _chain_client.py, which needs this module."""

    def group(bittensor: str | None) -> list[Row]:
        import _chain_client

        return _chain_client.GROUPS[name](bittensor)

    return group


GROUPS: dict[str, Callable[[str | None], list[Row]]] = {
    "start": lambda _: start(),
    "weights": lambda _: weights(),
    "metagraph": of_client("metagraph"),
    "connect": of_client("connect"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="what to measure; all without")
    parser.add_argument("--soak", type=int, metavar="BLOCKS", help="measure memory and disk over so many blocks")
    parser.add_argument("--bittensor", metavar="PYTHON", help="the interpreter of an environment with bittensor 11")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if options.soak is not None:
        rows = soak(options.soak)
    else:
        rows = [row for name in options.groups or GROUPS for row in GROUPS[name](options.bittensor)]
    report(rows, as_json=options.json)
    if any(row.kept is False for row in rows):
        sys.exit(1)


def report(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(row) | {"kept": row.kept} for row in rows], indent=2))
        return
    print(f"{platform.machine()}, Python {platform.python_version()}")
    for row in rows:
        mark = "" if row.mark is None else f"{'at least' if row.least else 'at most'} {row.mark:g}"
        verdict = {True: "", False: "  MISSED", None: ""}[row.kept]
        value = "-" if row.value is None else f"{row.value:.4g}"
        print(f"{row.what:<64}{value:>12} {row.unit:<14}{mark}{verdict}")


if __name__ == "__main__":
    main()
