"""Miners: the class that a subnet's author fills in, and the service that runs it."""

from subnet.miners.base import Miner
from subnet.miners.batching import batched
from subnet.miners.service import Address, MinerService

__all__ = ["Address", "Miner", "MinerService", "batched"]
