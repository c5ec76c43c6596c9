"""Scenario files and flags for a :class:`subnet.lab.live.LiveScenario`; ``[params]`` and ``[gates]`` as elsewhere.

::

    validator = "my_subnet.validator:MyValidator"
    miner = ["my_subnet.miner:MyMiner", "my_subnet.miner:MyMiner=model=small"]
    validators = 4
    rounds = 2                          # of each validator in an epoch

    [[attacks]]
    name = "copier"
    lag = 0.5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from subnet.errors import ConfigError
from subnet.lab.files import list_of_tables, table, text
from subnet.lab.live import LiveScenario, Recipe, attack_of
from subnet.lab.settings import built, converted
from subnet.miners import Miner
from subnet.scoring.yuma import EpochParams
from subnet.validators import Validator

NESTED: Final = frozenset({"validator", "miner", "attacks", "params"})
PLAIN: Final = frozenset(f.name for f in fields(LiveScenario)) - NESTED


def scenario(tables: Mapping[str, Any]) -> LiveScenario:
    """The scenario that a file's tables describe. Raises ConfigError, and DeclarationError for a class that is none."""
    given = {key: value for key, value in tables.items() if key not in NESTED and key != "gates"}
    made = converted(LiveScenario, given, "the scenario", hidden=NESTED)
    miners = tables.get("miner", [])
    recipes = [Recipe.parse(text(one, "miner"), Miner) for one in ([miners] if isinstance(miners, str) else miners)]
    if not recipes:
        raise ConfigError("a Validator needs somebody to ask", remedy="Add --miner module:Class, as often as you like.")
    if "params" in tables:
        made["params"] = built(EpochParams, table(tables["params"], "params"), "params")
    if "attacks" in tables:
        made["attacks"] = [_attack(one) for one in list_of_tables(tables["attacks"])]
    return LiveScenario(Recipe.parse(text(tables["validator"], "validator"), Validator), recipes, **made)


def _attack(given: Any) -> Any:
    values = dict(table(given, "attacks"))
    return attack_of(text(values.pop("name", ""), "attacks.name"), values, strict=True)
