"""RayBackend on a real local Ray."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from subnet.errors import BackendFailed, ConfigError
from subnet.miners.backends import Backend, FunctionBackend, RayBackend, Sampling

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def make() -> Backend:
    def words(prompt: str, sampling: Sampling) -> Any:
        if prompt == "die":
            os._exit(1)
        if prompt == "die later":
            yield "one"
            os._exit(1)
        yield from prompt.split()[: sampling.max_tokens]
        yield f"#{os.getpid()}"

    return FunctionBackend(generate=words, embed=lambda texts: [[len(one)] for one in texts])


async def test_a_pool_streams_and_embeds_on_all_its_actors_and_outlives_one() -> None:
    backend = await asyncio.to_thread(lambda: RayBackend(make, actors=2, num_cpus=0.5))
    try:
        said = await asyncio.gather(*[backend.generate("a b c", Sampling(max_tokens=2)) for _ in range(8)])
        assert all(one.startswith("ab#") for one in said)
        assert len({one.partition("#")[2] for one in said}) == 2
        pieces = [one async for one in backend.stream("a b c")]
        assert pieces[:3] == ["a", "b", "c"]
        np.testing.assert_array_equal(await backend.embed(["aa", "b"]), [[2], [1]])
        with pytest.raises(BackendFailed, match="does not classify"):
            await backend.classify(["a"])
        with pytest.raises(BackendFailed, match="an actor failed"):
            await backend.generate("die later")
        assert (await backend.generate("still here")).startswith("stillhere")
    finally:
        await backend.close()


def test_what_making_a_backend_raises_is_raised_here() -> None:
    def broken() -> Backend:
        raise ConfigError("no such model")

    with pytest.raises((ConfigError, BackendFailed), match="no such model"):
        RayBackend(broken, actors=1, num_cpus=0.1, start_timeout=60)
