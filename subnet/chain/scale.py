"""Reading SCALE bytes from a stranger: a cursor that never goes past the end, and never believes a length.

Every element of a list takes at least a byte, so that whoever sends n bytes can't make us loop, or
take memory, for more than n elements. All failures are ChainMalformed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from subnet.errors import ChainMalformed

T = TypeVar("T")


class Cursor:
    """A place in SCALE bytes; each method takes what it returns."""

    __slots__ = ("at", "data", "elements", "end")

    def __init__(self, data: bytes, at: int = 0, elements: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data)
        self.elements = self.end if elements is None else elements  # of lists, that may still be taken

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return self.end - self.at

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        start = self.at
        if size > self.end - start:
            raise ChainMalformed("SCALE ends too early")
        self.at = start + size
        return self.data[start : self.at]

    def byte(self) -> int:
        if self.at >= self.end:
            raise ChainMalformed("SCALE ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def compact(self) -> int:
        """A compact integer."""
        first = self.byte()
        mode = first & 3
        if mode == 0:
            return first >> 2
        if mode == 3:
            return int.from_bytes(self.take((first >> 2) + 4), "little")
        self.at -= 1
        return int.from_bytes(self.take(2 if mode == 1 else 4), "little") >> 2

    def count(self) -> int:
        """The length of a list, which can't be more than the bytes that are left."""
        found = self.compact()
        if found > self.end - self.at:
            raise ChainMalformed(f"a list claims {found} elements in {self.end - self.at} bytes")
        return found

    def listed(self) -> int:
        """As :meth:`count`, for a list whose elements are objects: all lists together may have ``elements``."""
        found = self.count()
        self.elements -= found
        if self.elements < 0:
            raise ChainMalformed("the lists in there have more elements than we take")
        return found

    def blob(self) -> bytes:
        """A ``Vec<u8>``."""
        return self.take(self.count())

    def text(self) -> str:
        """A ``String``."""
        try:
            return self.blob().decode()
        except UnicodeDecodeError:
            raise ChainMalformed("a string is not UTF-8") from None

    def option(self, read: Callable[[], T]) -> T | None:
        """An ``Option`` of what ``read`` takes."""
        flag = self.byte()
        if flag > 1:
            raise ChainMalformed(f"an option starts with {flag}")
        return read() if flag else None

    def many(self, read: Callable[[], T]) -> list[T]:
        """A ``Vec`` of what ``read`` takes."""
        return [read() for _ in range(self.listed())]

    def finish(self) -> None:
        """Raises ChainMalformed if bytes are left."""
        if self.at != self.end:
            raise ChainMalformed(f"{self.end - self.at} bytes are left behind a value")
