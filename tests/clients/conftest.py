"""A local chain for clients that know nothing of this project, and what it had to refuse them.

The clients run in processes of their own, where an audit hook (guard/sitecustomize.py) refuses every
address but loopback.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from subnet.devnet.service import Devnet, devnet

HERE = Path(__file__).parent
CI = bool(os.environ.get("SUBNET_CI"))


class Refusals(logging.Handler):
    """The names of the methods that the node refused."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.names: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("refused"):
            self.names.add(str(record.args))


@dataclass(frozen=True)
class Watched:
    """A local chain, and the names that it refused."""

    node: Devnet
    refused: set[str]

    @property
    def url(self) -> str:
        return self.node.url


@pytest.fixture(scope="module")
def chain() -> Iterator[Watched]:
    log, refusals = logging.getLogger("subnet.devnet"), Refusals()
    level = log.level
    log.addHandler(refusals)
    log.setLevel(logging.INFO)
    try:
        # a shielded extrinsic is valid for 8 blocks: long enough for a client on a slow machine
        with devnet(block_time=1.0, tempo=4) as node:
            yield Watched(node, refusals.names)
    finally:
        log.setLevel(level)
        log.removeHandler(refusals)


def run(command: Sequence[str | Path], home: Path, timeout: float = 150) -> subprocess.CompletedProcess[str]:
    """A client's process to its end: nothing of the user's environment, nothing but loopback."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
        "PYTHONPATH": str(HERE / "guard"),
        "BITTENSOR_RUNTIME_CACHE_DIR": str(home / "metadata"),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
    assert "REFUSED" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    return done
