"""A validator hears of mechanisms that its subnet has and it does not serve, once for each number."""

from __future__ import annotations

import pytest

from subnet.validators.mechanisms import MechanismCount
from tests.memory_chain import NETUID, MemoryChain


async def test_a_count_that_differs_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    chain = MemoryChain(mechanisms=1)
    count = MechanismCount(chain, NETUID, ours=1)
    await count.look()
    assert caplog.records == []
    chain.mechanisms = 3
    for _ in range(2):
        assert await count.look() > 0
    chain.mechanisms = 1
    await count.look()
    (told,) = caplog.records
    assert (told.getMessage(), told.chain, told.ours) == ("mechanisms_differ", 3, 1)  # type: ignore[attr-defined]
    assert "mechanisms=3" in told.remedy  # type: ignore[attr-defined]
