"""What shares a batch shares nothing else: no request shortens, changes, delays or fails its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from subnet.errors import BackendFailed, TooMuch
from subnet.miners.backends import Sampling, TransformersBackend
from subnet.miners.backends.decoding import Job, generate_batch
from tests.miners.backends.tiny import CONTEXT, devices, one_thread, save_model

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", params=devices())
def backend(request: pytest.FixtureRequest, folder: Path) -> Iterator[TransformersBackend]:
    with one_thread():
        yield TransformersBackend(folder, device=request.param)


def texts(backend: TransformersBackend, *jobs: Job) -> list[str | Exception]:
    return generate_batch(backend.model, backend.tokenizer, backend.context, list(jobs))


def alone(backend: TransformersBackend, *jobs: tuple[str, Sampling]) -> list[str | Exception]:
    return [texts(backend, Job(*job))[0] for job in jobs]


LONG = "".join(chr(ord("a") + i % 26) for i in range(CONTEXT - 8))
"""With eight tokens more it fills the context."""


@pytest.mark.parametrize("most", [30, CONTEXT - 1])
def test_a_long_prompt_keeps_all_of_itself_beside_a_request_for_many_tokens(
    backend: TransformersBackend, most: int
) -> None:
    jobs = [
        (LONG, Sampling(max_tokens=8)),
        ("q", Sampling(max_tokens=most, ignore_eos=True)),
        ("zz", Sampling(max_tokens=8)),
    ]
    assert texts(backend, *[Job(*job) for job in jobs]) == alone(backend, *jobs)
    assert alone(backend, (LONG[-1], jobs[0][1])) != alone(backend, jobs[0])  # else nothing is shown


@pytest.mark.parametrize("beside", [1, 30, CONTEXT - 1])
@pytest.mark.parametrize("seed", range(4))
def test_a_seed_draws_what_it_draws_alone(backend: TransformersBackend, seed: int, beside: int) -> None:
    """Each row has a generator of its own, read once a token; only rounding, which the batch's shape may change, is
    left to tell them apart."""
    mine = (LONG, Sampling(max_tokens=8, temperature=1.5, top_p=0.9, seed=seed))
    others = [("q", Sampling(max_tokens=beside, temperature=1.0, seed=9)), ("w", Sampling(max_tokens=5, seed=9))]
    for place in range(3):
        jobs = [*others[:place], mine, *others[place:]]
        assert texts(backend, *[Job(*job) for job in jobs])[place] == alone(backend, mine)[0]


def test_a_prompt_is_cut_to_what_its_own_tokens_leave(backend: TransformersBackend) -> None:
    whole, cut = "x" * 500 + LONG, LONG
    (found,) = alone(backend, (whole, Sampling(max_tokens=8)))
    assert [found] == alone(backend, (cut, Sampling(max_tokens=8)))
    last = Sampling(max_tokens=CONTEXT - 1)
    assert alone(backend, (whole, last)) == alone(backend, (LONG[-1], last))


@pytest.mark.parametrize("asked", [CONTEXT, 1024, 1 << 20])
async def test_more_tokens_than_the_context_has_are_refused_and_nobody_else_notices(
    backend: TransformersBackend, folder: Path, asked: int
) -> None:
    mine = (LONG, Sampling(max_tokens=8))
    (wanted,) = alone(backend, mine)
    fresh = TransformersBackend(folder, device=backend.device, max_batch=2, max_wait=60)
    greedy = asyncio.gather(fresh.generate("q", Sampling(max_tokens=asked)), return_exceptions=True)
    said = asyncio.gather(*[fresh.generate(*mine) for _ in range(2)])  # a batch of these two: the other never waits
    (error,) = await greedy
    assert isinstance(error, TooMuch)
    assert str(CONTEXT - 1) in error.remedy
    assert await said == [wanted] * 2
    await fresh.close()


@pytest.mark.parametrize("temperature", [1e-320, 1e-40, 1e-30])
def test_next_to_no_temperature_is_the_likeliest_token(backend: TransformersBackend, temperature: float) -> None:
    cold, mine = Sampling(max_tokens=8, temperature=temperature), Sampling(max_tokens=8)
    assert texts(backend, Job("q", cold), Job("q", mine)) == alone(backend, ("q", mine)) * 2


def test_what_fails_in_one_row_fails_that_row(backend: TransformersBackend) -> None:
    def broken(_: Any) -> None:
        raise ZeroDivisionError

    (wanted,) = alone(backend, ("abc", Sampling(max_tokens=8)))
    jobs = [Job("abc", Sampling(max_tokens=8)) for _ in range(3)]
    jobs[0].send, jobs[2].prompt = broken, "\ud800"  # half a pair: no tokenizer takes it
    found = texts(backend, *jobs)
    assert isinstance(found[0], ZeroDivisionError)
    assert found[1] == wanted
    assert isinstance(found[2], BackendFailed)


def test_a_text_that_is_over_is_handed_out_while_its_neighbours_go_on(backend: TransformersBackend) -> None:
    events: list[tuple[str, str | None]] = []
    short = Job("abc", Sampling(max_tokens=2, ignore_eos=True), lambda piece: events.append(("short", piece)))
    long = Job("abc", Sampling(max_tokens=40, ignore_eos=True), lambda piece: events.append(("long", piece)))
    texts(backend, long, short)
    assert events.index(("short", None)) < events.index(("long", None)) - 5
    assert [piece for who, piece in events if who == "short"].count(None) == 1
