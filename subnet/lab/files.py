"""Scenario files: a :class:`subnet.lab.Scenario` in TOML, and how flags replace what stands there.

::

    rule = "rules:score"
    validators = 16
    reveal = 2

    [task]
    kind = "labels"
    classes = 10

    [params]            # subnet.scoring.yuma.EpochParams, raw storage integers
    yuma3 = true

    [[attacks]]
    name = "cabal"
    stake = 0.3

    [gates]
    honest_share = 0.95
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from subnet.errors import ConfigError
from subnet.lab.actors import Honest
from subnet.lab.cast import make
from subnet.lab.gates import Gate
from subnet.lab.rules import load_rule
from subnet.lab.scenario import Scenario
from subnet.lab.settings import built, converted
from subnet.lab.tasks import Labels, Numbers, Task
from subnet.scoring.yuma import EpochParams

MAX_FILE: Final = 1024 * 1024
"""Bytes of a scenario file."""
_TASKS: Final[dict[str, type[Numbers] | type[Labels]]] = {"numbers": Numbers, "labels": Labels}
_NESTED: Final = frozenset({"rule", "attacks", "honest", "task", "params", "validator", "miner"})


def read(path: Path) -> dict[str, Any]:
    """A scenario file's tables, unchecked but for being TOML. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ConfigError(f"{path} is larger than {MAX_FILE} bytes", remedy="Give a scenario file.")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", remedy="Check the path.") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error


def scenario(tables: Mapping[str, Any]) -> Scenario:
    """The scenario that a file's tables describe; ``gates`` are left to :func:`gates`. Raises ConfigError."""
    given = {key: value for key, value in tables.items() if key not in _NESTED and key != "gates"}
    made = converted(Scenario, given, "the scenario", hidden=_NESTED)
    if "rule" in tables:
        made["rule"] = load_rule(text(tables["rule"], "rule"))
    if "honest" in tables:
        made["honest"] = built(Honest, table(tables["honest"], "honest"), "honest")
    if "params" in tables:
        made["params"] = built(EpochParams, table(tables["params"], "params"), "params")
    if "task" in tables:
        made["task"] = _task(table(tables["task"], "task"))
    if "attacks" in tables:
        made["attacks"] = [_attack(one) for one in list_of_tables(tables["attacks"])]
    return Scenario(**made)


def gates(tables: Mapping[str, Any]) -> list[Gate]:
    """The gates of a file."""
    return [Gate.parse(f"{name}={limit}") for name, limit in table(tables.get("gates", {}), "gates").items()]


def put(tables: dict[str, Any], name: str, value: str, kind: type = Scenario) -> None:
    """Replace one number or switch, of the scenario (a dataclass ``kind``) or of the chain's params. Raises
    ConfigError."""
    plain = {f.name for f in fields(kind)} - _NESTED
    chain = {f.name for f in fields(EpochParams)}
    if name in plain:
        tables.update(converted(kind, {name: value}, "the scenario", strict=False))
    elif name in chain:
        own = dict(table(tables.get("params", {}), "params"))
        tables["params"] = own | converted(EpochParams, {name: value}, "params", strict=False)
    else:
        raise ConfigError(f"there is no setting {name!r}", remedy=f"Known: {', '.join(sorted(plain | chain))}.")


def _attack(given: Any) -> Any:
    settings = dict(table(given, "attacks"))
    return make(text(settings.pop("name", ""), "attacks.name"), settings)


def _task(given: Mapping[str, Any]) -> Task:
    settings = dict(given)
    kind = text(settings.pop("kind", "numbers"), "task.kind")
    if kind not in _TASKS:
        raise ConfigError(f"there is no task {kind!r}", remedy=f"Known: {', '.join(_TASKS)}.")
    task: Task = built(_TASKS[kind], settings, f"task {kind}")
    return task


def table(value: Any, name: str) -> Mapping[str, Any]:
    """``value``, if it is a table. Raises ConfigError."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is no table", remedy=f"Write [{name}] and its settings below.")
    return value


def list_of_tables(value: Any) -> list[Any]:
    """``value``, if it is a list. Raises ConfigError."""
    if not isinstance(value, list):
        raise ConfigError("attacks is no list of tables", remedy="Write [[attacks]] above each.")
    return value


def text(value: Any, name: str) -> str:
    """``value``, if it is a string. Raises ConfigError."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} is no string")
    return value
