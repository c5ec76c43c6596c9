"""A pytest plugin: the fixture ``subnet_chain``, a local chain of a test's own.

It is there wherever subnetkit is installed. pytest loads this module in every run, so it imports nothing
else until a test asks for a chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from subnet.devnet import Devnet

MARKER = "subnet_chain(**options): how this test's local chain is made; options of subnet.devnet.devnet"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def subnet_chain(request: pytest.FixtureRequest) -> Iterator[Devnet]:
    """A fresh local chain: blocks for each extrinsic and on demand, tempo 10; gone after the test.

    ``@pytest.mark.subnet_chain(tempo=20, genesis="genesis.toml")`` makes it otherwise, for one test,
    a class or a module; the nearest marker's options come before those of the ones around it.
    """
    from subnet.devnet import devnet

    markers = reversed(list(request.node.iter_markers("subnet_chain")))
    chosen = {name: value for marker in markers for name, value in marker.kwargs.items()}
    with devnet(**{"production": "instant", "tempo": 10} | chosen) as chain:
        yield chain
