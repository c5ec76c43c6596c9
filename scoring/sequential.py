"""Sequential tests: how few queries decide whether a miner cheats.

A check of one answer fails for an honest miner at most at the rate ``honest`` (noise, rounding, a lost packet) and
for a cheat at least at the rate ``cheat``. The sequential probability ratio test asks until the evidence is enough
either way; of all tests with its error rates it asks the fewest queries on average (Wald and
Wolfowitz 1948), often half of what a fixed number would need.

::

    test = Sprt(honest=0.02, cheat=0.3)
    tally = Tally()                                      # kept between rounds, as JSON if you like
    tally = test.observe(tally, asked=4, failed=1)
    tally.verdict                                        # "open", "honest" or "cheat"

Source: Wald, "Sequential Tests of Statistical Hypotheses", Annals of Mathematical Statistics 1945.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np

from subnet.scoring import checks

Verdict = Literal["open", "honest", "cheat"]

MOST_QUERIES: Final = 1 << 53
MOST_TRACED: Final = 100_000
"""Queries up to which :meth:`Sprt.exact` follows a test."""


class Tally(msgspec.Struct, frozen=True):
    """What one miner's checks came to: two counts and the verdict, which stands once it is given.

    ``msgspec.json.encode`` writes it; ``msgspec.json.decode(text, type=Tally)`` reads it, and raises
    msgspec.ValidationError for counts that can't be.
    """

    asked: int = 0
    failed: int = 0
    verdict: Verdict = "open"

    def __post_init__(self) -> None:
        if not 0 <= self.failed <= self.asked <= MOST_QUERIES:
            raise ValueError(f"a tally of {self.failed} failed of {self.asked} asked")


class Outlook(NamedTuple):
    """What becomes of a miner whose checks fail at some rate: chances of each verdict, and the mean queries."""

    cheat: float
    honest: float
    open: float
    asked: float


class Sprt(msgspec.Struct, frozen=True, kw_only=True):
    """Wald's test of a failure rate: ``honest`` or below, against ``cheat`` or above; 0 < honest < cheat < 1.

    ``alpha`` is the chance that an honest miner is convicted, ``beta`` that a cheat is acquitted: held up to
    alpha / (1 - beta) and beta / (1 - alpha). Who is not convicted within ``most`` queries (None: no end) is acquitted:
    that leaves alpha as it is and costs beta; :meth:`exact` says how much. Raises ValueError for other parameters.
    """

    honest: float
    cheat: float
    alpha: float = 0.001
    beta: float = 0.01
    most: int | None = None

    def __post_init__(self) -> None:
        checks.between("honest", self.honest, 0, 1, open_at="low high")
        checks.between("cheat", self.cheat, self.honest, 1, open_at="low high")
        checks.between("alpha", self.alpha, 0, 0.5, open_at="low high")
        checks.between("beta", self.beta, 0, 0.5, open_at="low high")
        if self.most is not None:
            checks.count("most", self.most, 1, MOST_QUERIES)

    def bounds(self) -> tuple[float, float]:
        """The log-likelihood ratios that acquit and convict: ``ln(beta / (1 - alpha))``, ``ln((1 - beta) / alpha)``."""
        return math.log(self.beta) - math.log1p(-self.alpha), math.log1p(-self.beta) - math.log(self.alpha)

    def lines(self) -> tuple[float, float, float]:
        """``(h0, h1, s)``: acquits at ``failed <= s * asked - h0``, convicts at ``failed >= s * asked + h1``."""
        low, high = self.bounds()
        passed, failed = self._steps()
        return -low / (failed - passed), high / (failed - passed), -passed / (failed - passed)

    def log_ratio(self, tally: Tally) -> float:
        """Log of how much likelier the tally is for a cheat than for an honest miner, in nats."""
        passed, failed = self._steps()
        return tally.failed * failed + (tally.asked - tally.failed) * passed

    def observe(self, tally: Tally, *, asked: int = 1, failed: int = 0) -> Tally:
        """The tally with ``asked`` more checks, of which ``failed`` failed, and the verdict that they lead to.

        A verdict, once given, stands: the counts go on. Checks of one call are judged together.
        Raises ValueError for counts that can't be.
        """
        n = checks.count("asked", asked, 0, MOST_QUERIES)
        counted = Tally(tally.asked + n, tally.failed + checks.count("failed", failed, 0, n), tally.verdict)
        return counted if tally.verdict != "open" else msgspec.structs.replace(counted, verdict=self._verdict(counted))

    def acquittal(self, rate: float) -> float:
        """Wald's operating characteristic: the chance that a miner failing at ``rate`` is acquitted.

        Approximate (it takes the evidence to end on the bounds, not past them), without an end (``most``).
        """
        checks.between("rate", rate, 0, 1)
        low, high = self.bounds()
        h = self._exponent(rate)
        if abs(h) < 1e-9:
            return high / (high - low)
        if rate in (0.0, 1.0):
            return 1.0 - rate
        # (A**h - 1) / (A**h - B**h), divided through by the larger power
        if h > 0:
            return -math.expm1(-h * high) / -math.expm1(h * (low - high))
        return math.exp(-h * low) * math.expm1(h * high) / math.expm1(h * (high - low))

    def expected_queries(self, rate: float) -> float:
        """Wald's expected sample number: queries until the verdict for a miner failing at ``rate``.

        ``(L ln B + (1 - L) ln A) / E[step]`` with L from :meth:`acquittal`; approximate as that.
        """
        low, high = self.bounds()
        passed, failed = self._steps()
        drift = rate * failed + (1 - rate) * passed
        acquitted = self.acquittal(rate)
        if abs(self._exponent(rate)) < 1e-6:  # no drift: the variance decides when
            return -low * high / (rate * failed**2 + (1 - rate) * passed**2)
        return (acquitted * low + (1 - acquitted) * high) / drift

    def exact(self, rate: float, *, most: int | None = None) -> Outlook:
        """The test's true :class:`Outlook`, query by query up to ``most`` (else the test's own, else 100,000).

        Wald's two formulas take the evidence to end on the bounds; this follows the chance of every tally still open.
        ``most`` is 1 to ``MOST_TRACED``; who is open then counts as open, unless the test's own ``most`` acquits.
        """
        checks.between("rate", rate, 0, 1)
        last = checks.count("most", self._last(most), 1, MOST_TRACED)
        convicted, acquitted, asked = 0.0, 0.0, 0.0
        passed, failed = self._steps()
        low, high = self.bounds()
        still, fewest = np.ones(1), 0  # chances of the open tallies: of so many failed, and one more each
        for n in range(1, last + 1):
            asked += float(still.sum())
            still = np.append(still * (1 - rate), 0.0) + np.append(0.0, still * rate)
            count = np.arange(fewest, fewest + still.size)
            evidence = count * failed + (n - count) * passed
            convicts, acquits = evidence >= high, evidence <= low
            if n == self.most:
                acquits = ~convicts
            convicted += float(still[convicts].sum())
            acquitted += float(still[acquits].sum())
            # evidence rises with the failed: what is open is one run of counts
            skipped = int(np.count_nonzero(acquits))
            still, fewest = still[~(convicts | acquits)], fewest + skipped
            if still.sum() < 1e-15:
                break
        return Outlook(convicted, acquitted, float(still.sum()), asked)

    def _last(self, most: int | None) -> int:
        if most is not None:
            return most if self.most is None else min(most, self.most)
        return MOST_TRACED if self.most is None else self.most

    def _steps(self) -> tuple[float, float]:
        """Log-likelihood ratio of a check passed (below 0), and of one failed (above 0)."""
        return math.log1p(-self.cheat) - math.log1p(-self.honest), math.log(self.cheat) - math.log(self.honest)

    def _verdict(self, tally: Tally) -> Verdict:
        low, high = self.bounds()
        ratio = self.log_ratio(tally)
        if ratio >= high:
            return "cheat"
        if ratio <= low or (self.most is not None and tally.asked >= self.most):
            return "honest"
        return "open"

    def _exponent(self, rate: float) -> float:
        """Wald's h of a rate: the root other than 0 of ``E[exp(h * step)] = 1``; 1 at honest, -1 at cheat."""
        from scipy.optimize import brentq

        passed, failed = self._steps()
        if rate in (0.0, 1.0):
            return math.inf if rate == 0 else -math.inf
        drift = rate * failed + (1 - rate) * passed
        if abs(drift) < 1e-12 * (failed - passed):
            return 0.0

        def excess(h: float) -> float:
            a, b = math.log(rate) + h * failed, math.log1p(-rate) + h * passed
            return float(np.logaddexp(a, b))

        # the sum is convex in h and 1 at h = 0: its other root lies on the side where it first falls
        side = -1.0 if drift > 0 else 1.0
        far = side
        while excess(far) < 0:
            far *= 2
        near = far
        while excess(near) >= 0:
            near /= 2
            if abs(near) < 1e-12:
                return 0.0
        return float(brentq(excess, near, far, xtol=1e-14))
