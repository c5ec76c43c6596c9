"""The text validator: asks every miner to continue prompts of its own, and judges by a reference model.

Each miner's prompts differ from the others' and from one round to the next, so that neither another's answer nor
an old one fits. Prompts come from text that the tiny model has not seen, cut at random.

Users may ask the miners too, through the validator. Who they are and what they ask is unknown: a miner's friend could
ask what it has the answer to, so what users get can only take from a miner's score.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from subnet.errors import StreamFailed
from subnet.examples.text.judge import Evidence, evidence, likeness, originality, score, z_score
from subnet.examples.text.miner import local_backend
from subnet.examples.text.models import held_out, model_folder
from subnet.examples.text.protocol import Continue
from subnet.results import Failure, Ok, Reason
from subnet.synapse import Synapse
from subnet.types import Neuron, Uid
from subnet.validators import Validator


class TextValidator(Validator):
    """Options: ``model``, ``device``, ``dtype`` (the reference), ``seed``, ``prompts`` (for each miner in a round),
    ``tokens`` (of each continuation), ``context`` (characters of a prompt)."""

    alpha = 0.3
    organic = (Continue,)

    def load(self) -> None:
        model = self.option("model", "tiny")
        self.reference = local_backend(
            model_folder(model), self.option("device", "auto"), self.option("dtype", "auto"), 1, 1
        )
        self.random = np.random.default_rng(self.option("seed", 0))
        self.prompts, self.tokens = self.option("prompts", 4), self.option("tokens", 64)
        self.context, self.text = self.option("context", 80), held_out()

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        return dict(await asyncio.gather(*[self._judged(peer) for peer in peers]))

    async def _judged(self, peer: Neuron) -> tuple[Uid, float]:
        """One prompt after the other, so that a miner's speed is that of one caller."""
        clock = asyncio.get_running_loop().time
        prompts = [self._prompt() for _ in range(self.prompts)]
        texts: list[str] = []
        began = clock()
        for prompt in prompts:
            try:
                async with self.stream(peer, Continue(prompt=prompt, tokens=self.tokens)) as pieces:
                    texts.append("".join([piece.text async for piece in pieces]))
            except StreamFailed:
                return peer.uid, 0.0
        seconds = clock() - began
        pairs = zip(prompts, texts, strict=True)
        found = [await asyncio.to_thread(self._evidence, *pair, self.tokens) for pair in pairs]
        return peer.uid, score(
            likeness(z_score(found)),
            originality(prompts, texts),
            sum(one.tokens for one in found),
            self.prompts * self.tokens,
            seconds,
        )

    async def judge_organic(self, request: Synapse[Any], result: Ok[Any] | Failure) -> float | None:
        """The likeness of what a user got, and never more than the score that the miner has from the rounds.

        Speed says nothing here: how much is asked at once is the users' doing. So is it that a miner is busy, that more
        is asked than the model has room for, and that a stream ends early because its user has left.
        """
        assert isinstance(request, Continue)  # noqa: S101 - the only one that users may ask
        room = self.reference.context - len(self.reference.tokens(request.prompt))
        if room < request.tokens:
            return None
        if isinstance(result, Failure):
            return None if result.reason is Reason.BUSY else 0.0
        text = "".join(piece.text for piece in result.value)
        found = await asyncio.to_thread(self._evidence, request.prompt, text, request.tokens)
        whole = 1.0 if result.partial else found.tokens / request.tokens
        score = self.moving.get(result.hotkey)
        return min(likeness(z_score([found])) * whole**2, score.value if score else 0.0)

    def _evidence(self, prompt: str, text: str, most: int) -> Evidence:
        """What the reference makes of as much of the text as was asked for."""
        wanted = self.reference.tokens(text)[:most]
        return evidence(self.reference.log_probabilities(prompt, wanted), wanted)

    def _prompt(self) -> str:
        start = int(self.random.integers(0, len(self.text) - self.context))
        return self.text[start : start + self.context]
