"""What validators tell each other of their losses, and which of it is believed.

A validator reports to every miner, and every miner tells every validator what others reported. The signature on a
report is its sender's request to the miner, which ends there, so a miner could tell a tale: what most miners tell alike
is believed. Workers are called by their hotkeys, since each validator numbers them in its own way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from subnet import codec
from subnet.examples.forecast.protocol import Board, Losses
from subnet.scoring.synthesis_state import ValueBundle, bundle_shapes, unknown
from subnet.scoring.synthesis_weights import Floats
from subnet.types import Hotkey

Places = npt.NDArray[np.intp]

LARGEST: Final = 20.0
"""A log10 loss beyond counts as not reported."""


def told(boards: Iterable[Board]) -> dict[Hotkey, Losses]:
    """By validator, the report that more than half of the miners who answered tell alike."""
    answers = list(boards)
    versions: dict[Hotkey, Counter[bytes]] = {}
    for board in answers:
        for hotkey, losses in board.reports.items():
            versions.setdefault(Hotkey(hotkey), Counter())[codec.encode(losses)] += 1
    believed = {}
    for hotkey, counts in versions.items():
        body, count = counts.most_common(1)[0]
        if 2 * count > len(answers):
            believed[hotkey] = codec.decode(Losses, body)
    return believed


def packed(bundle: ValueBundle, inferers: Sequence[str | None], forecasters: Sequence[str | None]) -> Losses:
    """The report of a bundle whose places belong to these hotkeys; places of nobody (None) are left out."""
    i, f = _taken(inferers), _taken(forecasters)
    n = np.concatenate([i, len(inferers) + f])
    few = ValueBundle(
        network=bundle.network,
        naive=bundle.naive,
        inferers=bundle.inferers[i],
        forecasters=bundle.forecasters[f],
        forecasters_one_out=bundle.forecasters_one_out[np.ix_(f, i)],
        one_out=bundle.one_out[n],
        one_in=bundle.one_in[f],
    )
    return Losses(
        inferers=[name for name in inferers if name is not None],
        forecasters=[name for name in forecasters if name is not None],
        losses=few.flat(),
    )


def unpacked(report: Losses, inferers: Sequence[str | None], forecasters: Sequence[str | None]) -> Floats | None:
    """The report's losses (D,) with everybody in the place that we have for them, NaN for who it does not know.

    None for a report that makes no sense: of another length than its names say, or with a name twice.
    """
    names = (report.inferers, report.forecasters)
    sizes = [int(np.prod(shape)) for shape in bundle_shapes(len(names[0]), len(names[1])).values()]
    if report.losses.size != sum(sizes) or any(len(set(one)) != len(one) for one in names):
        return None
    values = np.where(np.abs(report.losses) <= LARGEST, report.losses, np.nan)
    few = ValueBundle.of_flat(values, *map(len, names))
    i, to_i = _places(report.inferers, inferers)
    f, to_f = _places(report.forecasters, forecasters)
    count = len(inferers)
    one_out = unknown(count + len(forecasters))
    one_out[to_i], one_out[count + to_f] = few.one_out[i], few.one_out[len(report.inferers) + f]
    implied = unknown(len(forecasters), count)
    implied[np.ix_(to_f, to_i)] = few.forecasters_one_out[np.ix_(f, i)]
    return ValueBundle(
        network=few.network,
        naive=few.naive,
        inferers=_put(few.inferers[i], to_i, count),
        forecasters=_put(few.forecasters[f], to_f, len(forecasters)),
        forecasters_one_out=implied,
        one_out=one_out,
        one_in=_put(few.one_in[f], to_f, len(forecasters)),
    ).flat()


def _taken(names: Sequence[str | None]) -> Places:
    return np.array([place for place, name in enumerate(names) if name is not None], dtype=np.intp)


def _places(theirs: Sequence[str], ours: Sequence[str | None]) -> tuple[Places, Places]:
    """Which of ``theirs`` we know, and our places for them."""
    known = {name: place for place, name in enumerate(ours) if name is not None}
    found = [(k, known[name]) for k, name in enumerate(theirs) if name in known]
    both = np.array(found, dtype=np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _put(values: Floats, places: Places, count: int) -> Floats:
    out = unknown(count)
    out[places] = values
    return out
