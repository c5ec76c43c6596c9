"""The conformance suite on chains of other versions: the same client, unmodified, by the names in their metadata."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance import ChainConformance
from conformance_base import has, rpc
from shapes.shape import NAMES, OLDER, Shape

from subnet.chain import Chain
from subnet.chain.schema import parse

NODE = Path(__file__).parent / "shapes" / "node.py"


class _Shaped(ChainConformance):
    shape: str
    own_blocks = True

    @pytest.fixture(scope="class")
    @classmethod
    def endpoint(cls) -> Iterator[str]:
        """A node of this shape, in a process of its own that ends with its standard input."""
        with subprocess.Popen(
            [sys.executable, NODE, cls.shape], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield json.loads(process.stdout.readline())["url"]
            finally:
                process.stdin.close()

    @pytest.mark.asyncio(loop_scope="class")
    async def test_the_chain_has_this_shape(self, chain: Chain, endpoint: str) -> None:
        """Else all the rest would prove nothing."""
        shape = Shape.load(self.shape)
        assert chain.spec_version == shape.spec_version
        metadata = await rpc(endpoint, "state_getMetadata")
        schema = parse(bytes.fromhex(metadata[2:]))
        module = schema.pallet("SubtensorModule")
        assert module is not None
        found = {
            kind: {variant.name: variant.index for variant in schema.type(number or 0).variants}
            for kind, number in (("errors", module.errors), ("events", module.events), ("calls", module.calls))
        }
        assert found["errors"] == {name: number for number, name in enumerate(shape.errors)}
        assert found["events"].items() <= shape.events.items()
        assert found["calls"].items() <= shape.calls.items()
        assert {item.name for item in module.items} <= shape.storage
        assert await has(chain, "SubtensorModule", "LastEpochBlock", 1) is (self.shape not in OLDER)
        assert await has(chain, "SubtensorModule", "WeightsMinStake") is (self.shape == "218")
        assert await has(chain, "SubtensorModule", "Rank", 1) is (self.shape in OLDER)


@pytest.mark.e2e
class TestSpec218(_Shaped):
    shape = "218"


@pytest.mark.e2e
class TestSpec293(_Shaped):
    shape = "293"


@pytest.mark.e2e
class TestSpec343(_Shaped):
    shape = "343"


@pytest.mark.e2e
class TestHead(_Shaped):
    shape = "head"


@pytest.mark.e2e
class TestShuffled(_Shaped):
    shape = "shuffled"


def test_a_client_that_went_by_number_would_take_one_thing_for_another() -> None:
    """Each shape has other numbers for what the suite meets on all of them."""
    shapes = [Shape.load(name) for name in NAMES]
    permits = [shape.errors.index("NeuronNoValidatorPermit") for shape in shapes]
    assert permits == [17, 16, 15, 15, 131]
    assert [shape.errors[15] for shape in shapes[:3]] == [
        "BalanceWithdrawalError",
        "ZeroBalanceAfterWithdrawn",
        "NeuronNoValidatorPermit",
    ]
    assert len({shape.events["WeightsCommitted"] for shape in shapes}) == len(shapes)
    assert {shape.calls["set_weights"] for shape in shapes} == {0, 255}
    assert not set(shapes[-1].calls.items()) & set(shapes[-2].calls.items())
