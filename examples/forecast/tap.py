"""What anybody can hear of a miner: its hashes while a window is open, its forecasts once it is closed.

Not part of the subnet: it stands for a copier with a validator's permit, who asks a miner as validators do and passes
on what comes back. A tapped miner writes what leaves it into a folder, a file a step; the copier reads there.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

import msgspec

from subnet.examples.forecast.protocol import Opened

FILES: Final = 64
"""A tap keeps so many steps."""


class Tap:
    """One folder, made if it is not there; a file a step, of the hashes that left the miner and what opened them."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()

    def let_out(self, step: int, digest: bytes, opened: Opened | None = None) -> None:
        """Note a hash that left the miner, or with ``opened`` the forecast behind it."""
        with self._lock:
            heard = {**self.heard(step), digest: opened}
            draft = self.path / f"{step}.{os.getpid()}.part"
            draft.write_bytes(msgspec.msgpack.encode(list(heard.items())))
            draft.rename(self.path / f"{step}.heard")
            for old in sorted(self.path.glob("*.heard"), key=lambda file: int(file.stem))[:-FILES]:
                old.unlink(missing_ok=True)

    def heard(self, step: int) -> dict[bytes, Opened | None]:
        """By hash, what the miner opened it to; None as long as it has not."""
        try:
            data = (self.path / f"{step}.heard").read_bytes()
        except FileNotFoundError:
            return {}
        return dict(msgspec.msgpack.decode(data, type=list[tuple[bytes, Opened | None]]))
