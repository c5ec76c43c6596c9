"""A local chain for clients that know nothing of this project, and what it had to refuse them.

The clients run in processes of their own, where an audit hook (guard/sitecustomize.py) refuses every
address but loopback.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from subnet.devnet import methods
from subnet.devnet.rpc import RpcError
from subnet.devnet.service import Devnet, devnet

HERE = Path(__file__).parent
CI = bool(os.environ.get("SUBNET_CI"))


@dataclass
class Watched:
    """A local chain, and the names that it refused."""

    node: Devnet
    refused: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return self.node.url


@pytest.fixture(scope="module")
def chain() -> Iterator[Watched]:
    answer, refused = methods.call, set()

    async def call(node: Any, session: Any, name: str, params: list[Any]) -> Any:
        try:
            return await answer(node, session, name, params)
        except RpcError as error:
            if "not found" in error.message:
                refused.add(f"{name} {params[0]}" if name == "state_call" else name)
            raise

    patch = pytest.MonkeyPatch()
    patch.setattr(methods, "call", call)
    with patch.context(), devnet(block_time=0.25, tempo=8) as node:
        yield Watched(node, refused)
    patch.undo()


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
