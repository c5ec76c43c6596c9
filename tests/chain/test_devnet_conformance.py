"""The conformance suite on our own node, in this process, with a block every fifth of a second."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from conformance import ChainConformance

from subnet.devnet import devnet

ELSEWHERE = os.environ.get("SUBNET_TEST_CHAIN")


@pytest.mark.e2e
class TestDevnet(ChainConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def endpoint(cls) -> Iterator[str]:
        with devnet(production="instant", tempo=10) as node:
            yield node.url


if ELSEWHERE is not None:

    @pytest.mark.e2e
    class TestElsewhere(ChainConformance):
        """The same on the chain that SUBNET_TEST_CHAIN names: a localnet whose //Alice is rich, and sudo."""

        @pytest.fixture(scope="class")
        @classmethod
        def endpoint(cls) -> str:
            return str(ELSEWHERE)
