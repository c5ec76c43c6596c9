"""``--gate honest_share=0.95``: the least (or most) that a report must show, as a check in CI."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from subnet.errors import ConfigError, GateFailed
from subnet.lab.report import Report, Verdict

_METRICS: Final[dict[str, tuple[str, Callable[[Verdict], float]]]] = {
    "honest_share": (">=", lambda v: v.honest_share.mean),
    "vtrust": (">=", lambda v: v.vtrust.mean),
    "gain": ("<=", lambda v: v.gain.mean),
    "harm": ("<=", lambda v: v.harm.mean),
    "detection": ("<=", lambda v: v.detection),
    "smallest_stake": (">=", lambda v: math.inf if v.smallest_stake is None else v.smallest_stake),
}
METRICS: Final = {name: sign for name, (sign, _) in _METRICS.items()}
"""What can be gated, and which way."""


@dataclass(frozen=True)
class Gate:
    """``metric`` of every attack must be at least (or at most) ``limit``."""

    metric: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """``NAME=NUMBER`` (``NAME>=NUMBER`` and ``NAME<=NUMBER`` where that is its sign). Raises ConfigError."""
        name, equals, number = text.partition("=")
        sign = name[-1:] if name[-1:] in "<>" else ""
        name = name.removesuffix(sign).strip() if sign else name.strip()
        known = ", ".join(f"{metric}{sign}N" for metric, sign in METRICS.items())
        if not equals or name not in METRICS or (sign and METRICS[name] != f"{sign}="):
            raise ConfigError(f"{text!r} is no gate", remedy=f"Known: {known}.")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not math.isfinite(limit):
            raise ConfigError(f"{text!r} has no number", remedy=f"Known: {known}.")
        return cls(name, limit)

    def failures(self, report: Report) -> list[str]:
        """One line for each attack that does not pass."""
        sign, read = _METRICS[self.metric]
        lines = []
        for verdict in report.verdicts:
            found = read(verdict)
            if not (found >= self.limit if sign == ">=" else found <= self.limit):
                shown = "never" if math.isinf(found) else f"{found:.4g}"
                lines.append(f"{verdict.attack}: {self.metric} is {shown}, expected {sign} {self.limit:g}")
        return lines


def check(report: Report, gates: Sequence[Gate]) -> None:
    """Raise GateFailed, naming every attack that fails a gate."""
    failures = [line for gate in gates for line in gate.failures(report)]
    if failures:
        raise GateFailed("; ".join(failures))
