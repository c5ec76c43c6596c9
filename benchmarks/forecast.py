"""How much better than the best forecaster one forecast out of many is: root mean squared error, best single = 1.

    python benchmarks/forecast.py            # two tables: series that change their regime, and real series
    python benchmarks/forecast.py --json     # {"ratios": {"default": {"mean": ..., "median": ..., "worst": ...}, ...}

The made series is AR(1); with probability 0.01 a step its regime is drawn anew from three. Five forecasters give a
coefficient times the last value, each with noise of its own. Every row but the last three predicts before it sees the
truth and knows nothing but the forecasts. Those three say what is possible: "filter" knows the coefficients, noises
and the probability of a change, but not the regime; "oracle, noisy" knows the regime, too, and averages the
forecasters' noise away; "oracle" knows the regime and the last value.

Real series and forecasters: _forecasters.py (needs the extra "examples").
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subnet.scoring.aggregator import Aggregator
from subnet.scoring.dynamic_averaging import DynamicModelAveraging
from subnet.scoring.hedge import FixedShareHedge
from subnet.scoring.synthesis import Synthesiser

Floats = NDArray[np.float64]

STEPS, UNCOUNTED = 1500, 100
COEFFICIENT = np.array([0.95, -0.6, 0.3])
NOISE = np.array([0.5, 0.8, 0.3])
CHANGE = 0.01
FORECASTERS = np.array([0.95, -0.6, 0.3, 1.0, 0.5])
OWN_NOISE = 0.15
REAL_UNCOUNTED = 20
LEVEL = 0.95
EVERY = 10
"""Steps from one interval to the next in the made series: an interval costs more than a step."""

AGGREGATORS: dict[str, Callable[[int], Aggregator]] = {
    "default": DynamicModelAveraging,
    "synthesis": Synthesiser,
    "hedge": FixedShareHedge,
}


def regimes(seed: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Truths (n,), forecasts (n, 5) and regimes (n,) of one series."""
    rng = np.random.default_rng(seed)
    truths, forecasts, regime = np.zeros(STEPS), np.zeros((STEPS, 5)), np.zeros(STEPS, dtype=np.int64)
    now, value = int(rng.integers(3)), 0.0
    for t in range(STEPS):
        if rng.random() < CHANGE:
            now = int(rng.integers(3))
        forecasts[t] = FORECASTERS * value + OWN_NOISE * rng.standard_normal(5)
        value = COEFFICIENT[now] * value + NOISE[now] * rng.standard_normal()
        truths[t], regime[t] = value, now
    return truths, forecasts, regime


def online(make: Callable[[int], Aggregator], truths: Floats, forecasts: Floats, every: int) -> tuple[Floats, float]:
    """Predictions (n,), each made before its truth is shown; and of the intervals, taken each ``every`` steps, how
    many hold their truth (NaN where there are none)."""
    aggregator = make(forecasts.shape[1])
    predictions, held = np.zeros(len(truths)), []
    for t, truth in enumerate(truths):
        predictions[t] = aggregator.predict(forecasts[t])
        if isinstance(aggregator, DynamicModelAveraging) and t >= UNCOUNTED and t % every == 0:
            low, high = aggregator.interval(LEVEL)
            held.append(low <= truth <= high)
        aggregator.learn(float(truth))
    return predictions, float(np.mean(held)) if held else float("nan")


def bayes_filter(truths: Floats, last: Floats, variance: float) -> Floats:
    """The best there is for whoever knows everything but the regime; ``variance`` is that of ``last``."""
    spread = np.sqrt(NOISE**2 + variance * COEFFICIENT**2)
    probability, predictions = np.full(3, 1 / 3), np.zeros(len(truths))
    for t, truth in enumerate(truths):
        probability = (1 - CHANGE) * probability + CHANGE / 3
        means = COEFFICIENT * last[t]
        predictions[t] = probability @ means
        probability *= np.exp(-0.5 * ((truth - means) / spread) ** 2) / spread
        probability /= probability.sum()
    return predictions


def rmse(errors: Floats, uncounted: int) -> float:
    return float(np.sqrt(np.mean(errors[uncounted:] ** 2)))


def simple(forecasts: Floats) -> dict[str, Floats]:
    return {"mean": forecasts.mean(1), "median": np.median(forecasts, axis=1)}


def judged(predictions: dict[str, Floats], truths: Floats, forecasts: Floats, uncounted: int) -> dict[str, float]:
    best = min(rmse(forecast - truths, uncounted) for forecast in forecasts.T)
    return {name: rmse(values - truths, uncounted) / best for name, values in predictions.items()}


def made(seed: int) -> tuple[dict[str, float], float]:
    """Ratios of each row on the series of ``seed``, and how many of the default's intervals held the truth."""
    truths, forecasts, regime = regimes(seed)
    runs = {name: online(make, truths, forecasts, EVERY) for name, make in AGGREGATORS.items()}
    predictions = {name: run[0] for name, run in runs.items()} | simple(forecasts)
    predictions["best single"] = min(forecasts.T, key=lambda values: rmse(values - truths, UNCOUNTED))
    pooled = forecasts @ FORECASTERS / (FORECASTERS @ FORECASTERS)
    predictions["filter"] = bayes_filter(truths, pooled, OWN_NOISE**2 / float(FORECASTERS @ FORECASTERS))
    predictions["oracle, noisy"] = COEFFICIENT[regime] * pooled
    predictions["oracle"] = COEFFICIENT[regime] * np.concatenate([[0.0], truths[:-1]])
    return judged(predictions, truths, forecasts, UNCOUNTED), runs["default"][1]


def real(name: str) -> tuple[dict[str, float], float, str]:
    """The same on a real series, and which forecaster is the best."""
    import _forecasters

    truths, forecasts = _forecasters.forecasts(name)
    runs = {row: online(make, truths, forecasts, 1) for row, make in AGGREGATORS.items()}
    predictions = {row: run[0] for row, run in runs.items()} | simple(forecasts)
    errors = [rmse(forecast - truths, REAL_UNCOUNTED) for forecast in forecasts.T]
    predictions["best single"] = forecasts[:, int(np.argmin(errors))]
    best = _forecasters.FORECASTERS[int(np.argmin(errors))].__name__
    return judged(predictions, truths, forecasts, REAL_UNCOUNTED), runs["default"][1], best


def summary(results: list[tuple[dict[str, float], float]]) -> dict[str, Any]:
    rows = [ratios for ratios, _ in results]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    against = columns["default"] / np.minimum(columns["synthesis"], columns["hedge"])
    return {
        "ratios": {
            name: {
                "mean": round(float(values.mean()), 4),
                "median": round(float(np.median(values)), 4),
                "worst": round(float(values.max()), 4),
            }
            for name, values in columns.items()
        },
        "default_to_better_of_synthesis_and_hedge": {"worst": round(float(against.max()), 4)},
        "coverage": {"level": LEVEL, "mean": round(float(np.mean([held for _, held in results])), 4)},
        "seeds": {name: [round(float(value), 4) for value in values] for name, values in columns.items()},
    }


def print_made(out: dict[str, Any], seeds: int) -> None:
    print(f"{f'{seeds} series of {STEPS} steps':<28} {'mean':>7} {'median':>7} {'worst':>7}")
    for name, row in out["ratios"].items():
        print(f"{name:<28} {row['mean']:>7.3f} {row['median']:>7.3f} {row['worst']:>7.3f}")
    worst = out["default_to_better_of_synthesis_and_hedge"]["worst"]
    print(f"default over the better of synthesis and hedge, worst series: {worst:.3f}")
    print(f"truths in the default's {LEVEL:.0%} interval: {out['coverage']['mean']:.1%}")


def print_real(table: dict[str, dict[str, Any]]) -> None:
    print(f"\n{'real series':<28} " + " ".join(f"{name:>17}" for name in table))
    for row in next(iter(table.values()))["ratios"]:
        print(f"{row:<28} " + " ".join(f"{of['ratios'][row]:>17.3f}" for of in table.values()))
    print(f"{'best single is':<28} " + " ".join(f"{of['best']:>17}" for of in table.values()))
    print(f"{f'in the {LEVEL:.0%} interval':<28} " + " ".join(f"{of['coverage']:>17.1%}" for of in table.values()))


def progress(done: int, of: int, what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{what} {done}/{of} ", end="" if done < of else "\n", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--seeds", type=int, default=20, help="how many made series")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--no-real", action="store_true", help="made series only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    args = parser.parse_args()
    if args.seeds < 1 or args.first < 0 or args.jobs < 1:
        parser.error("--seeds and --jobs are at least 1, --first at least 0")
    if not args.no_real and importlib.util.find_spec("statsmodels") is None:
        parser.error("real series need statsmodels: pip install -e '.[examples]', or give --no-real")
    started = time.perf_counter()
    results = []
    # one thread of BLAS a process, which only a fresh process takes from the environment: more wait for each other
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.jobs, spawn, signal.signal, (signal.SIGINT, signal.SIG_DFL)) as pool:
        try:
            for result in pool.map(made, range(args.first, args.first + args.seeds)):
                results.append(result)
                progress(len(results), args.seeds, "made series")
            out = summary(results)
            if not args.no_real:
                names = ["sunspots", "co2", "unemployment"]
                out["real"] = {
                    name: {
                        "ratios": {row: round(v, 4) for row, v in ratios.items()},
                        "coverage": round(held, 4),
                        "best": best,
                    }
                    for name, (ratios, held, best) in zip(names, pool.map(real, names), strict=True)
                }
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            sys.exit(130)
    if args.json:
        print(json.dumps(out))
        return
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}", file=sys.stderr)
    print_made(out, args.seeds)
    if "real" in out:
        print_real(out["real"])
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
