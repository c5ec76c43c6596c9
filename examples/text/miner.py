"""Miners of the text subnet: an honest one over any backend, and two that save on the model.

``subnet run subnet.examples.text.miner:TextMiner -o model=Qwen/Qwen3-0.6B -o device=cuda -o dtype=bfloat16``
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from itertools import cycle
from typing import Final

from subnet.auth import Caller
from subnet.errors import ConfigError
from subnet.examples.text.models import model_folder, training_text
from subnet.examples.text.protocol import Continue, Piece
from subnet.miners import Miner
from subnet.miners.backends import Backend, OpenAIBackend, RayBackend, Sampling, TransformersBackend

PIECES: Final = 16
"""Characters that a canned answer streams at a time, as a model would."""


class TextMiner(Miner):
    """Draws the continuation from the subnet's model.

    Options: ``model`` (``tiny``, or any causal language model of the hub or a folder; the validators' must be the
    same), ``backend`` (``transformers``, ``ray``: in ``actors`` processes, ``openai``: the server at ``url``),
    ``device``, ``dtype``, ``max_batch``, ``threads`` (of torch on the CPU; 0: as many as there are cores).
    """

    model = "tiny"

    def load(self) -> None:
        self.backend = self.made()

    def made(self) -> Backend:
        """The backend that the options ask for."""
        kind, model = self.option("backend", "transformers"), self.option("model", self.model)
        if kind == "openai":
            return OpenAIBackend(self.option("url", "http://127.0.0.1:8000/v1"), model)
        local = partial(
            local_backend,
            model_folder(model),
            self.option("device", "auto"),
            self.option("dtype", "auto"),
            self.option("max_batch", 8),
            self.option("threads", 1),
        )
        if kind == "ray":
            return RayBackend(local, actors=self.option("actors", 2))
        if kind != "transformers":
            raise ConfigError(f"backend={kind} is not known", remedy="Use transformers, openai or ray.")
        return local()

    async def go_on(self, request: Continue, caller: Caller) -> AsyncIterator[Piece]:
        """The continuation, as it is drawn."""
        sampling = Sampling(max_tokens=request.tokens, temperature=1.0, ignore_eos=True)
        async with aclosing(self.backend.stream(request.prompt, sampling)) as pieces:
            async for piece in pieces:
                yield Piece(text=piece)

    async def close(self) -> None:
        await self.backend.close()


class SmallerModelMiner(TextMiner):
    """Runs a model a tenth of the size, and hopes that nobody sees it."""

    model = "smaller"


class CannedMiner(Miner):
    """Has no model: answers at once, with the same fine text each time."""

    def load(self) -> None:
        self.text = training_text()

    async def go_on(self, request: Continue, caller: Caller) -> AsyncIterator[Piece]:
        """As many characters as tokens were asked for."""
        left = request.tokens
        for start in cycle(range(0, len(self.text), PIECES)):
            if left <= 0:
                return
            piece = self.text[start : start + PIECES][:left]
            left -= len(piece)
            yield Piece(text=piece)


def local_backend(model: str, device: str, dtype: str, max_batch: int, threads: int) -> TransformersBackend:
    """The model in this process, on so many of its cores."""
    backend = TransformersBackend(model, device=device, dtype=dtype, max_batch=max_batch)
    if threads:
        import torch

        torch.set_num_threads(threads)
    return backend
