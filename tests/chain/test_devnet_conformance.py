"""The conformance suite on our own node, in this process, with a block for whatever is sent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance import ChainConformance

from subnet.devnet import devnet


@pytest.mark.e2e
class TestDevnet(ChainConformance):
    own_blocks = True

    @pytest.fixture(scope="class")
    @classmethod
    def endpoint(cls) -> Iterator[str]:
        with devnet(production="instant", tempo=10) as node:
            yield node.url
