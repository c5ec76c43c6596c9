"""Who takes part: the owner, two validators and six or more miners, each there to show one thing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import msgspec

from subnet.demo.record import Actor, Role

MINERS = 6
MAX_MINERS = 16
_MINER = "subnet.examples.digits.miner:"
_VALIDATOR = "subnet.examples.digits.validator:DigitsValidator"


def key_of(name: str) -> str:
    """The development key an actor signs with: ``good-a`` has ``//GoodA``."""
    return "//" + name.title().replace("-", "")


def cast(folder: Path, *, seed: int, miners: int = MINERS, interval: float) -> list[Actor]:
    """The cast in order of uid (0 is the owner); ``interval`` is a validator's seconds from round to round.

    Miners beyond the first six are more good ones, on either half of the data in turn.
    """
    if not MINERS <= miners <= MAX_MINERS:
        raise ValueError(f"the cast needs {MINERS} to {MAX_MINERS} miners, not {miners}")
    owner = Actor(name="owner", role=Role.OWNER, about="created the subnet", key=key_of("owner"))
    validators = [
        Actor(
            name=f"validator-{letter}",
            role=Role.VALIDATOR,
            about="asks, scores, sets weights",
            key=key_of(f"validator-{letter}"),
            target=_VALIDATOR,
            options={"seed": str(seed * 100 + i), "interval": str(interval)},
        )
        for i, letter in enumerate("ab")
    ]
    crew = _six(str(folder / "side-channel"), seed) + [_extra(i) for i in range(miners - MINERS)]
    return [msgspec.structs.replace(a, uid=uid) for uid, a in enumerate([owner, *validators, *crew])]


def _six(channel: str, seed: int) -> list[Actor]:
    torch = find_spec("torch") is not None
    return [
        _miner(
            "good-a",
            Role.GOOD,
            "fitted on half 0; leaks its answers",
            "DigitsMiner",
            half="0",
            side_channel=channel,
        ),
        _miner(
            "good-b",
            Role.GOOD,
            f"fitted on half 1{', a torch network' if torch else ''}",
            "TorchDigitsMiner" if torch else "DigitsMiner",
            half="1",
            seed=str(seed),
        ),
        _miner("weak", Role.WEAK, "fitted on 10 images", "WeakMiner", seed=str(seed)),
        _miner("random", Role.RANDOM, "guesses", "RandomMiner", seed=str(seed)),
        msgspec.structs.replace(
            _miner(
                "copier",
                Role.COPIER,
                "hands in good-a's answers, late",
                "CopierMiner",
                side_channel=channel,
                seed=str(seed),
            ),
            copies="good-a",
        ),
        _miner("reborn", Role.REBORN, "fitted on half 1; killed, comes back", "DigitsMiner", half="1"),
    ]


def _extra(i: int) -> Actor:
    half = str(i % 2)
    return _miner(f"good-{'cdefghijkl'[i]}", Role.GOOD, f"fitted on half {half}", "DigitsMiner", half=half)


def _miner(name: str, role: Role, about: str, model: str, **options: str) -> Actor:
    return Actor(name=name, role=role, about=about, key=key_of(name), target=_MINER + model, options=options)
