"""TransformersBackend on models of a few thousand random weights, made here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet.errors import BackendFailed, Busy, ConfigError
from subnet.miners.backends import Sampling, TransformersBackend
from tests.miners.backends.tiny import CONTEXT, config, devices, one_thread, save_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(params=devices())
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_continuation_is_the_same_whole_streamed_alone_or_in_a_batch(folder: Path, device: str) -> None:
    backend = TransformersBackend(folder, device=device, max_batch=4, max_wait=0.05)
    prompts, sampling = ["a", "some longer prompt", "héé"], Sampling(max_tokens=12)
    alone = [await backend.generate(prompt, sampling) for prompt in prompts]
    assert await asyncio.gather(*[backend.generate(prompt, sampling) for prompt in prompts]) == alone
    async with aclosing(backend.stream(prompts[1], sampling)) as pieces:
        assert "".join([piece async for piece in pieces]) == alone[1]
    assert len(set(alone)) > 1
    await backend.close()


async def test_greedy_text_is_what_the_model_finds_likeliest_whatever_its_checkpoint_asks_for(
    folder: Path, device: str
) -> None:
    backend = TransformersBackend(folder, device=device)
    model = backend.model
    ids = backend.tokens("abc")
    for _ in range(10):
        logits = model(input_ids=torch.tensor([ids], device=device)).logits[0, -1]
        logits[1] = -torch.inf
        ids.append(int(logits.argmax()))
    wanted = backend.tokenizer.decode(ids[3:])
    assert await backend.generate("abc", Sampling(max_tokens=10, ignore_eos=True)) == wanted
    rows = backend.log_probabilities("abc", ids[3:])
    assert rows.shape == (10, len(backend.tokenizer))
    np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1)
    with pytest.raises(BackendFailed):
        backend.log_probabilities("abc", ids[3:] * 10)


async def test_a_seed_draws_the_same_beside_other_requests(folder: Path, device: str) -> None:
    backend = TransformersBackend(folder, device=device, max_batch=4, max_wait=0.05)
    drawn = [Sampling(max_tokens=10, temperature=1.5, top_p=0.9, seed=seed) for seed in (1, 2)]
    alone = [await backend.generate("q", one) for one in drawn]
    both = await asyncio.gather(*[backend.generate("q", one) for one in (*drawn, Sampling(max_tokens=30))])
    assert both[:2] == alone
    assert alone[0] != alone[1]


async def test_text_ends_at_a_stop_and_a_long_prompt_is_cut_from_the_left(folder: Path, device: str) -> None:
    backend = TransformersBackend(folder, device=device)
    whole = await backend.generate("abc", Sampling(max_tokens=20))
    stop = whole[4:6]
    assert await backend.generate("abc", Sampling(max_tokens=20, stop=(stop,))) == whole[: whole.index(stop)]
    long, short = await asyncio.gather(
        *[backend.generate(prompt, Sampling(max_tokens=8)) for prompt in ("x" * 500 + "y" * (CONTEXT - 8), "")]
    )
    assert long == await backend.generate("y" * (CONTEXT - 8), Sampling(max_tokens=8))
    assert isinstance(short, str)
    assert isinstance(await backend.generate("abc", Sampling(max_tokens=CONTEXT - 1, ignore_eos=True)), str)


async def test_a_caller_who_leaves_ends_its_row(folder: Path, device: str) -> None:
    backend = TransformersBackend(folder, device=device)
    async with aclosing(backend.stream("abc", Sampling(max_tokens=60, ignore_eos=True))) as pieces:
        async for _ in pieces:
            break
    assert await backend.generate("abc", Sampling(max_tokens=2)) is not None


async def test_embeddings_have_length_one_and_padding_changes_nothing(folder: Path, device: str) -> None:
    backend = TransformersBackend(folder, device=device, task="embed", max_wait=0.05)
    alone = await backend.embed(["short"])
    both = await backend.embed(["short", "a good deal longer"])
    np.testing.assert_allclose(both[0], alone[0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, rtol=1e-5)
    assert both.dtype == np.float32
    with pytest.raises(BackendFailed, match="does not generate"):
        await backend.generate("a")
    with pytest.raises(Busy):
        await backend.embed(["a"] * 300)


async def test_classes_are_probabilities_by_label(folder: Path, tmp_path: Path, device: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path)
    made = config(len(tokenizer))
    made.id2label = {0: "good", 1: "bad", 2: "odd"}
    transformers.LlamaForSequenceClassification(made).save_pretrained(tmp_path)
    backend = TransformersBackend(tmp_path, task="classify", dtype="bfloat16", device=device)
    assert backend.dtype == "bfloat16"
    (found,) = await backend.classify(["text"])
    assert found.keys() == {"good", "bad", "odd"}
    assert sum(found.values()) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize(
    "wrong", [{"device": "cuda:99"}, {"dtype": "float7"}, {"task": "sing"}, {"device": "abacus"}, {"dtype": "nn"}]
)
def test_what_can_not_be_is_refused(folder: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TransformersBackend(folder, **wrong)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be loaded"):
        TransformersBackend(tmp_path)
    with pytest.raises(ConfigError, match="can't be loaded"):
        TransformersBackend("nobody/nothing", local_files_only=True)
