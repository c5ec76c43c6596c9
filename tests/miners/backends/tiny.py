"""Models of a few thousand random weights, made here, and the devices that they are tried on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CONTEXT = 64


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one core: the threads of so small a model only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def devices() -> list[Any]:
    """``cpu``, and ``cuda``: skipped by name where there is none."""
    import torch

    lacks = not torch.cuda.is_available()
    return ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(lacks, reason="no CUDA device is here"))]


def config(vocabulary: int) -> Any:
    import transformers

    return transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=CONTEXT, bos_token_id=None, eos_token_id=1, pad_token_id=0, num_labels=3,
    )  # fmt: skip


def save_model(folder: Path) -> Path:
    """A model of bytes, with <eos>; its checkpoint asks for a sampling of its own, which must not matter."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    vocabulary = {one: place for place, one in enumerate(["<pad>", "<eos>", *sorted(split.alphabet())])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.ByteLevel()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", model_max_length=CONTEXT
    ).save_pretrained(folder)
    torch.manual_seed(5)
    model = transformers.LlamaForCausalLM(config(len(vocabulary)))
    with torch.no_grad():
        model.lm_head.weight *= 20  # sharp, so that greedy continuations don't hang on rounding
    model.generation_config.repetition_penalty = 1.7
    model.save_pretrained(folder)
    return folder
