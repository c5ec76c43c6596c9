"""What the validators of a forecasting topic ask and what miners answer.

A step goes ``Commit`` (the question; back comes a hash), ``Reveal`` (after the window; back comes what was hashed),
and, once the truth is known, ``Report`` (a validator's losses; back come the other validators' that the miner holds).
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Final

import msgspec

from subnet.synapse import Message, Spec, Synapse, Tensor
from subnet.types import Hotkey

SALT: Final = 32
"""Bytes of a salt: nobody finds a forecast by hashing all that are likely."""
MOST_WORKERS: Final = 38
MOST_REPORTS: Final = 16
"""Validators whose reports a miner holds for one step."""
MOST_NUMBERS: Final = 512
"""Losses in one report; 32 inferers and 6 forecasters make 276."""
LARGEST: Final = 1e6
"""A forecast or a loss beyond counts as none."""

Name = Annotated[str, msgspec.Meta(max_length=64)]
Names = Annotated[list[Name], msgspec.Meta(max_length=MOST_WORKERS)]


class Sealed(Message):
    """The hash of a forecast, see :func:`seal`; empty: this miner gives none for the step."""

    digest: Annotated[bytes, msgspec.Meta(max_length=32)]


class Commit(Synapse[Sealed], timeout=30.0, max_request=1 << 20, max_reply=4096):
    """What will step ``step`` be? Answer with the hash of your forecast; the forecast itself comes by ``Reveal``.

    ``history`` (n,) is the series so far, oldest first. ``losses`` (m, w) are the log10 losses of the ``workers``
    (hotkeys of inferers) in the last m steps whose truth is known, oldest first, NaN where they were not there.
    """

    step: int
    history: Annotated[Tensor, Spec("float64", ("n",))]
    workers: Names
    losses: Annotated[Tensor, Spec("float64", ("m", "w"))]


class Opened(Message):
    """What was committed to. An inferer gives ``value``; a forecaster gives ``losses``, by hotkey the log10 loss that
    it expects of each inferer; a miner may do both.
    """

    salt: Annotated[bytes, msgspec.Meta(max_length=SALT)]
    value: float | None = None
    losses: Annotated[dict[Name, float], msgspec.Meta(max_length=MOST_WORKERS)] = msgspec.field(default_factory=dict)


class Reveal(Synapse[Opened], timeout=10.0, max_reply=16_384):
    """The window of ``step`` has closed: what had you committed to?"""

    step: int


class Losses(Message):
    """One validator's log10 losses in one step, in the order of :meth:`subnet.scoring.synthesis.ValueBundle.flat`
    for these ``inferers`` and ``forecasters`` (hotkeys); NaN for what it does not know.
    """

    inferers: Names
    forecasters: Names
    losses: Annotated[Tensor, Spec("float64", ("d",))]


class Board(Message):
    """By hotkey of the validator, the reports that a miner holds for the step, the asking one's own left out."""

    reports: Annotated[dict[Name, Losses], msgspec.Meta(max_length=MOST_REPORTS)] = msgspec.field(default_factory=dict)


class Report(Synapse[Board], timeout=5.0, max_request=65_536, max_reply=1 << 20):
    """My losses in ``step``; and what have other validators told you of it?"""

    step: int
    mine: Losses


def seal(hotkey: Hotkey, step: int, opened: Opened) -> bytes:
    """The hash that commits ``hotkey`` to what it will open, 32 bytes.

    It binds the hotkey and the step, so that somebody else's hash, or an older one, opens to nothing.
    """
    value = "-" if opened.value is None else opened.value.hex()
    losses = [f"{name}={loss.hex()}" for name, loss in sorted(opened.losses.items())]
    lines = ["subnet-forecast/1", hotkey, str(step), opened.salt.hex(), value, *losses]
    return hashlib.sha256("\n".join(lines).encode()).digest()


def holds(hotkey: Hotkey, step: int, digest: bytes, opened: Opened) -> bool:
    """Whether ``opened`` is what ``digest`` committed ``hotkey`` to, and has numbers that can count."""
    numbers = [*opened.losses.values(), *([] if opened.value is None else [opened.value])]
    sane = bool(numbers) and all(math.isfinite(number) and abs(number) <= LARGEST for number in numbers)
    return sane and len(opened.salt) == SALT and seal(hotkey, step, opened) == digest
