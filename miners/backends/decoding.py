"""Prompts side by side through ``model.generate``: each row with its own sampling, its own stream, its own end.

A prompt's neighbours must not matter to it. Only prompts that fit the context together share a call; each row has a
generator of its own, read once a token; what one row raises ends that row alone. What is left is rounding: the
shape of a batch may change a logit's last bits, and so, now and then, a token that hung on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from subnet.errors import BackendFailed, TooMuch
from subnet.miners.backends.base import Sampling, TextEnd


@dataclass(eq=False)
class Job:
    """A prompt to continue; ``send`` is called, in the model's thread, with each piece of the text, and with None
    after the last, which may be long before its batch is over."""

    prompt: str
    sampling: Sampling
    send: Callable[[str | None], None] | None = None
    gone: bool = False
    """Nobody waits for it any more: its row ends at the next token."""


@dataclass(eq=False)
class _Row:
    """A job in the batch, and what has become of it."""

    job: Job
    prompt: list[int]
    end: TextEnd = field(init=False)
    text: str = ""
    """All of it so far."""
    tokens: list[int] = field(default_factory=list)
    over: bool = False
    error: Exception | None = None
    random: Any = None
    _from: int = 0
    """Tokens before this one are text already and are not decoded again."""

    def __post_init__(self) -> None:
        import torch

        self.end = TextEnd(self.job.sampling.stop)
        if self.job.sampling.temperature > 0:
            self.random = torch.Generator(device="cpu")
            seed = self.job.sampling.seed
            self.random.seed() if seed is None else self.random.manual_seed(seed)

    @property
    def outcome(self) -> str | Exception:
        return self.text if self.error is None else self.error

    def draw(self, scores: Any) -> None:
        """Leave the drawn token alone in ``scores``, (vocabulary,), for greedy search to find."""
        if self.random is None or self.over:
            return
        try:
            token = _drawn(scores, self.job.sampling, self.random)
        except Exception as error:  # no number among the scores, for one
            self.fail(error)
            return
        scores.fill_(-float("inf"))
        scores[token] = 0.0

    def take(self, token: int, tokenizer: Any, ends: frozenset[int]) -> None:
        """Take the token that was drawn."""
        if self.over:
            return
        try:
            self._take(token, tokenizer, ends)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        self.over, self.error = True, error

    def _take(self, token: int, tokenizer: Any, ends: frozenset[int]) -> None:
        stopped = token in ends and not self.job.sampling.ignore_eos
        if not stopped:
            self.tokens.append(token)
        last = stopped or len(self.tokens) >= self.job.sampling.max_tokens or self.job.gone
        self._say(self.end.add(self._decode(tokenizer, last=last), last=last))
        self.over = last or self.end.over
        if self.over and self.job.send is not None:
            self.job.send(None)

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
    """The text of each job, or what went wrong with it: TooMuch where ``max_tokens`` leave the prompt no room.

    A prompt is cut from the left to what ``context`` leaves for its own ``max_tokens``.
    """
    outcomes: dict[Job, str | Exception] = {}
    rows = []
    for job in jobs:
        try:
            ids = prompt_tokens(tokenizer, job.prompt)
            rows.append(_Row(job, ids[-room_of(job.sampling, context) :]))
        except Exception as error:
            outcomes[job] = error
    for group in _groups(rows, context):
        try:
            _generate(model, tokenizer, group)
        except Exception as error:  # a device that ran out of memory fails those that were on it
            for row in group:
                row.fail(row.error or error)
        outcomes |= {row.job: row.outcome for row in group}
    return [outcomes[job] for job in jobs]


def room_of(sampling: Sampling, context: int) -> int:
    """Tokens that are left for the prompt, 1 or more. Raises TooMuch."""
    if sampling.max_tokens >= context:
        raise TooMuch(
            f"{sampling.max_tokens} tokens asked for, and the model's context holds {context}",
            remedy=f"Ask for {context - 1} at most; what they leave of the context is the prompt's.",
        )
    return context - sampling.max_tokens


def prompt_tokens(tokenizer: Any, prompt: str) -> list[int]:
    """The prompt as the model gets it, with what its tokenizer puts before a text; never empty."""
    try:
        return list(tokenizer(prompt or tokenizer.bos_token or " ", verbose=False)["input_ids"])
    except TypeError:
        raise BackendFailed("the prompt is no text", remedy="Send whole characters, no halves of a pair.") from None


def _groups(rows: Sequence[_Row], context: int) -> list[list[_Row]]:
    """Rows that fit the context together, the longest prompt and the most tokens; in their order."""
    groups: list[list[_Row]] = []
    for row in rows:
        for group in groups:
            both = [*group, row]
            if max(len(r.prompt) for r in both) + max(r.job.sampling.max_tokens for r in both) <= context:
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def _generate(model: Any, tokenizer: Any, rows: list[_Row]) -> None:
    """One call of the model."""
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    padded = tokenizer.pad({"input_ids": [row.prompt for row in rows]}, padding_side="left", return_tensors="pt")
    ends = frozenset(model.generation_config.eos_token_id or ())

    def draw(ids: Any, scores: Any) -> Any:
        """Rows that sample have drawn already when greedy search looks at their scores."""
        for i, row in enumerate(rows):
            if row.job.sampling.ignore_eos and ends:
                scores[i, sorted(ends)] = -torch.inf
            row.draw(scores[i])
        return scores

    def look(ids: Any, scores: Any, **_: Any) -> Any:
        """Called after each token: hand it out, and say which rows are over."""
        for row, token in zip(rows, ids[:, -1].tolist(), strict=True):
            row.take(token, tokenizer, ends)
        return torch.tensor([row.over for row in rows], device=ids.device)

    with torch.inference_mode():
        model.generate(
            **padded.to(model.device),
            max_new_tokens=max(row.job.sampling.max_tokens for row in rows),
            logits_processor=LogitsProcessorList([draw]),
            stopping_criteria=StoppingCriteriaList([look]),
        )


def _drawn(scores: Any, sampling: Sampling, random: Any) -> int:
    """A token by temperature and top_p. On the CPU, so that a seed means the same on every device."""
    import torch

    scores = scores.float().cpu()
    odds = ((scores - scores.max()) / max(sampling.temperature, 1e-30)).softmax(-1)  # no inf - inf, and no 0 / 0
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
