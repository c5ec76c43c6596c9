"""The conformance suite on the chain that SUBNET_TEST_CHAIN names: ``make test-chain``, docs/how-to/real-chain.md.

SUBNET_TEST_KEY is the key that pays (//Alice without; it needs 7,000 TAO, and is best sudo); without its money only the
reads are run. On finney and the test network nothing is ever sent, unless SUBNET_TEST_ALLOW holds the genesis hash
(of a fork, which has the same). SUBNET_TEST_INSTANT=1 says that the chain makes a block for each extrinsic and by
``dev_newBlock``, and no others.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from conformance import ChainConformance

from subnet.keys import load_key

if TYPE_CHECKING:
    from substrateinterface import Keypair

ENDPOINT = os.environ.get("SUBNET_TEST_CHAIN", "")


@pytest.mark.e2e
@pytest.mark.skipif(not ENDPOINT, reason="SUBNET_TEST_CHAIN=ws://... names no chain")
@pytest.mark.timeout(1800)
class TestRealChain(ChainConformance):
    own_blocks = os.environ.get("SUBNET_TEST_INSTANT") == "1"

    @pytest.fixture(scope="class")
    @classmethod
    def endpoint(cls) -> str:
        return ENDPOINT

    @pytest.fixture(scope="class")
    @classmethod
    def key(cls) -> Keypair:
        return load_key(os.environ.get("SUBNET_TEST_KEY", "//Alice"))

    @pytest.fixture(scope="class")
    @classmethod
    def allowed(cls) -> frozenset[str]:
        return frozenset(os.environ.get("SUBNET_TEST_ALLOW", "").lower().split(","))
