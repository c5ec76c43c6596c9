"""What every backend answers: text that is generated (whole or streamed), embeddings, classes.

A backend is made in ``Miner.load`` (it may block there), asked from ``async def`` handlers, and closed in
``Miner.close``. Requests that come together share a call of the model where the backend runs one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from subnet.errors import BackendFailed

Vectors = npt.NDArray[np.float32]
"""(texts, dimensions) float32."""
Classes = dict[str, float]
"""Probability of each label."""
MAX_TOKENS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Sampling:
    """How text is drawn. The names are those of the OpenAI API.

    At most ``max_tokens`` new tokens; ``temperature`` 0 takes the likeliest token each time; ``top_p`` cuts the tail
    of the distribution (nucleus sampling, Holtzman et al. 2020); equal ``seed``s draw equally from equal
    distributions; text ends before the first of ``stop``; ``ignore_eos`` never draws the end of the text, so that
    ``max_tokens`` come (with a server: if it knows vLLM's option). Raises ValueError for numbers that can't be.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.max_tokens <= MAX_TOKENS:
            raise ValueError(f"max_tokens is {self.max_tokens}, not from 1 to {MAX_TOKENS}")
        if not 0 <= self.temperature <= 100:
            raise ValueError(f"temperature is {self.temperature}, not from 0 to 100")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, not above 0 and at most 1")
        if self.seed is not None and not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed is {self.seed}, not from 0 to 2**63 - 1")
        if len(self.stop) > 16 or not all(0 < len(one) <= 256 for one in self.stop):
            raise ValueError("stop holds at most 16 texts of 1 to 256 characters")


GREEDY: Final = Sampling()


class Backend:
    """A model. Subclasses do what they can; the rest raises BackendFailed, as all that goes wrong in a model does.

    Busy is raised where it has too much to do, and passes from a handler to the caller.
    """

    async def generate(self, prompt: str, sampling: Sampling = GREEDY) -> str:
        """The text that continues ``prompt``."""
        async with aclosing(self.stream(prompt, sampling)) as pieces:
            return "".join([piece async for piece in pieces])

    def stream(self, prompt: str, sampling: Sampling = GREEDY) -> AsyncGenerator[str, None]:
        """The same, in pieces as they are computed. To close it (``aclosing``) ends the computation."""
        raise self._lacks("generate text")

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """A vector for each text: (texts, dimensions) float32, of length 1."""
        raise self._lacks("embed")

    async def classify(self, texts: Sequence[str]) -> list[Classes]:
        """For each text the probability of each label."""
        raise self._lacks("classify")

    async def close(self) -> None:
        """Give back what it holds; idempotent. Nothing is asked after it."""
        return

    def _lacks(self, what: str) -> BackendFailed:
        return BackendFailed(f"this {type(self).__name__} does not {what}", remedy="Load a model that does.")


class TextEnd:
    """Cuts streamed text at the first of ``stop``; holds back what may yet become one."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop, self._held = stop, ""
        self.over = False
        """Whether a stop was met: what comes later is dropped."""

    def add(self, text: str, *, last: bool = False) -> str:
        """What of the text so far may be sent now; ``last`` says that no more comes."""
        if self.over:
            return ""
        self._held += text
        found = [place for one in self._stop if (place := self._held.find(one)) >= 0]
        if found:
            self.over = True
            return self._held[: min(found)]
        keep = 0 if last else self._undecided()
        free, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return free

    def _undecided(self) -> int:
        """How many characters at the end are the beginning of a stop."""
        longest = max((len(one) for one in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(one.startswith(self._held[-length:]) for one in self._stop):
                return length
        return 0
