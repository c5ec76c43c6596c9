"""How a cheat gets at another's work: an accomplice drops its answers in a folder, a copier reads them.

Not part of the subnet: it stands for whatever two miners may share behind a validator's back
(one machine, one database, one owner). An accomplice writes a file for each request it
answers, ``{digest of a picture: digit}``; a copier picks them up and looks its own pictures up.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from pathlib import Path

from subnet.examples.digits.data import Digits, Pictures

FILES = 64  # the accomplice keeps so many of its latest answers
REMEMBERED = 16_384  # and the copier so many digits


def digests(images: Pictures) -> list[str]:
    """A name for each picture, the same wherever the same bytes turn up."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest() for image in images]


class SideChannel:
    """One folder, ``path``; the accomplice calls :meth:`drop`, the copier :meth:`look_up`, from any thread."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._known: OrderedDict[str, int] = OrderedDict()
        self._read: set[str] = set()
        self._lock = threading.Lock()

    def drop(self, images: Pictures, answers: Digits) -> None:
        """Hand on what was answered; whole files only, so that a reader never meets half of one."""
        answer = dict(zip(digests(images), (int(digit) for digit in answers), strict=True))
        name = f"{time.time_ns():020d}-{os.getpid()}-{threading.get_ident()}"
        draft = self.path / f"{name}.part"
        draft.write_text(json.dumps(answer))
        draft.rename(self.path / f"{name}.json")
        for old in sorted(self.path.glob("*.json"))[:-FILES]:
            old.unlink(missing_ok=True)

    def look_up(self, images: Pictures) -> list[int | None]:
        """The accomplice's digit for each picture; None for one it has not answered (yet)."""
        with self._lock:
            self._refresh()
            return [self._known.get(digest) for digest in digests(images)]

    def _refresh(self) -> None:
        there = {file.name: file for file in self.path.glob("*.json")}
        for name in sorted(there.keys() - self._read):
            try:
                self._known.update(json.loads(there[name].read_text()))
            except FileNotFoundError:
                continue  # the accomplice tidied it away between our listing and our reading
        self._read = set(there)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
