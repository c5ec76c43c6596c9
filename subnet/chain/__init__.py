"""The chain client: any Substrate node with SubtensorModule, through substrate-interface.

How a call passes: :class:`Chain` (client.py: a Reader and a Writer) -> a job on the connection's own thread
(connection.py) -> the session's runtime and storage reads (session.py, substrate.py, reads.py)
-> JSON-RPC under a deadline (transport.py). Writes take extrinsic.py in between. Nothing here
imports substrate-interface until a connection is made.
"""

from subnet.chain.client import Chain
from subnet.chain.events import Event
from subnet.chain.extrinsic import Included
from subnet.chain.hyperparameters import Hyperparameters

__all__ = ["Chain", "Event", "Hyperparameters", "Included"]
