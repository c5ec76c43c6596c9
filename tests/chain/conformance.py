"""What we expect of a chain with SubtensorModule, as a class to inherit, in the way of eth-tester's backend suites.

    class TestMine(ChainConformance):
        @pytest.fixture(scope="class")
        @classmethod
        def endpoint(cls) -> str:
            return "ws://127.0.0.1:9944"

That is all: what the chain can do (:class:`Abilities`) is found out, and what it can't is skipped with the
reason. ``key`` must be rich; everything else is made by the tests, with keys of their own, on a subnet of
their own. They hold on a chain of any age and say nothing of how it is built, only what comes back through
:class:`subnet.chain.Chain`. :class:`ReadConformance` alone sends nothing and needs no key.

The parts: :mod:`conformance_reads`, :mod:`conformance_money`, :mod:`conformance_neurons`,
:mod:`conformance_weights`, :mod:`conformance_records`.
"""

from __future__ import annotations

from conformance_base import Abilities, Made, Stage
from conformance_money import MoneyConformance
from conformance_neurons import NeuronConformance
from conformance_reads import ReadConformance
from conformance_records import RecordConformance
from conformance_weights import WeightConformance

__all__ = ["Abilities", "ChainConformance", "Made", "ReadConformance", "Stage"]


class ChainConformance(ReadConformance, MoneyConformance, NeuronConformance, WeightConformance, RecordConformance):
    """All of it."""
