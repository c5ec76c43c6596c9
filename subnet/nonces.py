"""Which signed requests were already accepted: a fixed-size table that outlives the process.

A pair (hotkey, nonce) is remembered for the freshness window, which is all that btauth/1 needs: older
nonces are refused by their age. The table is 24 bytes a slot in one memory map, of a file (it survives
``kill -9``, because the kernel holds the pages) or of nothing (it goes with the process). A pair's keyed hash
picks a bucket of 64 slots, which is used as a ring: the oldest slot is overwritten, and only if its pair
has expired, so nothing that must be remembered is ever dropped; a full bucket refuses instead.

Where the memory may be incomplete (a new file, a reboot, another layout), every nonce that an earlier
process may have accepted is refused: those not younger than the table plus the allowed skew.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
import time
from pathlib import Path
from struct import Struct
from typing import Final

from subnet.errors import Busy, StaleRequest, StoreError

RETENTION: Final = 12.0
"""Seconds that a pair is remembered: btauth/1's 10 s back and 2 s ahead."""
SKEW_NS: Final = 2_000_000_000

_MAGIC: Final = b"subnet-nonces/1\n"
_HEADER: Final = Struct("<16s16s36sQQ")  # magic, hash key, boot id, buckets, watermark (ns)
_HEADER_SIZE: Final = 4096
_SLOTS: Final = 64
_KEY: Final = 16
_STAMP: Final = Struct("<Q")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class NonceTable:
    """A bounded set of accepted (hotkey, nonce) pairs; satisfies :class:`subnet.auth.NonceStore`.

    ``path`` names the file that makes it survive the process (one process may hold it at a time; StoreError
    otherwise); without it the table is private memory and starts without a watermark, for tests and
    short-lived servers. ``capacity`` is in pairs, rounded up; the default holds 10,000 requests a second
    through the window. ``retention`` is in seconds.
    """

    def __init__(self, path: Path | None = None, *, capacity: int = 131_072, retention: float = RETENTION) -> None:
        self.retention = retention
        self._retention_ns = int(retention * 1e9)
        self._buckets = max(1, -(-capacity // _SLOTS))
        keys = self._buckets * _SLOTS * _KEY
        stamps = self._buckets * _SLOTS * _STAMP.size
        size = _HEADER_SIZE + keys + stamps + self._buckets
        self._stamps_at = _HEADER_SIZE + keys
        self._cursors_at = self._stamps_at + stamps
        self._file = None if path is None else _open_locked(path, size)
        self._map = mmap.mmap(-1 if self._file is None else self._file, size)
        self._hash_key, self.watermark_ns = self._adopt() if path else (secrets.token_bytes(16), 0)

    def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool:
        """True, and the pair is recorded, if it was never seen; False if it was.

        Raises StaleRequest for a nonce that an earlier process may have accepted, Busy when the bucket is full
        of live pairs.
        """
        if not self.watermark_ns < nonce_ns < 1 << 64:
            raise StaleRequest("this server restarted and refuses nonces from before it did")
        pair = hashlib.blake2b(f"{hotkey_ss58}/{nonce_ns}".encode(), digest_size=_KEY, key=self._hash_key).digest()
        bucket = int.from_bytes(pair[:8], "little") % self._buckets
        start = _HEADER_SIZE + bucket * _SLOTS * _KEY
        table = self._map
        seen = table[start : start + _SLOTS * _KEY]
        at = seen.find(pair)
        while at > 0 and at % _KEY:  # a match across two slots is chance, not the pair
            at = seen.find(pair, at + 1)
        if at >= 0:
            return False
        cursor = table[self._cursors_at + bucket]
        slot = bucket * _SLOTS + cursor
        stamp_at = self._stamps_at + slot * _STAMP.size
        (oldest,) = _STAMP.unpack_from(table, stamp_at)
        if oldest and oldest + self._retention_ns >= time.time_ns():
            raise Busy("too many requests inside the replay window")
        # The pair first: a crash between the two writes leaves a pair that is remembered, never one that is not.
        key_at = start + cursor * _KEY
        table[key_at : key_at + _KEY] = pair
        _STAMP.pack_into(table, stamp_at, nonce_ns)
        table[self._cursors_at + bucket] = (cursor + 1) % _SLOTS
        return True

    def ready_in(self) -> float:
        """Seconds until a request signed now can be accepted: 0, or up to 2 after the memory was lost."""
        return max(0.0, (self.watermark_ns - time.time_ns()) / 1e9)

    def close(self) -> None:
        """Give back the memory and the file's lock."""
        self._map.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

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


def _open_locked(path: Path, size: int) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} can't be opened: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(file, size)
        os.posix_fallocate(file, 0, size)  # a hole on a full disk would end the process at its first write
    except OSError as error:
        os.close(file)
        reason = "another process holds it" if isinstance(error, BlockingIOError) else error.strerror
        raise StoreError(f"{path} can't be used: {reason}") from None
    return file


def _boot_id() -> bytes | None:
    """What tells this boot from others; None where the system does not say (then no file is trusted)."""
    try:
        return _BOOT_ID.read_bytes().strip()[:36]
    except OSError:
        return None
