"""Build, run and judge AI subnets on a Substrate chain.

The names below are the public ones; a test locks the list. Each is imported from its module
when it is first touched, so that ``import subnet`` costs nothing that a program does not use.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Axon": "subnet.axon",
    "Block": "subnet.types",
    "Caller": "subnet.auth",
    "Chain": "subnet.chain",
    "Coldkey": "subnet.types",
    "Dendrite": "subnet.dendrite",
    "Failure": "subnet.dendrite",
    "Hotkey": "subnet.types",
    "Message": "subnet.synapse",
    "Metagraph": "subnet.types",
    "Miner": "subnet.miners",
    "Netuid": "subnet.types",
    "Neuron": "subnet.types",
    "Ok": "subnet.dendrite",
    "Rao": "subnet.types",
    "Reason": "subnet.dendrite",
    "Spec": "subnet.synapse",
    "SubnetError": "subnet.errors",
    "Synapse": "subnet.synapse",
    "Tensor": "subnet.synapse",
    "Uid": "subnet.types",
    "Validator": "subnet.validators",
    "batched": "subnet.miners",
    "load_key": "subnet.keys",
    "rao": "subnet.types",
    "tao": "subnet.types",
}

if TYPE_CHECKING:
    from subnet.auth import Caller
    from subnet.axon import Axon
    from subnet.chain import Chain
    from subnet.dendrite import Dendrite, Failure, Ok, Reason
    from subnet.errors import SubnetError
    from subnet.keys import load_key
    from subnet.miners import Miner, batched
    from subnet.synapse import Message, Spec, Synapse, Tensor
    from subnet.types import Block, Coldkey, Hotkey, Metagraph, Netuid, Neuron, Rao, Uid, rao, tao
    from subnet.validators import Validator

__all__ = [
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


logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value  # asked for once; from now on a plain attribute
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
