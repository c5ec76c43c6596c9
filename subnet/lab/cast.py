"""The attacks by name: ``cabal``, ``weight-copier=stake=0.2,late=1``, or a class of the user's own,
``module:Class``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from subnet.errors import ConfigError, DeclarationError
from subnet.lab import actors_miners as miners
from subnet.lab import actors_validators as validators
from subnet.lab.actors import Actor
from subnet.lab.settings import built
from subnet.loading import find, meant

_CLASSES: Final[tuple[type[Actor], ...]] = (
    miners.Lazy,
    miners.Copier,
    miners.Sybil,
    miners.Sandbagger,
    miners.Overfitter,
    miners.ModelSwapper,
    miners.Intermittent,
    miners.Slow,
    validators.WeightCopier,
    validators.SelfWeighting,
    validators.Cabal,
    validators.Poisoner,
)
ATTACKS: Final[dict[str, type[Actor]]] = {kind().name: kind for kind in _CLASSES}


def zoo() -> list[Actor]:
    """One of each attack, as it is by default; the lazy in its three ways."""
    lazy: list[Actor] = [miners.Lazy(how=how) for how in ("random", "constant", "cached")]
    return lazy + [kind() for kind in _CLASSES[1:]]


def parse_attack(text: str) -> Actor:
    """``NAME``, or ``NAME=PARAM=VALUE,PARAM=VALUE``. Raises ConfigError for a name or value that can't be."""
    name, values = parsed(text)
    return make(name, values, strict=False)


def parsed(text: str) -> tuple[str, dict[str, str]]:
    """The name and the settings of ``NAME=PARAM=VALUE,PARAM=VALUE``, as text. Raises ConfigError."""
    name, params = re.match(r"([^=,]*)[=,]?(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    values: dict[str, str] = {}
    for pair in filter(None, params.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or key.strip() in values:
            raise ConfigError(
                f"{text!r}: {pair!r} is not PARAM=VALUE, or stands there twice",
                remedy="Write for instance --attack cabal=stake=0.3,miners=8.",
            )
        values[key.strip()] = value.strip()
    return name.strip(), values


def make(
    name: str, values: Mapping[str, Any], *, strict: bool = True, known: Mapping[str, type[Actor]] = ATTACKS
) -> Actor:
    """The attack ``name`` (of those ``known``, or ``module:Class``) with these settings; ``strict=False`` takes numbers
    as strings too."""
    return built(_kind(name, known), values, f"the attack {name}", strict=strict)


def _kind(name: str, known: Mapping[str, type[Actor]]) -> type[Actor]:
    if name in known:
        return known[name]
    if ":" in name:
        found = find(name, "zoo:MyAttack")
        if not isinstance(found, type) or not issubclass(found, Actor):
            raise DeclarationError(f"{name} is no attack", remedy="Make it a subclass of subnet.lab.Actor.")
        return found
    raise ConfigError(f"there is no attack {name!r}", remedy=f"{meant(name, dict(known))} Your own is module:Class.")
