"""Which signed requests were already accepted: a fixed-size table that outlives the process.

A pair (hotkey, nonce) is remembered for the freshness window, which is all that btauth/1 needs: older
nonces are refused by their age. The table is 24 bytes a slot in one memory map, of a file (it survives
``kill -9``, because the kernel holds the pages) or of nothing (it goes with the process). A pair's keyed hash
picks a bucket of 64 slots, which is used as a ring: the oldest slot is overwritten, and only if its pair
has expired, so nothing that must be remembered is ever dropped; a full bucket refuses instead.

The worker processes of one axon share the file: each looks and writes under a lock that the kernel takes back
from a process that dies.

Where the memory may be incomplete (a new file, a reboot, another layout), every nonce that an earlier
process may have accepted is refused: those not younger than the table plus the allowed skew.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Final

from subnet.errors import Busy, StaleRequest, StoreError

RETENTION: Final = 12.0
"""Seconds that a pair is remembered: btauth/1's 10 s back and 2 s ahead."""
SKEW_NS: Final = 2_000_000_000

_MAGIC: Final = b"subnet-nonces/2\n"
_HEADER: Final = Struct("<16s16s36sQQ")  # magic, hash key, boot id, buckets, watermark (ns)
_HEADER_SIZE: Final = 4096
_SLOTS: Final = 64
_KEY: Final = 16
_STAMP: Final = Struct("<Q")
_TRIES: Final = 10_000
"""Looks at a lock that another worker holds for some microseconds."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class NonceTable:
    """A bounded set of accepted (hotkey, nonce) pairs; satisfies :class:`subnet.auth.NonceStore`.

    ``path`` names the file that makes it survive the process; without it the table is private memory and
    starts without a watermark, for tests and short-lived servers. One process may hold the file at a time, or,
    ``shared``, any number that all say so and give the same ``capacity``; StoreError otherwise. ``capacity`` is in
    pairs, rounded up; the default holds 10,000 requests a second through the window. ``retention`` is in seconds.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        capacity: int = 131_072,
        retention: float = RETENTION,
        shared: bool = False,
    ) -> None:
        self.retention = retention
        self._retention_ns = int(retention * 1e9)
        self._buckets = max(1, -(-capacity // _SLOTS))
        keys = self._buckets * _SLOTS * _KEY
        stamps = self._buckets * _SLOTS * _STAMP.size
        size = _HEADER_SIZE + keys + stamps + self._buckets
        self._stamps_at = _HEADER_SIZE + keys
        self._cursors_at = self._stamps_at + stamps
        self._file = None if path is None else _open_locked(path, size, shared=shared)
        self._turn = _open_turn(path) if path is not None and shared else None
        self._map = mmap.mmap(-1 if self._file is None else self._file, size)
        if path is None:
            key, self.watermark_ns = secrets.token_bytes(16), 0
        else:
            with self._alone():
                key, self.watermark_ns = self._adopt()
        self._hash_key = key

    def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool:
        """True, and the pair is recorded, if it was never seen; False if it was.

        Raises StaleRequest for a nonce that an earlier process may have accepted, Busy when the bucket is full
        of live pairs.
        """
        if not self.watermark_ns < nonce_ns < 1 << 64:
            raise StaleRequest("this server restarted and refuses nonces from before it did")
        # A prefix is key enough: nobody sees a hash, and sha256 costs two thirds of a keyed blake2b here.
        pair = sha256(self._hash_key + f"{hotkey_ss58}/{nonce_ns}".encode()).digest()[:_KEY]
        if self._turn is None:
            return self._look_and_write(pair, nonce_ns)
        self._take_turn()
        try:
            return self._look_and_write(pair, nonce_ns)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _look_and_write(self, pair: bytes, nonce_ns: int) -> bool:
        table, bucket = self._map, int.from_bytes(pair[:8], "little") % self._buckets
        start = _HEADER_SIZE + bucket * _SLOTS * _KEY
        at = table.find(pair, start, start + _SLOTS * _KEY)
        while at > start and (at - start) % _KEY:  # a match across two slots is chance, not the pair
            at = table.find(pair, at + 1, start + _SLOTS * _KEY)
        if at >= 0:
            return False
        cursor = table[self._cursors_at + bucket]
        stamp_at = self._stamps_at + (bucket * _SLOTS + cursor) * _STAMP.size
        (oldest,) = _STAMP.unpack_from(table, stamp_at)
        if oldest and oldest + self._retention_ns >= time.time_ns():
            raise Busy("too many requests inside the replay window")
        # The pair first: a crash between the two writes leaves a pair that is remembered, never one that is not.
        key_at = start + cursor * _KEY
        table[key_at : key_at + _KEY] = pair
        _STAMP.pack_into(table, stamp_at, nonce_ns)
        table[self._cursors_at + bucket] = (cursor + 1) % _SLOTS
        return True

    def _take_turn(self) -> None:
        """Have the table to ourselves; Busy if another worker, stopped at the wrong moment, keeps it."""
        assert self._turn is not None  # noqa: S101 - only shared tables take turns
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.sched_yield()
            else:
                return
        raise Busy("another worker of this miner keeps the memory of nonces")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While a table is made or adopted: waits for the workers that do the same."""
        if self._turn is None:
            yield
            return
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def ready_in(self) -> float:
        """Seconds until a request signed now can be accepted: 0, or up to 2 after the memory was lost."""
        return max(0.0, (self.watermark_ns - time.time_ns()) / 1e9)

    def close(self) -> None:
        """Give back the memory and the file's lock."""
        self._map.close()
        for file in (self._file, self._turn):
            if file is not None:
                os.close(file)
        self._file = self._turn = None

    def _adopt(self) -> tuple[bytes, int]:
        """The file's hash key and watermark, if it is whole and of this boot; else make it new."""
        boot = _boot_id()
        magic, key, written, buckets, watermark = _HEADER.unpack_from(self._map)
        if magic == _MAGIC and boot is not None and written == boot and buckets == self._buckets:
            return key, watermark
        self._map[:] = bytes(len(self._map))
        key, watermark = secrets.token_bytes(16), time.time_ns() + SKEW_NS
        _HEADER.pack_into(self._map, 0, _MAGIC, key, boot or b"", self._buckets, watermark)
        return key, watermark


def _open_turn(path: Path) -> int:
    """The lock that the workers take turns by: a file of its own, because a lock belongs to the whole file."""
    turn = path.with_name(f"{path.name}.turn")
    try:
        return os.open(turn, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{turn} can't be opened: {error.strerror}") from None


def _open_locked(path: Path, size: int, *, shared: bool) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} can't be opened: {error.strerror}") from None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        if shared and os.fstat(file).st_size not in (0, size) and not _alone_with(file):
            raise OSError(None, "the other workers hold it in another size")
        os.ftruncate(file, size)
        os.posix_fallocate(file, 0, size)  # a hole on a full disk would end the process at its first write
    except OSError as error:
        os.close(file)
        reason = "another process holds it" if isinstance(error, BlockingIOError) else error.strerror
        raise StoreError(f"{path} can't be used: {reason}") from None
    return file


def _alone_with(file: int) -> bool:
    """Whether no other process shares the file; if so, it is this one's and stays so until it shares again."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_SH)
    return True


def _boot_id() -> bytes | None:
    """What tells this boot from others; None where the system does not say (then no file is trusted)."""
    try:
        return _BOOT_ID.read_bytes().strip()[:36]
    except OSError:
        return None
