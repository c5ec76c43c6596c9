"""The JSON-RPC methods of the node: what substrate-interface and its like call, and a few of a development chain.

A module a prefix; ``rpc_methods`` lists them all. What a Substrate node has and this one has not is
refused as unknown, by name.
"""

from subnet.devnet.methods import author, chain, dev, state, system  # noqa: F401 - each declares its methods
from subnet.devnet.methods.declare import METHODS as METHODS
from subnet.devnet.methods.declare import call as call
