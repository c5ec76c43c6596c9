"""TransformersBackend: a Hugging Face model in this process.

Requests are joined into calls of the model (:mod:`subnet.miners.batches`): prompts that came together are
generated side by side, each with its own sampling, and each streams as its tokens come. A prompt that comes
while a batch is being generated waits for its end; a server such as vLLM, which takes prompts into a running
batch, is reached with OpenAIBackend.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from subnet.errors import BackendFailed, Busy, ConfigError, MissingExtra
from subnet.miners.backends.base import GREEDY, Backend, Classes, Sampling, Vectors
from subnet.miners.backends.decoding import Job, bare_settings, generate_batch, prompt_tokens, room_of
from subnet.miners.backends.functions import all_of
from subnet.miners.batches import Batches

log = logging.getLogger(__name__)

Task = Literal["generate", "embed", "classify"]
_CLASSES = {
    "generate": "AutoModelForCausalLM",
    "embed": "AutoModel",
    "classify": "AutoModelForSequenceClassification",
}


class TransformersBackend(Backend):
    """``model`` is a folder, or a name on the Hugging Face hub (``local_files_only``: out of the cache alone).

    ``task`` is what it is for: ``generate``, ``embed`` (the mean of the last hidden states, of length 1) or
    ``classify``. ``device``: ``auto`` takes a GPU where there is one, else as torch names them (``cpu``, ``cuda:1``);
    ``dtype``: ``auto`` keeps the checkpoint's, else float32, bfloat16, float16. At most ``max_batch`` texts are in one
    call, which waits ``max_wait`` seconds to fill, and ``max_waiting`` more may wait (Busy for the next). Texts are cut
    to the model's context from the left for generation, from the right otherwise. Code that comes with a model is
    never run, and weights are read from safetensors only. Raises MissingExtra and ConfigError.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        task: Task = "generate",
        device: str = "auto",
        dtype: str = "auto",
        revision: str | None = None,
        local_files_only: bool = False,
        max_batch: int = 8,
        max_wait: float = 0.005,
        max_waiting: int = 256,
    ) -> None:
        if task not in _CLASSES:
            raise ConfigError(f"task {task!r} is none of {', '.join(_CLASSES)}", remedy="Choose one of them.")
        self.task, self._max_waiting = task, max_waiting
        self.device = _device(device)
        self.tokenizer, self.model = _load(str(model), task, self.device, dtype, revision, local_files_only)
        self.context = _context(self.model, self.tokenizer)
        self._jobs: Batches[Job, str] = Batches(self._generate, max_batch, max_wait)
        self._texts: Batches[str, Any] = Batches(self._rows, max_batch, max_wait)
        log.info("model", extra={"model": str(model), "task": task, "device": self.device, "dtype": self.dtype})

    @property
    def dtype(self) -> str:
        """The weights' type, as torch names it."""
        return str(self.model.dtype).removeprefix("torch.")

    async def stream(self, prompt: str, sampling: Sampling = GREEDY) -> AsyncGenerator[str, None]:
        """Raises TooMuch where ``max_tokens`` are as many as the context or more; a prompt is cut from the left to what
        they leave."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def send(piece: str | None) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        asked = asyncio.ensure_future(self._ask(Job(prompt, sampling, send)))
        asked.add_done_callback(lambda _: pieces.put_nowait(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            if asked.done():  # else the text is whole, and its batch goes on for others
                await asked
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.task != "embed":
            raise self._lacks("embed")
        return np.stack(await self._all(texts)) if texts else np.zeros((0, self.model.config.hidden_size), np.float32)

    async def classify(self, texts: Sequence[str]) -> list[Classes]:
        if self.task != "classify":
            raise self._lacks("classify")
        names = self.model.config.id2label
        return [{names[i]: float(p) for i, p in enumerate(row)} for row in await self._all(texts)]

    def log_probabilities(self, prompt: str, tokens: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The distribution before each of ``tokens`` that follow ``prompt``: (tokens, vocabulary) float64 natural
        logarithms. Blocks; for judges, who get the tokens of a text by :meth:`tokens`.

        Raises BackendFailed where both together are longer than the context.
        """
        import torch

        before = prompt_tokens(self.tokenizer, prompt)
        ids = [*before, *tokens]
        if len(ids) > self.context:
            raise BackendFailed(f"{len(before)} tokens of a prompt and {len(tokens)} more: {self.context} fit")
        with torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([ids], device=self.device)).logits[0]
            rows = logits[len(before) - 1 : -1].double().log_softmax(-1)
        return np.asarray(rows.cpu().numpy(), np.float64)

    def tokens(self, text: str) -> list[int]:
        """The text's tokens, without any that the tokenizer would add around it."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    async def close(self) -> None:
        """Let go of the model, so that its memory is free once a call that runs has ended."""
        self._jobs.stop()
        self._texts.stop()

    async def _ask(self, job: Job) -> str:
        if self.task != "generate":
            raise self._lacks("generate text")
        room_of(job.sampling, self.context)
        self._admit(1, self._jobs)
        try:
            return await self._jobs.ask(job)
        finally:
            job.gone = True  # it may be cancelled amid its batch

    async def _all(self, texts: Sequence[str]) -> list[Any]:
        self._admit(len(texts), self._texts)
        return await all_of(self._texts, texts)

    def _admit(self, more: int, batches: Batches[Any, Any]) -> None:
        if len(batches) + more > self._max_waiting:
            raise Busy(f"{len(batches)} texts wait for the model already", retry_after=1.0)

    def _generate(self, jobs: list[Job]) -> list[str | Exception]:
        return generate_batch(self.model, self.tokenizer, self.context, jobs)

    def _rows(self, texts: list[str]) -> list[Any]:
        """A vector, or the labels' probabilities, for each text: one call of the model."""
        import torch

        inputs = self.tokenizer(
            texts, return_tensors="pt", padding=True, truncation=True, max_length=self.context, padding_side="right"
        ).to(self.device)
        inputs.pop("token_type_ids", None) if self.task == "embed" else None
        with torch.inference_mode():
            out = self.model(**inputs)
            if self.task == "classify":
                return list(out.logits.float().softmax(-1).cpu().numpy())
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            mean = (out.last_hidden_state.float() * mask).sum(1) / mask.sum(1).clamp(min=1)
            return list(torch.nn.functional.normalize(mean, dim=-1).cpu().numpy())


def _device(wanted: str) -> str:
    torch = _torch()
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {wanted!r} is not here: {str(error).splitlines()[0]}", remedy="Use cpu, cuda or auto."
        ) from None
    return wanted


def _torch() -> Any:
    try:
        import torch
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(f"TransformersBackend needs {error.name}", remedy="pip install 'subnetkit[torch]'") from None
    return torch


def _load(model: str, task: str, device: str, dtype: str, revision: str | None, local: bool) -> tuple[Any, Any]:
    torch = _torch()
    import transformers

    if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ConfigError(f"torch has no dtype {dtype!r}", remedy="Use auto, float32, bfloat16 or float16.")
    if not sys.stderr.isatty():  # a log is no place for progress bars
        bars: Any = transformers.utils.logging
        bars.disable_progress_bar()
    where: dict[str, Any] = {"revision": revision, "local_files_only": local or Path(model).is_dir()}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, trust_remote_code=False, **where)
        made = getattr(transformers, _CLASSES[task]).from_pretrained(
            model, trust_remote_code=False, use_safetensors=True, dtype=dtype, **where
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"the model {model!r} can't be loaded: {str(error).splitlines()[0]}",
            remedy="Name a folder that save_pretrained has written, or a model of the hub, with safetensors weights.",
        ) from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    if made.config.pad_token_id is None:
        made.config.pad_token_id = tokenizer.pad_token_id
    if task == "generate":  # how text is drawn is the request's to say, not the checkpoint's
        made.generation_config = bare_settings(made, tokenizer)
    return tokenizer, made.to(device).eval()


def _context(model: Any, tokenizer: Any) -> int:
    """Tokens that fit, prompt and continuation together."""
    limits = [getattr(model.config, name, None) for name in ("max_position_embeddings", "n_positions")]
    limits.append(tokenizer.model_max_length)  # a huge number where it does not know
    return int(min(limit for limit in limits if limit))
