"""Each attack, for a moment: the honest are served, memory stays, nothing falls. ``make abuse`` runs them longer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from attacks import ATTACKS
from siege import besiege

pytestmark = [pytest.mark.abuse, pytest.mark.timeout(300)]

MEMORY = 128
"""MiB that an attack may make a miner grow by; what it may hold of unverified bodies is twice that."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_honest_are_served_meanwhile(attack: str) -> None:
    outcome = besiege(attack, 2.0)
    assert outcome.strikes > 0
    assert outcome.asked > 0
    assert outcome.answered == outcome.asked, outcome
    assert outcome.memory_most - outcome.memory_before < MEMORY, outcome
    assert outcome.noise < 10_000, outcome
