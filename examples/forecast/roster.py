"""Which place of a fixed number belongs to which hotkey."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from subnet.types import Hotkey


class Roster:
    """``size`` places. Who comes when all are taken gets the place of whoever was away for longest, if anybody was."""

    def __init__(self, size: int) -> None:
        self.names: list[Hotkey | None] = [None] * size
        self.seen: list[int] = [-1] * size
        """The step in which each was there last."""

    @property
    def places(self) -> dict[Hotkey, int]:
        return {name: place for place, name in enumerate(self.names) if name is not None}

    def taken(self) -> npt.NDArray[np.intp]:
        """The places that belong to somebody."""
        return np.array([place for place, name in enumerate(self.names) if name is not None], dtype=np.intp)

    def seat(self, hotkeys: Iterable[Hotkey], step: int) -> list[int]:
        """Give each of ``hotkeys``, who are there in ``step``, a place; those that changed hands or are new."""
        places, changed = self.places, []
        present = list(hotkeys)
        for hotkey in present:
            if hotkey in places:
                self.seen[places[hotkey]] = step
        for hotkey in present:
            if hotkey in places:
                continue
            place = min(range(len(self.names)), key=lambda at: (self.names[at] is not None, self.seen[at]))
            if self.names[place] is not None and self.seen[place] >= step:
                continue  # all were there in this step
            self.names[place], self.seen[place] = hotkey, step
            changed.append(place)
        return changed
