"""RayBackend on a real local Ray: what is served, and what happens where actors and nodes die, hang or can't begin.

``make test-ray`` runs it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from subnet.errors import BackendFailed, Busy, ConfigError, TooMuch
from subnet.miners.backends import Backend, RayBackend, Sampling
from subnet.miners.backends.base import GREEDY
from subnet.miners.backends.ray_pool import _told
from tests.waiting import until

ray = pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def touch(path: Path) -> None:
    path.touch()


def there_now(path: Path) -> bool:
    return path.exists()


class Told(Backend):
    """Does what the prompt says; what is slow waits for a file."""

    came = 0

    async def stream(self, prompt: str, sampling: Sampling = GREEDY) -> AsyncGenerator[str, None]:
        word, _, rest = prompt.partition(" ")
        match word:
            case "die":
                os._exit(1)
            case "die-at":
                yield "one"
                await until(Path(rest).exists)
                os._exit(1)
            case "raise":
                raise {
                    "busy": Busy("later", retry_after=7.0),
                    "much": TooMuch("too many", remedy="9 at most"),
                    "": ValueError(),
                }[rest]
            case "endless":
                try:
                    while True:
                        yield "on and "
                        await asyncio.sleep(0.01)
                finally:
                    touch(Path(rest))
            case "pid":
                yield str(os.getpid())
            case _:
                for one in prompt.split()[: sampling.max_tokens]:
                    yield one

    async def embed(self, texts: Sequence[str]) -> Any:
        """A vector of lengths; or, for a folder, is there (a file of its own) until the folder has ``go``, and will not
        be cancelled before."""
        if texts[0].startswith("/"):
            folder = Path(texts[0])
            self.came += 1
            touch(folder / f"in-{self.came}")
            while not there_now(folder / "go"):
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    touch(folder / "cancelled")
        return np.array([[len(one)] for one in texts], np.float32)


@asynccontextmanager
async def pool(actors: int, make: Any = Told, **options: Any) -> AsyncIterator[RayBackend]:
    options = {"num_cpus": 0.1} | options
    backend = await asyncio.to_thread(lambda: RayBackend(make, actors=actors, **options))
    try:
        yield backend
    finally:
        await backend.close()


async def pids(backend: RayBackend, least: int) -> set[int]:
    """The processes that answer, once they are so many."""
    found: set[int] = set()
    async with asyncio.timeout(60):
        while len(found) < least:
            said = await asyncio.gather(*[backend.generate("pid") for _ in range(8)], return_exceptions=True)
            assert all(isinstance(one, (str, Busy)) for one in said), said
            found |= {int(one) for one in said if isinstance(one, str)}
    return found


async def test_a_pool_streams_and_embeds_on_all_its_actors() -> None:
    async with pool(2) as backend:
        said = await asyncio.gather(*[backend.generate("a b c", Sampling(max_tokens=2)) for _ in range(8)])
        assert said == ["ab"] * 8
        assert len(await pids(backend, 2)) == 2
        assert [one async for one in backend.stream("a b c")] == ["a", "b", "c"]
        np.testing.assert_array_equal(await backend.embed(["aa", "b"]), [[2], [1]])
        with pytest.raises(BackendFailed, match="does not classify"):
            await backend.classify(["a"])
        await until(lambda: [place.running for place in backend._places] == [0, 0])


@pytest.mark.parametrize(("what", "kind"), [("busy", Busy), ("much", TooMuch), ("", BackendFailed)])
async def test_what_an_actor_raises_is_raised_here(what: str, kind: type[Exception]) -> None:
    async with pool(1) as backend:
        with pytest.raises(kind) as caught:
            await backend.generate(f"raise {what}")
        assert type(caught.value) is kind
        assert (getattr(caught.value, "remedy", "") == "9 at most") == (what == "much")
        assert getattr(caught.value, "retry_after", None) == (7.0 if what == "busy" else None)
        assert await backend.generate("on") == "on"


def test_an_error_without_a_word_is_told_too() -> None:
    assert "ValueError" in str(_told(ValueError(), ray))


def test_what_making_a_backend_raises_is_raised_here() -> None:
    def broken() -> Backend:
        raise ConfigError("no such model")

    with pytest.raises((ConfigError, BackendFailed), match="no such model"):
        RayBackend(broken, actors=1, num_cpus=0.1, start_timeout=60)


def test_actors_that_fit_nowhere_are_named() -> None:
    with pytest.raises(BackendFailed, match="do not come up"):
        RayBackend(Told, actors=1, num_cpus=1000, start_timeout=0.5)


async def test_a_text_whose_actor_dies_fails_and_the_next_is_served(tmp_path: Path) -> None:
    async with pool(2) as backend:
        async with aclosing(backend.stream(f"die-at {tmp_path / 'now'}")) as pieces:
            assert await anext(pieces) == "one"
            (tmp_path / "now").touch()
            with pytest.raises(BackendFailed, match="an actor failed"):
                await anext(pieces)
        assert await backend.generate("still here") == "stillhere"


async def test_the_dead_take_no_request_from_the_living_and_are_replaced() -> None:
    async with pool(3) as backend:
        before = await pids(backend, 3)
        gone = sorted(before)[:2]
        for pid in gone:
            os.kill(pid, signal.SIGKILL)
        said = await asyncio.gather(*[backend.generate("a b") for _ in range(20)])
        assert said == ["ab"] * 20
        await until(lambda: all(place.up for place in backend._places))
        assert not await pids(backend, 3) & set(gone)


async def test_a_request_that_kills_its_actor_is_sent_twice_at_most() -> None:
    async with pool(4) as backend:
        before = list(backend._places)
        with pytest.raises(BackendFailed, match="an actor failed"):
            await backend.generate("die")
        assert len(set(before) & set(backend._places)) == 2
        assert await backend.generate("a b") == "ab"


async def test_a_lone_actor_that_dies_is_busy_until_another_is_there(caplog: pytest.LogCaptureFixture) -> None:
    async with pool(1) as backend:
        with pytest.raises(Busy, match="starting"):
            await backend.generate("die")
        await pids(backend, 1)


async def test_a_call_whose_caller_left_counts_until_the_actor_has_ended_it(tmp_path: Path) -> None:
    async with pool(1, max_running=2) as backend:
        for count in (1, 2):
            asked = asyncio.create_task(backend.embed([str(tmp_path)]))
            await until(lambda count=count: len(list(tmp_path.glob("in-*"))) == count)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        with pytest.raises(Busy, match="all 1 actors have 2 requests"):
            await backend.embed(["a"])
        await until((tmp_path / "cancelled").exists)  # it was told
        (tmp_path / "go").touch()
        await until(lambda: backend._places[0].running == 0)
        np.testing.assert_array_equal(await backend.embed(["aa"]), [[2]])


async def test_a_stream_whose_reader_left_ends_in_its_actor(tmp_path: Path) -> None:
    async with pool(1, max_running=1) as backend:
        async with aclosing(backend.stream(f"endless {tmp_path / 'closed'}")) as pieces:
            assert await anext(pieces) == "on and "
            with pytest.raises(Busy):
                await backend.generate("a")
        await until((tmp_path / "closed").exists)
        await until(lambda: backend._places[0].running == 0)
        assert await backend.generate("a") == "a"


async def test_an_actor_that_hangs_is_replaced() -> None:
    async with pool(1, max_running=1, cancel_timeout=0.2) as backend:
        (pid,) = await pids(backend, 1)
        os.kill(pid, signal.SIGSTOP)
        asked = asyncio.create_task(backend.generate("pid"))
        await until(lambda: backend._places[0].running == 1)
        assert not asked.done()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert pid not in await pids(backend, 1)


async def test_an_actor_that_can_not_begin_again_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gone = tmp_path / "gone"

    def make() -> Backend:
        if gone.exists():
            raise ConfigError("no such model")
        return Told()

    async with pool(1, make) as backend:
        gone.touch()
        with pytest.raises(Busy):
            await backend.generate("die")
        await until(lambda: "no such model" in caplog.text)
        with pytest.raises(Busy, match="starting"):
            await backend.generate("pid")
        gone.unlink()
        await pids(backend, 1)


async def test_a_node_that_is_lost_takes_its_actors_along_and_the_others_serve(cluster: Any) -> None:
    node = cluster.add_node(num_cpus=2)
    async with pool(2, num_cpus=1.5) as backend:  # one for each node
        await pids(backend, 2)
        cluster.remove_node(node, allow_graceful=False)
        async with asyncio.timeout(60):
            while all(place.up for place in backend._places):  # its workers outlive a node by moments
                found = await asyncio.gather(*[backend.embed(["aa"]) for _ in range(4)])
                assert [one.tolist() for one in found] == [[[2]]] * 4
        cluster.add_node(num_cpus=2)
        await until(lambda: all(place.up for place in backend._places))
        assert len(await pids(backend, 2)) == 2
