"""RayBackend: the model as a pool of Ray actors, on this machine or over a cluster.

Each actor makes a backend of its own (most often a TransformersBackend) and joins the requests that it gets. A
request goes to the actor with the fewest under way; one whose actor dies before its first word goes to
another, and Ray starts the dead one again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from subnet.errors import BackendFailed, Busy, ConfigError, MissingExtra, SubnetError
from subnet.miners.backends.base import GREEDY, Backend, Classes, Sampling, Vectors


class RayBackend(Backend):
    """``make()`` makes the backend of an actor, in the actor: ``lambda: TransformersBackend("gpt2")``.

    ``actors`` is their number; each reserves ``num_cpus`` and ``num_gpus`` of the cluster at ``address`` (None: that of
    the environment's RAY_ADDRESS, else one on this machine for as long as this process lives). At most
    ``max_running`` requests are at an actor; Busy where all have so many. Returns when the actors have made their
    backends, or raises what making one raised; BackendFailed after ``start_timeout`` seconds; MissingExtra without Ray.
    """

    def __init__(
        self,
        make: Callable[[], Backend],
        *,
        actors: int = 2,
        num_cpus: float = 1.0,
        num_gpus: float = 0.0,
        address: str | None = None,
        max_running: int = 64,
        start_timeout: float = 600.0,
    ) -> None:
        if actors < 1:
            raise ConfigError(f"{actors} actors can't be", remedy="Give 1 or more.")
        ray = _ray()
        self._ray, self._max_running = ray, max_running
        if not ray.is_initialized():
            ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)
        remote = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_restarts=-1, max_concurrency=max_running + 1)(
            _Holder
        )
        self._actors = [remote.remote(make) for _ in range(actors)]
        self._running = [0] * actors
        try:
            ray.get([actor.ready.remote() for actor in self._actors], timeout=start_timeout)
        except Exception as error:
            self._kill()
            raise _told(error, ray) from None

    async def stream(self, prompt: str, sampling: Sampling = GREEDY) -> AsyncGenerator[str, None]:
        """An actor that dies amid a text ends it with BackendFailed: another would continue it otherwise."""
        begun = False
        place = -1
        for last in (False, True):
            place = self._take(place)
            pieces = self._actors[place].stream.options(num_returns="streaming").remote(prompt, sampling)
            try:
                async for reference in pieces:
                    piece = await reference
                    begun = True
                    yield piece
                return
            except Exception as error:
                if begun or last or not isinstance(error, self._ray.exceptions.RayActorError):
                    raise _told(error, self._ray) from None
            finally:
                self._running[place] -= 1
                with suppress(Exception):  # it may be over, or its actor gone
                    self._ray.cancel(pieces)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        found: Vectors = await self._ask(lambda actor: actor.embed.remote(list(texts)))
        return found

    async def classify(self, texts: Sequence[str]) -> list[Classes]:
        found: list[Classes] = await self._ask(lambda actor: actor.classify.remote(list(texts)))
        return found

    async def close(self) -> None:
        """End the actors; a cluster that was there before stays."""
        self._kill()

    async def _ask(self, call: Callable[[Any], Awaitable[Any]]) -> Any:
        place = -1
        for last in (False, True):
            place = self._take(place)
            try:
                return await call(self._actors[place])
            except Exception as error:
                if last or not isinstance(error, self._ray.exceptions.RayActorError):
                    raise _told(error, self._ray) from None
            finally:
                self._running[place] -= 1
        raise AssertionError("the second try returns or raises")

    def _take(self, failed: int) -> int:
        """The place of the actor with the fewest requests; not the one that just failed, if there are others."""
        place = min(range(len(self._running)), key=lambda one: (one == failed, self._running[one]))
        if self._running[place] >= self._max_running:
            raise Busy(f"all {len(self._running)} actors have {self._max_running} requests", retry_after=1.0)
        self._running[place] += 1
        return place

    def _kill(self) -> None:
        actors, self._actors = self._actors, []
        for actor in actors:
            with suppress(Exception):  # the cluster may be gone
                self._ray.kill(actor)


class _Holder:
    """What an actor is: a backend, asked by name. Async, so that its requests run beside each other."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._backend = make()

    async def ready(self) -> bool:
        return True

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[str, None]:
        async for piece in self._backend.stream(prompt, sampling):
            yield piece

    async def embed(self, texts: list[str]) -> Vectors:
        return await self._backend.embed(texts)

    async def classify(self, texts: list[str]) -> list[Classes]:
        return await self._backend.classify(texts)


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtra("RayBackend needs Ray", remedy="pip install 'subnetkit[ray]'") from None
    return ray


def _told(error: Exception, ray: Any) -> Exception:
    """What went wrong in an actor, as it would have been raised here."""
    cause = getattr(error, "cause", None)
    if isinstance(error, SubnetError):
        return error
    if isinstance(cause, SubnetError):
        return cause
    if isinstance(error, ray.exceptions.GetTimeoutError):
        return BackendFailed(
            "the actors do not come up", remedy="See `ray status`: has the cluster the CPUs and GPUs that they reserve?"
        )
    return BackendFailed(f"an actor failed: {type(error).__name__}: {str(error).strip().splitlines()[-1]}")
