"""The forecast demo: real models on a real series, sealed forecasts, copiers who gain nothing, and a picture of it.

The validators' record files say what was forecast and what came; the chain says who was paid.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from subnet.demo import forecast_checks
from subnet.demo.cast import key_of
from subnet.demo.checks import Check
from subnet.demo.forecast_plot import draw
from subnet.demo.forecast_record import ForecastRecord, Step
from subnet.demo.play import READY, SLOWEST, together
from subnet.demo.record import Actor, Role
from subnet.demo.settings import BLOCK_TIME, Demo
from subnet.examples.forecast.topic import Topic, write_topic

if TYPE_CHECKING:
    from subnet.demo.play import Stage

STEPS: Final = 30
FEWEST_STEPS: Final = 20  # nobody is paid in the first ten, in which all are unknown
TEMPO: Final = 20  # blocks
SECONDS: Final = (2.0, 8.0)  # a step's, on a machine that has nothing else to do, and at the most
USUAL_START: Final = 10.0  # seconds that all miners take to come up on such a machine
LEAD: Final = 3.0  # seconds that validators have to come up before the first step
POLL: Final = 0.3
MOST_LINE: Final = 1 << 20
_MINER: Final = "subnet.examples.forecast.miner:"
_VALIDATOR: Final = "subnet.examples.forecast.validator:ForecastValidator"


def cast(folder: Path, seed: int) -> list[Actor]:
    """The owner, two validators, the models (a torch network where there is torch), and who lives off others."""
    topic, tap = str(folder / "topic.json"), str(folder / "tap")
    models = [
        _miner("boosting", Role.GOOD, "gradient boosting; a copier listens", "BoostingMiner", seed=str(seed), tap=tap),
        _miner("arima", Role.GOOD, "ARMA around a yearly wave", "ArimaMiner"),
        _miner("smoothing", Role.GOOD, "exponential smoothing", "SmoothingMiner"),
    ]
    if find_spec("torch") is not None:
        models.append(_miner("torch", Role.GOOD, "a small neural network", "TorchMiner", seed=str(seed)))
    others = [
        _miner("naive", Role.WEAK, "next month is as this one", "NaiveMiner"),
        _miner("forecaster", Role.FORECASTER, "forecasts the others' losses", "LossForecaster"),
        _miner("useless", Role.USELESS, "forecasts losses by chance", "UselessForecaster", seed=str(seed)),
        _copier("old-copier", "hands in what boosting said last", "StaleCopier", tap),
        _copier("hash-copier", "hands in boosting's hash as its own", "HashCopier", tap),
    ]
    validators = [_validator(f"validator-{letter}", folder) for letter in "ab"]
    owner = Actor(name="owner", role=Role.OWNER, about="created the subnet", key=key_of("owner"))
    crew = [msgspec.structs.replace(one, options={"topic": topic, **one.options}) for one in [*models, *others]]
    return [msgspec.structs.replace(a, uid=uid) for uid, a in enumerate([owner, *validators, *crew])]


def _miner(name: str, role: Role, about: str, model: str, **options: str) -> Actor:
    return Actor(name=name, role=role, about=about, key=key_of(name), target=_MINER + model, options=options)


def _copier(name: str, about: str, model: str, tap: str) -> Actor:
    return msgspec.structs.replace(_miner(name, Role.COPIER, about, model, of=tap), copies="boosting")


def _validator(name: str, folder: Path) -> Actor:
    files = {"memory": f"{name}.npz", "record": f"{name}.jsonl"}
    options = {"topic": str(folder / "topic.json"), "alpha": "0.15"}
    options |= {what: str(folder / file) for what, file in files.items()}
    about = "asks, reports losses, sets weights"
    return Actor(name=name, role=Role.VALIDATOR, about=about, key=key_of(name), target=_VALIDATOR, options=options)


@dataclass
class ForecastDemo(Demo):
    """``rounds`` counts steps of the topic."""

    rounds: int = STEPS
    record: ForecastRecord = field(init=False)

    def __post_init__(self) -> None:
        self.record = ForecastRecord(seed=self.seed, rounds_wanted=self.rounds, block_time=BLOCK_TIME, tempo=TEMPO)
        self.record.actors = cast(self.folder, self.seed)
        self._read: dict[str, int] = {}

    @property
    def limit(self) -> float:
        return READY + SLOWEST * self.rounds * SECONDS[1]

    def checks(self) -> list[Check]:
        return forecast_checks.run(self.record)

    def draw(self, path: Path) -> Path:
        return draw(self.record, path)

    async def script(self, stage: Stage) -> None:
        """Wait for the miners, start the clock, and stop when enough truths have come and are paid."""
        began = time.monotonic()
        await stage.all_serve()
        topic = self._clock(time.monotonic() - began)
        for validator in self.record.of_role(Role.VALIDATOR):
            stage.start(validator)
        self.say(f"all miners serve; a step every {topic.seconds:.1f} s, the first is {topic.month(0)}; ten go unpaid")
        await together(self._until_paid(stage), self._follow_records(stage))

    def _clock(self, start: float) -> Topic:
        """Write the topic for everybody: slower steps where the machine took longer to come so far."""
        slow = max(1.0, start / USUAL_START)
        seconds = min(SECONDS[0] * slow, SECONDS[1])
        topic = Topic(origin=time.time() + LEAD * slow, seconds=round(seconds, 2))
        write_topic(self.folder / "topic.json", topic)
        self.record.origin, self.record.step_seconds = topic.origin, topic.seconds
        return topic

    async def _until_paid(self, stage: Stage) -> None:
        record = self.record
        await stage.watch.until(lambda: record.rounds_done() >= record.rounds_wanted)
        self.say(f"{record.rounds_done()} truths have come; one more epoch pays for the last of them")
        await stage.paid()

    async def _follow_records(self, stage: Stage) -> None:
        """Read what the validators note, as they note it."""
        while True:
            for validator in self.record.of_role(Role.VALIDATOR):
                for line in await asyncio.to_thread(self._new_lines, validator):
                    self._take(validator, line)
            stage.watch.changed.set()
            await asyncio.sleep(POLL)

    def _new_lines(self, validator: Actor) -> list[dict[str, Any]]:
        path = Path(validator.options["record"])
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read.get(validator.name, 0))
            data = file.read(MOST_LINE)
        whole = data[: data.rfind(b"\n") + 1]
        self._read[validator.name] = self._read.get(validator.name, 0) + len(whole)
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    def _take(self, validator: Actor, line: dict[str, Any]) -> None:
        record, number = self.record, int(line["step"])
        names = {actor.hotkey: actor.name for actor in record.actors}
        steps = record.steps.setdefault(validator.name, {})
        if line["kind"] == "forecast":
            inferences = {names[h]: float(v) for h, v in line["inferences"].items() if h in names}
            weights = {names[h]: float(v) for h, v in line["weights"].items() if h in names}
            steps[number] = Step(
                number, line["value"], line["interval"], line["synthesis"], line["naive"], inferences, weights
            )
        elif number in steps:
            step = steps[number]
            step.truth, step.utility = float(line["truth"]), float(line["utility"])
            step.reputers = len(line["reputers"])
            step.scores = {names[h]: float(v) for h, v in line["scores"].items() if h in names}
            if validator.name == record.of_role(Role.VALIDATOR)[0].name:
                self._tell(step)

    def _tell(self, step: Step) -> None:
        if step.number % 4 == 0 and step.truth is not None:
            month = Topic().month(step.number)
            self.say(f"{month} was {step.truth:.2f} °C, the network said {step.value:.2f}")
