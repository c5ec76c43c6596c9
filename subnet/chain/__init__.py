"""The chain client: any Substrate node with SubtensorModule, through substrate-interface.

How a call passes: :class:`Chain` (client.py: a Reader and a Writer) -> a job on the connection's own thread
(connection.py) -> the session's runtime and storage reads (session.py, substrate.py, reads.py)
-> JSON-RPC under a deadline (transport.py). Writes are calls (calls.py,
weights.py) that are signed, sent and followed (signing.py, extrinsic.py, following.py). Nothing here
imports substrate-interface until a connection is made.
"""

from subnet.chain.calls import Call
from subnet.chain.client import Chain
from subnet.chain.events import Event
from subnet.chain.heads import Head
from subnet.chain.hyperparameters import Hyperparameters
from subnet.chain.sending import Estimate, Included, Prepared
from subnet.chain.weights import WeightCommit

__all__ = ["Call", "Chain", "Estimate", "Event", "Head", "Hyperparameters", "Included", "Prepared", "WeightCommit"]
