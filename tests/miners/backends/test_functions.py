from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import BackendFailed
from subnet.miners.backends import FunctionBackend, Sampling
from subnet.miners.backends.base import TextEnd


async def test_plain_functions_generate_embed_and_classify_together() -> None:
    batches: list[list[str]] = []

    def embed(texts: list[str]) -> list[list[float]]:
        batches.append(texts)
        return [[len(text), 1.0] for text in texts]

    def words(prompt: str, sampling: Sampling) -> Iterator[str]:
        yield from (f"{word} " for word in prompt.split()[: sampling.max_tokens])

    backend = FunctionBackend(generate=words, embed=embed, classify=lambda texts: [{"long": 1.0} for _ in texts])
    assert await backend.generate("a b c", Sampling(max_tokens=2)) == "a b "
    assert [piece async for piece in backend.stream("a b c", Sampling(stop=("b",)))] == ["a "]
    one, two = await asyncio.gather(backend.embed(["aa"]), backend.embed(["b", "cccc"]))
    np.testing.assert_array_equal(np.concatenate([one, two]), [[2, 1], [1, 1], [4, 1]])
    assert sum(map(len, batches)) == 3
    assert len(batches) == 1
    assert await backend.classify(["x"]) == [{"long": 1.0}]
    await backend.close()


async def test_what_it_lacks_or_does_wrong_is_said() -> None:
    def wrong(prompt: str, sampling: Sampling) -> str:
        return 7  # type: ignore[return-value]

    nothing = FunctionBackend()
    for asked in (nothing.generate("a"), nothing.embed(["a"]), nothing.classify(["a"])):
        with pytest.raises(BackendFailed, match="does not"):
            await asked
    with pytest.raises((BackendFailed, TypeError)):
        await FunctionBackend(generate=wrong).generate("a")
    with pytest.raises(ZeroDivisionError):
        await FunctionBackend(embed=lambda texts: 1 / 0).embed(["a", "b"])


@given(st.text("abc", max_size=40), st.lists(st.text("abc", min_size=1, max_size=3), max_size=3), st.data())
def test_text_ends_before_the_first_stop_however_it_is_cut(text: str, stop: list[str], data: st.DataObject) -> None:
    end, said, rest = TextEnd(tuple(stop)), "", text
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        said += end.add(rest[:cut])
        rest = rest[cut:]
    said += end.add("", last=True)
    found = [text.find(one) for one in stop if one in text]
    # a stop is seen when it is complete: of two that overlap the one that ends first wins
    assert text.startswith(said)
    assert said == text if not found else not any(one in said for one in stop)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_tokens": 0},
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"seed": -1},
        {"stop": ("",)},
    ],
)
def test_sampling_that_can_not_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"is|holds"):
        Sampling(**wrong)  # type: ignore[arg-type]
