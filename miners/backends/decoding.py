"""One batch of prompts through ``model.generate``: each row with its own sampling, its own stream, its own end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from subnet.miners.backends.base import Sampling, TextEnd


@dataclass(eq=False)
class Job:
    """A prompt to continue; ``send`` is called, in the model's thread, with each piece of the text."""

    prompt: str
    sampling: Sampling
    send: Callable[[str], None] | None = None
    gone: bool = False
    """Nobody waits for it any more: its row ends at the next token."""


@dataclass(eq=False)
class _Row:
    """A job in the batch, and what has become of it."""

    job: Job
    end: TextEnd = field(init=False)
    text: str = ""
    """All of it so far."""
    tokens: list[int] = field(default_factory=list)
    over: bool = False
    random: Any = None
    _from: int = 0
    """Tokens before this one are text already and are not decoded again."""

    def __post_init__(self) -> None:
        self.end = TextEnd(self.job.sampling.stop)

    def add(self, token: int, tokenizer: Any, ends: frozenset[int], room: int) -> None:
        """Take the token that was drawn."""
        if self.over:
            return
        stopped = token in ends and not self.job.sampling.ignore_eos
        if not stopped:
            self.tokens.append(token)
        full = len(self.tokens) >= min(self.job.sampling.max_tokens, room)
        self.over = stopped or full or self.job.gone
        self._say(self.end.add(self._decode(tokenizer, last=self.over), last=self.over))
        self.over |= self.end.over

    def _decode(self, tokenizer: Any, *, last: bool) -> str:
        """The text of the newest tokens; half a character waits for its other half."""
        start = max(0, self._from - 4)  # a few before: some tokenizers write a word's first token otherwise
        before = tokenizer.decode(self.tokens[start : self._from], skip_special_tokens=True)
        now = tokenizer.decode(self.tokens[start:], skip_special_tokens=True)
        if not last and (now.endswith("\ufffd") or len(now) <= len(before)):
            return ""
        self._from = len(self.tokens)
        return str(now[len(before) :])

    def _say(self, piece: str) -> None:
        if piece:
            self.text += piece
            if self.job.send is not None:
                self.job.send(piece)


def generate_batch(model: Any, tokenizer: Any, context: int, jobs: list[Job]) -> list[str | Exception]:
    """The text of each job. Prompts are cut from the left to what ``context`` leaves for the longest continuation."""
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    rows = [_Row(job) for job in jobs]
    wanted = min(max(job.sampling.max_tokens for job in jobs), context - 1)
    prompts = [tokenizer(job.prompt or tokenizer.bos_token or " ", verbose=False)["input_ids"] for job in jobs]
    cut = {"input_ids": [ids[wanted - context :] for ids in prompts]}
    inputs = tokenizer.pad(cut, padding_side="left", return_tensors="pt").to(model.device)
    length = inputs["input_ids"].shape[1]
    ends = frozenset(model.generation_config.eos_token_id or ())
    for row in rows:
        if row.job.sampling.temperature > 0:
            row.random = torch.Generator(device="cpu")
            seed = row.job.sampling.seed
            row.random.seed() if seed is None else row.random.manual_seed(seed)

    def draw(ids: Any, scores: Any) -> Any:
        """Rows that sample have drawn already when greedy search looks at their scores."""
        for i, row in enumerate(rows):
            if row.job.sampling.ignore_eos and ends:
                scores[i, sorted(ends)] = -torch.inf
            if row.random is not None and not row.over:
                token = _drawn(scores[i], row.job.sampling, row.random)
                scores[i] = -torch.inf
                scores[i, token] = 0.0
        return scores

    def look(ids: Any, scores: Any, **_: Any) -> Any:
        """Called after each token: hand it out, and say which rows are over."""
        for row, token in zip(rows, ids[:, -1].tolist(), strict=True):
            row.add(token, tokenizer, ends, context - length)
        return torch.tensor([row.over for row in rows], device=ids.device)

    with torch.inference_mode():
        model.generate(
            **inputs,
            max_new_tokens=wanted,
            logits_processor=LogitsProcessorList([draw]),
            stopping_criteria=StoppingCriteriaList([look]),
        )
    return [row.text for row in rows]


def _drawn(scores: Any, sampling: Sampling, random: Any) -> int:
    """A token by temperature and top_p. On the CPU, so that a seed means the same on every device."""
    import torch

    odds = (scores.float().cpu() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ordered, places = odds.sort(descending=True, stable=True)
        kept = ordered.cumsum(-1) - ordered < sampling.top_p  # the one that passes top_p is still in
        odds = torch.zeros_like(odds).scatter(0, places[kept], ordered[kept])
    return int(torch.multinomial(odds, 1, generator=random))


def bare_settings(model: Any, tokenizer: Any) -> Any:
    """Generation settings that change no probability; of the checkpoint's only what ends a text stays."""
    from transformers import GenerationConfig

    said = getattr(model.generation_config, "eos_token_id", None)
    ends = {*([said] if isinstance(said, int) else said or ()), tokenizer.eos_token_id} - {None}
    settings: Any = GenerationConfig
    return settings(eos_token_id=sorted(ends) or None, pad_token_id=tokenizer.pad_token_id, do_sample=False)
