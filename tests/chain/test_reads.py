"""The legacy epoch rule against the rule itself, and pages of keys that are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.chain.reads import _netuids, from_hex, legacy_next_epoch
from subnet.errors import ChainMalformed


@given(st.integers(0, 2**32), st.integers(0, 65535), st.integers(1, 400))
def test_the_legacy_epoch_is_the_first_block_that_the_rule_names(now: int, netuid: int, tempo: int) -> None:
    due = legacy_next_epoch(now, netuid, tempo)
    assert now < due <= now + tempo + 1
    assert (due + netuid + 2) % (tempo + 1) == 0


def test_netuids_are_the_ends_of_keys() -> None:
    assert _netuids(["0xAB0100", "0xab0002"], "0xab") == [1, 512]
    assert _netuids(["0xcd0100"], "0xab") == []


@pytest.mark.parametrize("page", [None, "0xab0100", [1], [None], ["0xabzz"], ["0xab0100"] * 1001])
def test_pages_that_are_none(page: Any) -> None:
    with pytest.raises(ChainMalformed):
        _netuids(page, "0xab")


def test_storage_values() -> None:
    assert from_hex(None) is None
    assert from_hex("0x0102") == b"\x01\x02"
    for lie in ("0xzz", 5, ["0x"], "0x1"):
        with pytest.raises(ChainMalformed):
            from_hex(lie)
