"""RayBackend: the model as a pool of Ray actors, on this machine or over a cluster.

Each actor makes a backend of its own (most often a TransformersBackend) and joins the requests that it gets. A
request goes to the actor with the fewest under way. An actor that dies, is lost with its node, or does not end what
it was told to end is replaced; until the new one has made its backend, the others have the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

from subnet.errors import BackendFailed, Busy, ConfigError, MissingExtra, SubnetError
from subnet.miners.backends.base import GREEDY, Backend, Classes, Sampling, Vectors

log = logging.getLogger(__name__)

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds before another actor is tried where one could not make its backend; twice as many each time."""


@dataclass(eq=False)
class _Place:
    """An actor, and what is known of it. One that replaces it begins anew."""

    actor: Any
    running: int = 0
    """Requests that it has not ended, those that nobody waits for any more among them."""
    up: bool = False
    pause: float = FIRST_PAUSE


class RayBackend(Backend):
    """``make()`` makes the backend of an actor, in the actor: ``lambda: TransformersBackend("gpt2")``.

    ``actors`` is their number; each reserves ``num_cpus`` and ``num_gpus`` of the cluster at ``address`` (None: that of
    the environment's RAY_ADDRESS, else one on this machine for as long as this process lives). At most
    ``max_running`` requests are at an actor, counted until it has ended them, even if their callers left; Busy where
    all have so many, or none is up. An actor that has not ended a request ``cancel_timeout`` seconds after its caller
    left hangs, and is replaced. Returns when the actors have made their backends, or raises what making one raised;
    BackendFailed after ``start_timeout`` seconds; MissingExtra without Ray.
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
        cancel_timeout: float = 30.0,
    ) -> None:
        if actors < 1 or max_running < 1:
            raise ConfigError(f"{actors} actors of {max_running} requests can't be", remedy="Give 1 or more of each.")
        ray = _ray()
        self._ray, self._make, self._max_running, self._cancel_timeout = ray, make, max_running, cancel_timeout
        if not ray.is_initialized():
            ray.init(address=address, include_dashboard=False, log_to_driver=False, configure_logging=False)
        # no restarts by Ray: it gives an actor up whose constructor raises, and tells nobody when one is back
        self._remote = ray.remote(
            num_cpus=num_cpus, num_gpus=num_gpus, max_restarts=0, max_task_retries=0, max_concurrency=max_running + 1
        )(_Holder)
        self._places = [_Place(self._remote.remote(make)) for _ in range(actors)]
        try:
            ray.get([place.actor.ready.remote() for place in self._places], timeout=start_timeout)
        except Exception as error:
            self._kill()
            raise _told(error, ray) from None
        for place in self._places:
            place.up = True

    async def stream(self, prompt: str, sampling: Sampling = GREEDY) -> AsyncGenerator[str, None]:
        """An actor that dies amid a text ends it with BackendFailed: another would continue it otherwise."""
        async with aclosing(self._ask("stream", prompt, sampling)) as pieces:
            async for piece in pieces:
                yield piece

    async def embed(self, texts: Sequence[str]) -> Vectors:
        found: Vectors = await self._one("embed", list(texts))
        return found

    async def classify(self, texts: Sequence[str]) -> list[Classes]:
        found: list[Classes] = await self._one("classify", list(texts))
        return found

    async def close(self) -> None:
        """End the actors; a cluster that was there before stays."""
        self._kill()

    async def _one(self, method: str, *arguments: Any) -> Any:
        async with aclosing(self._ask(method, *arguments)) as pieces:
            return await anext(pieces)  # and no further: an actor may die between its answer and its end

    async def _ask(self, method: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """What an actor gives, piece by piece. A request whose actor died before its first piece is sent to one other,
        and no more: it may be what kills them."""
        for last in (False, True):
            place = await self._living() if last else self._take()
            call, begun, over = None, False, True
            try:
                call = place.actor.run.options(num_returns="streaming").remote(method, *arguments)
                over = False
                async for reference in call:
                    piece = await reference
                    begun = True
                    yield piece
                over = True
                return
            except Exception as error:
                over = True
                lost = self._lost(place, error)
                if begun or last or not lost:
                    raise _told(error, self._ray) from None
            finally:
                if over:
                    place.running -= 1
                else:
                    self._end(place, call)

    def _take(self) -> _Place:
        """The actor with the fewest requests, of those that are up; one more is counted. Raises Busy."""
        up = [place for place in self._places if place.up]
        if not up:
            raise Busy("this miner's actors are starting", retry_after=5.0)
        place = min(up, key=lambda one: one.running)
        if place.running >= self._max_running:
            raise Busy(f"all {len(up)} actors have {self._max_running} requests", retry_after=1.0)
        place.running += 1
        return place

    async def _living(self) -> _Place:
        """As :meth:`_take`, of those that answer now: where one died others may have."""
        while True:
            place, alive = self._take(), False
            try:
                await place.actor.ready.remote()
                alive = True
                return place
            except Exception as error:
                if not self._lost(place, error):
                    raise _told(error, self._ray) from None
            finally:
                place.running -= not alive

    def _lost(self, place: _Place, error: Exception) -> bool:
        """Whether the error says that the actor is dead; then it is replaced."""
        if not isinstance(error, self._ray.exceptions.RayActorError):
            return False
        log.warning("an actor is lost: %s", _last_line(error))
        self._replace(place)
        return True

    def _end(self, place: _Place, call: Any) -> None:
        """Nobody waits for a call any more: it counts until the actor says that it is over, or hangs."""
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(self._cancel_timeout, self._hangs, place)

        def ended() -> None:
            overdue.cancel()
            place.running -= 1

        with suppress(Exception):  # it may be over, or its actor gone
            self._ray.cancel(call)
        self._when_done(call.completed(), loop, lambda _: ended())

    def _hangs(self, place: _Place) -> None:
        if place in self._places:
            log.warning("an actor did not end a request within %g s of being told to", self._cancel_timeout)
            self._replace(place)

    def _replace(self, place: _Place) -> None:
        """Another actor in its place, asked once it has made its backend."""
        if place not in self._places:
            return  # somebody was here before, or we are closed
        self._end_actor(place)
        new = _Place(self._remote.remote(self._make), pause=place.pause)
        self._places[self._places.index(place)] = new
        loop = asyncio.get_running_loop()
        self._when_done(new.actor.ready.remote(), loop, lambda error: self._comes_up(new, error))

    def _comes_up(self, place: _Place, error: BaseException | None) -> None:
        if place not in self._places:
            return
        if error is None:
            place.up, place.pause = True, FIRST_PAUSE
            log.info("an actor was replaced")
            return
        log.error("an actor can't make its backend, the next try is in %g s: %s", place.pause, _last_line(error))
        asyncio.get_running_loop().call_later(place.pause, self._replace, place)
        place.pause = min(2 * place.pause, LONGEST_PAUSE)

    def _when_done(
        self, reference: Any, loop: asyncio.AbstractEventLoop, do: Callable[[BaseException | None], None]
    ) -> None:
        """Call ``do`` on the loop, with what the reference raises or None: no task, so that none is left behind."""

        def told(future: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody asks any more
                loop.call_soon_threadsafe(do, future.exception())

        reference.future().add_done_callback(told)

    def _end_actor(self, place: _Place) -> None:
        with suppress(Exception):  # it may be dead, or the cluster gone
            self._ray.kill(place.actor)

    def _kill(self) -> None:
        places, self._places = self._places, []
        for place in places:
            self._end_actor(place)


class _Holder:
    """What an actor is: a backend, asked by name. Async, so that its requests run beside each other."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._backend = make()

    async def ready(self) -> bool:
        return True

    async def run(self, method: str, *arguments: Any) -> AsyncGenerator[Any, None]:
        """The pieces, or the one result."""
        asked = getattr(self._backend, method)(*arguments)
        if method != "stream":
            yield await asked
            return
        async with aclosing(asked) as pieces:
            async for piece in pieces:
                yield piece


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtra("RayBackend needs Ray", remedy="pip install 'subnetkit[ray]'") from None
    return ray


def _told(error: BaseException, ray: Any) -> Exception:
    """What went wrong in an actor, as it would have been raised here."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, SubnetError):
        return cause  # and not Ray's, which is of its class too, but has lost its remedy
    if isinstance(error, SubnetError):
        return error
    if isinstance(error, ray.exceptions.GetTimeoutError):
        return BackendFailed(
            "the actors do not come up", remedy="See `ray status`: has the cluster the CPUs and GPUs that they reserve?"
        )
    return BackendFailed(f"an actor failed: {type(error).__name__}: {_last_line(error)}")


def _last_line(error: BaseException) -> str:
    """Ray puts the actor's traceback before what was raised; some errors say nothing."""
    return (str(error).strip() or "no message").splitlines()[-1][:300]
