"""The public names are a promise: adding or dropping one changes this list and the changelog."""

import subprocess
import sys

import pytest

import subnet

NAMES = [
    "Axon",
    "Block",
    "Caller",
    "Chain",
    "Coldkey",
    "Dendrite",
    "Failure",
    "Hotkey",
    "Message",
    "Metagraph",
    "Miner",
    "Netuid",
    "Neuron",
    "Ok",
    "Rao",
    "Reason",
    "Spec",
    "SubnetError",
    "Synapse",
    "Tensor",
    "Uid",
    "Validator",
    "__version__",
    "batched",
    "load_key",
    "rao",
    "tao",
]


def test_the_list_is_locked() -> None:
    assert subnet.__all__ == NAMES


def test_each_name_has_a_home_and_no_home_is_unlisted() -> None:
    assert sorted(subnet._HOME) == sorted(set(NAMES) - {"__version__"})


@pytest.mark.parametrize("name", NAMES)
def test_each_name_resolves(name: str) -> None:
    assert getattr(subnet, name) is not None
    assert name in dir(subnet)


def test_a_resolved_name_is_the_one_of_its_module() -> None:
    from subnet.errors import SubnetError

    assert subnet.SubnetError is SubnetError


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Minor'"):
        subnet.Minor


def test_a_star_import_hands_on_every_name() -> None:
    code = f"from subnet import *\nassert not set({NAMES!r}) - set(globals()), dir()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
