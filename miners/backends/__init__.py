"""Models that a miner answers with, however they are run: in this process, in a server, in a pool of Ray actors."""

from subnet.miners.backends.base import Backend, Sampling
from subnet.miners.backends.functions import FunctionBackend
from subnet.miners.backends.huggingface import TransformersBackend
from subnet.miners.backends.openai import OpenAIBackend
from subnet.miners.backends.ray_pool import RayBackend

__all__ = ["Backend", "FunctionBackend", "OpenAIBackend", "RayBackend", "Sampling", "TransformersBackend"]
