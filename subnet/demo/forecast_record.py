"""What a forecast demo leaves behind beside every demo's record: each validator's steps."""

from __future__ import annotations

import msgspec

from subnet.demo.record import Record, Role


class Step(msgspec.Struct):
    """One step as one validator saw it; °C. What came with the truth is None or empty before it."""

    number: int
    value: float
    """The network's forecast."""
    interval: tuple[float, ...] | None
    """Its 2.5, 16, 50, 84 and 97.5 percentiles; None in the first step."""
    synthesis: float
    naive: float
    inferences: dict[str, float]
    """By miner."""
    weights: dict[str, float]
    """By miner: its weight in the synthesis."""
    truth: float | None = None
    utility: float | None = None
    """chi."""
    reputers: int = 0
    """Validators whose losses counted."""
    scores: dict[str, float] = {}


class ForecastRecord(Record):
    """``steps`` by validator and number. The clock: ``origin`` in unix seconds, ``step_seconds`` a step."""

    origin: float = 0.0
    step_seconds: float = 0.0
    steps: dict[str, dict[int, Step]] = msgspec.field(default_factory=dict)

    def settled(self, validator: str | None = None) -> list[Step]:
        """A validator's steps whose truth is known, in order; by default the first validator's."""
        name = validator or self.of_role(Role.VALIDATOR)[0].name
        return [step for _, step in sorted(self.steps.get(name, {}).items()) if step.truth is not None]

    def rounds_done(self) -> int:
        """Truths that every validator has learned from."""
        return min((len(self.settled(validator.name)) for validator in self.of_role(Role.VALIDATOR)), default=0)
