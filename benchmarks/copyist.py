"""What a copier gains on the forecast subnet, by what its copy is like: the pair's pay against the copied one's alone.

Five real models answer STEPS months of the example's series one step ahead; the network of the example learns and pays.
``exact``: the same answers, as where nothing is sealed. ``blurred``: within the tolerance of the comparison. ``noisy``:
with noise of that part of the copied model's own RMSE, which no comparison can tell from another model. ``old``: the
answer of the step before, the best that a copier has where forecasts are sealed. Beside the example's pay stand two
peers that pay by the head: the same without shared seats, and Allora's own reward fractions.

    python benchmarks/copyist.py [--steps 100] [--json]
"""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from typing import Any

import numpy as np

from subnet.examples.forecast import models
from subnet.examples.forecast.network import TOLERANCE, Network
from subnet.examples.forecast.protocol import Opened
from subnet.examples.forecast.topic import KNOWN, Floats, series
from subnet.types import Hotkey

NOISES = (0.25, 0.5, 1.0)
RULES = ("gain", "gain_by_the_head", "gain_fractions")
"""What the pair gains under the example's pay, and under the two peers."""
ME = Hotkey("validator")


def said(model: models.Model, steps: int) -> Floats:
    return np.array([model.forecast(series()[: KNOWN + step]) for step in range(steps)])


def pay(forecasts: dict[str, Floats], rule: str) -> dict[str, float]:
    """Each miner's mean part of the reward, over the steps that the example pays."""
    network, paid = Network(unit=float(np.std(np.diff(series()[:KNOWN]))), merge=rule == "gain"), []
    for step in range(len(next(iter(forecasts.values())))):
        opened = {Hotkey(name): Opened(salt=b"", value=float(values[step])) for name, values in forecasts.items()}
        truth = float(series()[KNOWN + step])
        report = network.report(step, opened, truth)
        learned = network.learn(step, opened, truth, {ME: (1.0, report)}) if report is not None else None
        if learned is not None and learned.scores:
            fractions = learned.outcome.state.inferer_fractions
            allora = {hotkey: float(fractions[place]) for hotkey, place in network.inferers.places.items()}
            paid.append(allora if rule == "gain_fractions" else learned.scores)
    return {name: float(np.mean([scores[Hotkey(name)] for scores in paid])) for name in forecasts}


def copies(copied: Floats, steps: int) -> dict[str, Floats]:
    random = np.random.default_rng(0)
    rmse = float(np.sqrt(np.mean((copied - series()[KNOWN : KNOWN + steps]) ** 2)))
    unit = float(np.std(np.diff(series()[:KNOWN])))
    noisy = {f"noisy {part:g}": copied + random.normal(0, part * rmse, steps) for part in NOISES}
    blurred = copied + random.uniform(-1, 1, steps) * 0.9 * TOLERANCE * unit
    return {"exact": copied, "blurred": blurred, **noisy, "old": np.concatenate([copied[:1] + 1, copied[:-1]])}


def measure(steps: int) -> list[dict[str, Any]]:
    kinds: dict[str, models.Model] = {
        "naive": models.Naive(),
        "smoothing": models.Smoothing(),
        "arima": models.Arima(),
        "boosting": models.Boosting(),
    }
    if find_spec("torch") is not None:
        kinds["torch"] = models.Network()
    forecasts = {name: said(model, steps) for name, model in kinds.items()}
    alone = {rule: pay(forecasts, rule) for rule in RULES}
    rows = []
    for name, values in forecasts.items():
        for kind, copy in copies(values, steps).items():
            row: dict[str, Any] = {"copied": name, "copy": kind, "alone": alone["gain"][name]}
            for rule in RULES:
                both = pay({**forecasts, "copy": copy}, rule)
                row[rule] = (both[name] + both["copy"]) / alone[rule][name] - 1
                row.setdefault("copier", both["copy"])
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(options.steps)
    if options.json:
        print(json.dumps({"steps": options.steps, "rows": rows}))
        return
    titles = ("its share", "copier", "pair gains", "by the head", "fractions")
    print(f"{'copied':10} {'copy':10}", *titles)
    for row in rows:
        print(
            f"{row['copied']:10} {row['copy']:10} {row['alone']:9.1%} {row['copier']:6.1%}"
            f" {row['gain']:+10.1%} {row['gain_by_the_head']:+11.1%} {row['gain_fractions']:+9.1%}"
        )


if __name__ == "__main__":
    main()
