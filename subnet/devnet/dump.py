"""A chain's state in one portable file: written whole or not at all, refused when damaged.

The file is a line with the format's number, the SHA-256 of the rest, and the rest: the chain's rules, its
genesis block, its last blocks and every key and value of its head, as msgpack. A chain loaded from it goes
on from that head as the same chain (one genesis hash); the states of the blocks before it are not kept,
and what it builds has hashes of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from subnet.devnet.chain import METADATA_KEY, Chain, known_metadata
from subnet.devnet.context import Spec
from subnet.devnet.scale import ScaleError
from subnet.devnet.state import Store, StoredBlock
from subnet.errors import DevnetError

NAME, FORMAT = b"subnet-devnet-state", b"1"
MAX_FILE = 512 * 1024 * 1024  # bytes
MAX_BLOCKS = 256  # the last ones, whose headers clients may ask for
MAX_BLOCK_BYTES = 64 * 1024 * 1024  # of these together


class Dump(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the file holds. ``blocks`` ascend, from the genesis block to the head; ``state`` is the head's."""

    spec: dict[str, Any]
    clock: int
    blocks: list[tuple[int, bytes, bytes, bytes]]
    state: list[tuple[bytes, bytes]]


def write(chain: Chain, path: Path) -> None:
    """Write the chain's head to ``path``, in place of what is there; DevnetError if that can't be done."""
    blocks, size = [chain.store.block(chain.head.number)], 0
    while (first := blocks[-1]) is not None and first.number > 1 and len(blocks) < MAX_BLOCKS:
        size += len(first.extrinsics)
        if size > MAX_BLOCK_BYTES:
            break
        blocks.append(chain.store.block(first.number - 1))
    found = {block.number: block for block in [chain.store.block(0), *blocks] if block is not None}
    state = [(head + rest, value) for head, rows in chain.state.items.items() for rest, value in rows.items()]
    dump = Dump(
        asdict(chain.spec),
        chain.ahead_ms,
        [(one.number, one.hash, one.header, one.extrinsics) for _, one in sorted(found.items())],
        sorted(state),
    )
    payload = msgspec.msgpack.encode(dump)
    if len(payload) > MAX_FILE - 1024:
        raise DevnetError(f"the state takes {len(payload)} bytes", remedy="Keep a state this large with --state FILE.")
    _replace(path, NAME + b" " + FORMAT + b"\n" + hashlib.sha256(payload).digest() + payload)


def check_writable(path: Path) -> None:
    """DevnetError if :func:`write` could not write there, before a chain is run for it."""
    if path.is_dir() or not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise DevnetError(f"can't write {path}", remedy="Name a file in a folder that exists and is writable.")


def _replace(path: Path, data: bytes) -> None:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DevnetError(
            f"can't write {path}: {error.strerror}", remedy="Name a file in a folder that exists and has room."
        ) from None


def read(path: Path) -> Dump:
    """What a dump holds; DevnetError if it is damaged, of another format, or no dump at all."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise DevnetError(f"can't read {path}: {error.strerror}", remedy="Check the path of --load-state.") from None
    line = data[:64].partition(b"\n")[0]
    name, _, number = line.partition(b" ")
    if name != NAME or not number.isdigit():
        raise DevnetError(
            f"{path} is no state that this command wrote",
            remedy="Give a file of --dump-state; a file of --state is given to --state.",
        )
    if number != FORMAT:
        raise DevnetError(
            f"{path} is in format {number.decode()}; this version reads {FORMAT.decode()}",
            remedy="Load it with the version that wrote it.",
        )
    start = len(line) + 1 + 32
    payload = memoryview(data)[start:]
    damaged = DevnetError(f"{path} is damaged", remedy="Write it anew with --dump-state, or take another copy.")
    if len(data) > MAX_FILE or hashlib.sha256(payload).digest() != data[start - 32 : start]:
        raise damaged
    try:
        return msgspec.msgpack.decode(payload, type=Dump)
    except (msgspec.MsgspecError, RecursionError):
        raise damaged from None


def restore(dump: Dump, store: Store, path: Path) -> None:
    """Put a dump into a store that holds no chain yet; ``path`` is the dump's, for messages."""
    if store.head() is not None:
        raise DevnetError(
            f"{store.path} holds a chain already",
            remedy="Give --load-state with a fresh --state file, or without one; later starts need only --state.",
        )
    try:
        spec = Spec(**dump.spec)
        fits = dict(dump.state).get(METADATA_KEY) == known_metadata(spec)
    except (TypeError, ScaleError):
        fits = False
    if not fits or not dump.blocks or dump.blocks[0][0] != 0:
        raise DevnetError(
            f"{path} holds a chain of another version of this software",
            remedy="Load it with the version that wrote it.",
        )
    meta = {
        "spec": json.dumps(dump.spec).encode(),
        "clock": str(dump.clock).encode(),
        "branch": os.urandom(16),
        "kept_from": str(dump.blocks[-1][0]).encode(),
    }
    store.fill([StoredBlock(*block) for block in dump.blocks], dict(dump.state), meta)
