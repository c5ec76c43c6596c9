"""What combines forecasts into one: predict, wait for the truth, learn, and again.

:class:`~subnet.scoring.dynamic_averaging.DynamicModelAveraging` is the default,
:class:`~subnet.scoring.hedge.FixedShareHedge` and :class:`~subnet.scoring.synthesis.Synthesiser` (Allora's
inference synthesis) are others. A validator, a benchmark and a subnet hold an aggregator by this protocol,
so that one is changed for another in one place.
"""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike


class Aggregator(Protocol):
    """Combines k forecasters' numbers, step by step. The order of the forecasters never changes.

    A step is one ``predict`` and, once the truth is known, one ``learn``.
    """

    def predict(self, forecasts: ArrayLike, /) -> float:
        """The combined forecast. ``forecasts``: float of shape (k,), NaN where a forecaster is absent.

        Raises ValueError where the shape is not (k,), or where there is nothing to combine. What becomes of an
        infinite forecast is for each to say.
        """
        ...

    def learn(self, truth: float, /) -> None:
        """Take the truth for what :meth:`predict` last combined. ValueError if that is not known, or not finite."""
        ...
