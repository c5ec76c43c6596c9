"""The runtime versions that a session has met: which one rules at a block, and how each is loaded.

A version is loaded once a session: from the disk cache where the node tells the hash of the chain's
code (:mod:`subnet.chain.cache`), else from the node's metadata. After a reconnection, which may have
led to another node, each is asked for its code again before it is used; and what one endpoint said
rules nothing at another, whose word the hash of the code is, too.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from subnet.chain import cache
from subnet.chain.runtime import Runtime
from subnet.chain.schema import MAX_METADATA, Schema, parse
from subnet.errors import ChainError, ChainMalformed, ChainRefused

if TYPE_CHECKING:
    from subnet.chain.session import Session
    from subnet.chain.substrate import Composer

log = logging.getLogger(__name__)

MAX_RUNTIMES = 8
"""Runtime versions kept in memory (a few MiB each for a full runtime)."""
_Key = tuple[str, int]
_CODE = "0x" + b":code".hex()


class Runtimes:
    """The runtimes of a session, by endpoint and spec version. For the session's thread only."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[_Key, Runtime] = {}
        self._checked: set[_Key] = set()
        self._current: int | None = None

    def recheck(self) -> None:
        """The connection is a new one: what is known may not hold there."""
        self._checked.clear()
        self._current = None

    def current(self) -> Runtime:
        """The runtime last seen at the head; the first use loads it."""
        return self._load(None) if self._current is None else self._known[self._key(self._current)]

    def of(self, version: Any, at: str | None) -> Runtime:
        """The runtime of a ``state_getRuntimeVersion`` answer for block ``at`` (None: the head)."""
        spec = _spec(version)
        if self._key(spec) not in self._checked:
            return self._load(at)
        return self._use(self._known[self._key(spec)], at)

    def _key(self, spec: int) -> _Key:
        return self._session.endpoint, spec

    def _use(self, runtime: Runtime, at: str | None) -> Runtime:
        spec = runtime.spec_version
        key = self._key(spec)
        self._known.pop(key, None)
        self._known[key] = runtime  # the one used last stands last
        self._checked.add(key)
        if at is None or self._current is None:
            self._current = spec
        spare = [known for known in self._known if known not in (key, self._key(self._current))]
        for old in spare[: max(0, len(self._known) - MAX_RUNTIMES)]:
            del self._known[old]
            self._checked.discard(old)
        return runtime

    def _load(self, at: str | None) -> Runtime:
        started = time.perf_counter()
        block = at or self._head()
        spec, code = self._describe(block)
        known = self._known.get(self._key(spec))
        if known is not None and code is not None and known.code == code:
            return self._use(known, at)
        origin = self._origin(spec, code)
        with self._session.computing():
            schema = cache.load(origin) if origin else None
        kept = schema is not None
        if schema is None:
            metadata = self._session.call("state_getMetadata", block)
            with self._session.computing():
                schema = parse(metadata_bytes(metadata))
        runtime = Runtime(schema, spec, code, self._compose)
        if origin and not kept:
            cache.save(origin, schema)
        log.debug("spec %s %s in %.3f s", spec, "from the cache" if kept else "read", time.perf_counter() - started)
        return self._use(runtime, at)

    def _head(self) -> str:
        from subnet.chain.session import block_hash

        return block_hash(self._session.call("chain_getBlockHash"))

    def _describe(self, block: str) -> tuple[int, str | None]:
        """The spec version at a block, and its code's hash where the node tells it."""
        from subnet.chain.session import block_hash

        ask = ("state_getRuntimeVersion", [block])
        try:
            version, code = self._session.calls([ask, ("state_getStorageHash", [_CODE, block])])
        except ChainRefused:  # the hash, on nodes that don't serve it; or both, and the next line says so
            (version,), code = self._session.calls([ask]), None
        return _spec(version), None if code is None else block_hash(code)

    def _origin(self, spec: int, code: str | None) -> cache.Origin | None:
        genesis = self._session.genesis
        return cache.Origin(self._session.endpoint, genesis, spec, code) if genesis and code else None

    def _compose(self, runtime: Runtime) -> Composer:
        """substrate-interface for a runtime, from the node's own metadata at this moment."""
        from subnet.chain.substrate import Composer

        head = self._head()
        version, metadata = self._session.calls([("state_getRuntimeVersion", [head]), ("state_getMetadata", [head])])
        if _spec(version) != runtime.spec_version:
            raise ChainError("the chain's runtime was upgraded this moment", remedy="Send it again.")
        with self._session.computing():
            self._refresh(runtime, parse(metadata_bytes(metadata)))
        return Composer(self._session.transport, metadata, version, self._session.genesis or "")

    def _refresh(self, runtime: Runtime, schema: Schema) -> None:
        """What a cached file says must be what the node says; if not, the node is right."""
        if schema == runtime.schema:
            return
        log.warning("the metadata kept for spec %d of %s was wrong", runtime.spec_version, self._session.endpoint)
        runtime.replace(schema)
        if origin := self._origin(runtime.spec_version, runtime.code):
            cache.save(origin, schema)


def metadata_bytes(metadata: Any) -> bytes:
    """The bytes of a ``state_getMetadata`` answer. Raises ChainMalformed."""
    if not isinstance(metadata, str) or len(metadata) > 2 * MAX_METADATA:
        raise ChainMalformed("the chain's metadata is missing or larger than we take")
    try:
        return bytes.fromhex(metadata.removeprefix("0x"))
    except ValueError:
        raise ChainMalformed("the chain's metadata is not hex") from None


def _spec(version: Any) -> int:
    spec = version.get("specVersion") if isinstance(version, dict) else None
    if not isinstance(spec, int) or isinstance(spec, bool) or not 0 <= spec < 1 << 32:
        raise ChainMalformed("the node does not say its runtime version")
    return spec
