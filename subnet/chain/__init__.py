"""The chain client: any Substrate node with SubtensorModule.

How a call passes: :class:`Chain` (client.py: a Reader and a Writer) -> a job on the connection's own thread
(connection.py) -> the session's runtime and storage reads (session.py, runtime.py, reads.py and its
siblings) -> JSON-RPC under a deadline (transport.py). Writes are calls (calls.py, weights.py) that are signed,
sent and followed (signing.py, extrinsic.py, following.py). Reading needs neither substrate-interface nor
scalecodec; the first signature imports them.
"""

from subnet.chain.accounts import Identity, Relation
from subnet.chain.calls import Call
from subnet.chain.client import Chain
from subnet.chain.commitments import Commitment, Datum, OpenCommit, TimelockedCommit
from subnet.chain.events import Event
from subnet.chain.heads import Head
from subnet.chain.history import NeuronHistory
from subnet.chain.hyperparameters import Hyperparameters
from subnet.chain.sending import Estimate, Included, Prepared
from subnet.chain.stakes import Stake
from subnet.chain.subnets import Subnet, SubnetIdentity
from subnet.chain.weights import WeightCommit

__all__ = [
    "Call",
    "Chain",
    "Commitment",
    "Datum",
    "Estimate",
    "Event",
    "Head",
    "Hyperparameters",
    "Identity",
    "Included",
    "NeuronHistory",
    "OpenCommit",
    "Prepared",
    "Relation",
    "Stake",
    "Subnet",
    "SubnetIdentity",
    "TimelockedCommit",
    "WeightCommit",
]
