"""What was derived from a runtime's metadata, kept on disk, so that a second connection need not derive it again.

A file holds one :class:`~subnet.chain.schema.Schema` as msgpack behind a checksum. Its name is a hash
of the endpoint, the genesis, the spec version and the hash of the chain's ``:code``: a development
chain whose runtime changes under one version has another code, and what one endpoint said is not
taken for another's word. A file that is damaged, of another format, too large or somebody else's is
ignored and written anew; files are replaced whole, so that processes may share the folder. Nothing is
signed by what a file says: composing an extrinsic takes the node's own metadata.

The folder is ``SUBNET_CACHE_DIR`` (``-`` switches the cache off), else ``subnet`` in ``XDG_CACHE_HOME``
or in the platform's folder for caches.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import msgspec

from subnet.chain.schema import MAX_METADATA, Schema

log = logging.getLogger(__name__)

VARIABLE = "SUBNET_CACHE_DIR"
MAX_FILES = 32
"""Files that are kept; the ones unused for longest go."""
_MAGIC = b"subnet schema 1\n"  # a change of Schema needs another number
_DIGEST = 32
_SUFFIX = ".schema"


class Origin(NamedTuple):
    """Whose metadata it is; ``code`` is the hash of the chain's ``:code`` storage."""

    endpoint: str
    genesis: str
    spec_version: int
    code: str

    @property
    def digest(self) -> str:
        return blake2b(msgspec.msgpack.encode(tuple(self)), digest_size=16).hexdigest()


def folder() -> Path | None:
    """Where the cache is; None where it is off, or the user has no home."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return None if chosen == "-" else Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "subnet"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "subnet"


def load(origin: Origin) -> Schema | None:
    """The schema kept for this origin, or None."""
    place = folder()
    if place is None:
        return None
    path = place / (origin.digest + _SUFFIX)
    try:
        with path.open("rb") as file:
            about = os.fstat(file.fileno())
            if about.st_uid != os.geteuid() or about.st_size > MAX_METADATA:
                log.warning("%s is too large or not ours; it is not used", path)
                return None
            data = file.read(MAX_METADATA + 1)
        schema = _unpack(data, origin)
        os.utime(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        log.warning("%s is not used: %s", path, error)
        return None
    return schema


def save(origin: Origin, schema: Schema) -> None:
    """Keep a schema; a folder that can't be written is no error."""
    place = folder()
    if place is None:
        return
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(place / (origin.digest + _SUFFIX), _pack(schema, origin))
        _tidy(place)
    except OSError as error:
        log.debug("the metadata of %s is not kept: %s", origin.endpoint, error)


def _pack(schema: Schema, origin: Origin) -> bytes:
    body = msgspec.msgpack.encode(schema)
    return _MAGIC + _checksum(body, origin) + body


def _unpack(data: bytes, origin: Origin) -> Schema:
    start = len(_MAGIC) + _DIGEST
    if len(data) > MAX_METADATA or data[: len(_MAGIC)] != _MAGIC:
        raise ValueError("it is of another format")
    body = data[start:]
    if data[len(_MAGIC) : start] != _checksum(body, origin):
        raise ValueError("its checksum is wrong")
    return msgspec.msgpack.decode(body, type=Schema)


def _checksum(body: bytes, origin: Origin) -> bytes:
    return blake2b(body, digest_size=_DIGEST, person=bytes.fromhex(origin.digest)).digest()


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, whoever else writes it."""
    number, name = tempfile.mkstemp(dir=path.parent, suffix=".new")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _tidy(place: Path) -> None:
    """Remove what has been unused for longest; another process may be doing the same."""
    files = sorted(((one.stat().st_mtime, one) for one in place.glob("*.schema")), reverse=True)
    for _, old in files[MAX_FILES:]:
        old.unlink(missing_ok=True)
