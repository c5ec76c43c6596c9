"""The subnet's tiny model, and a smaller one for the miner that saves on it: trained once, at first use.

Both are character-level Llama models for the text that lies beside this file, made in under a minute and kept in
``$SUBNET_CACHE_DIR/text`` (by default ``~/.cache/subnet/text``). Training is seeded; processes that want one at once
wait for the first to make it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

CONTEXT: Final = 256
"""Tokens (here: characters) that the models see."""
_BATCH, _LENGTH, _RATE = 12, 64, 4e-3


@dataclass(frozen=True)
class Size:
    """What a tiny model is built and trained by."""

    hidden: int
    layers: int
    heads: int
    steps: int


SIZES: Final = {"tiny": Size(80, 2, 4, 450), "smaller": Size(20, 1, 2, 250)}
"""``tiny`` is the subnet's; ``smaller`` costs a tenth to run, and is found out."""


def text() -> str:
    """The text that the models learn: the beginning of Shakespeare's Coriolanus, ASCII."""
    return files("subnet.examples.text").joinpath("shakespeare.txt").read_text("ascii")


def training_text() -> str:
    """The first nine tenths."""
    return text()[: len(text()) * 9 // 10]


def held_out() -> str:
    """The rest, from which validators draw prompts."""
    return text()[len(text()) * 9 // 10 :]


def model_folder(name: str, *, quiet: bool = False) -> str:
    """Where the model lies: a tiny one's folder (trained now if need be), any other name as it is.

    Needs the extra ``torch``. ``quiet`` leaves the progress bar out; it comes on stderr, on a terminal only.
    """
    if name not in SIZES:
        return name
    size = SIZES[name]
    about = json.dumps([asdict(size), _BATCH, _LENGTH, _RATE, CONTEXT, text()]).encode()
    folder = cache_folder() / f"{name}-{blake2b(about, digest_size=6).hexdigest()}"
    with _alone(folder.with_suffix(".lock")):
        if not folder.exists():
            _make(size, folder, name, quiet or not sys.stderr.isatty())
    return str(folder)


def cache_folder() -> Path:
    """``$SUBNET_CACHE_DIR/text``, by default ``~/.cache/subnet/text``; made if it is not there."""
    top = os.environ.get("SUBNET_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "subnet"
    folder = Path(top).expanduser() / "text"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(size: Size, folder: Path, name: str, quiet: bool) -> None:
    """Train and save, under another name until it is whole."""
    made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder.parent))
    try:
        tokenizer = _tokenizer()
        model = _trained(size, tokenizer, name, quiet)
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """Such small models are no quicker with two threads, and far slower where the cores are busy: the threads wait
    for each other by spinning."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tokenizer() -> Any:
    """A token for each character of the text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    split: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted({split.pre_tokenize_str(character)[0][0] for character in set(text())})
    vocabulary = {character: place for place, character in enumerate(["<pad>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<pad>"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=tokenizer, pad_token="<pad>", model_max_length=CONTEXT)  # noqa: S106


def _trained(size: Size, tokenizer: Any, name: str, quiet: bool) -> Any:
    import torch
    from rich.console import Console
    from rich.progress import track
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=size.hidden * 3,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]), _one_thread(torch):
        torch.manual_seed(0)
        ids = torch.tensor(tokenizer(training_text(), verbose=False)["input_ids"])
        model = LlamaForCausalLM(config)
        optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=size.steps)
        console = Console(stderr=True, quiet=quiet)
        for _ in track(range(size.steps), f"training the {name} model", console=console, transient=True):
            starts = torch.randint(len(ids) - _LENGTH - 1, (_BATCH,)).tolist()
            batch = torch.stack([ids[start : start + _LENGTH + 1] for start in starts])
            logits = model(input_ids=batch[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    return model
