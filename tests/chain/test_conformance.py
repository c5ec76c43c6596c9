"""The conformance suite itself: it sends nothing where it must not."""

from __future__ import annotations

import pytest
from conformance_base import NEEDED, why_not

from subnet.cli.onchain import PUBLIC

RICH = int(NEEDED)


@pytest.mark.parametrize("genesis", sorted(PUBLIC))
def test_public_networks_are_left_alone(genesis: str) -> None:
    assert "public network" in str(why_not(genesis, RICH, frozenset()))
    assert "public network" in str(why_not(genesis, RICH, frozenset({"", "0x00"})))
    assert why_not(genesis, RICH, frozenset({genesis})) is None


def test_so_are_chains_where_the_key_is_poor() -> None:
    assert "TAO" in str(why_not("0x" + "11" * 32, RICH - 1, frozenset()))
    assert why_not("0x" + "11" * 32, RICH, frozenset()) is None
