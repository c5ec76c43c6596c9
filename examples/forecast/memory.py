"""A network on disk, so that a validator that restarts goes on where it was: one numpy file, whole or not at all."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, Final
from zipfile import BadZipFile, ZipFile

import msgspec
import numpy as np
import numpy.typing as npt

from subnet.errors import ConfigError
from subnet.examples.forecast.network import Network
from subnet.examples.forecast.roster import Roster
from subnet.scoring.dynamic_averaging import DynamicModelAveraging
from subnet.scoring.synthesis import State
from subnet.types import Hotkey

MOST_BYTES: Final = 16 << 20
_ROSTERS: Final = ("inferers", "forecasters", "reputers")
_TABLES: Final = ("inferences", "forecasts", "losses")
_GROWING: Final = ("inferer_scores", "forecaster_scores")


class _Names(msgspec.Struct, forbid_unknown_fields=True):
    """What of a network is no array."""

    unit: float
    step: int
    scores: dict[Hotkey, float]
    order: list[int]
    names: list[list[Hotkey | None]]
    seen: list[list[int]]


def save(network: Network, path: Path) -> None:
    """Write all that ``network`` has learned."""
    rosters = [getattr(network, name) for name in _ROSTERS]
    names = _Names(
        network.unit,
        network.step,
        network.scores,
        network.order,
        [one.names for one in rosters],
        [one.seen for one in rosters],
    )
    arrays: dict[str, Any] = {"names": np.frombuffer(msgspec.json.encode(names), np.uint8)}
    arrays |= {f"state.{field.name}": np.asarray(getattr(network.state, field.name)) for field in fields(State)}
    arrays |= {f"table.{name}": np.array(getattr(network, name)) for name in _TABLES}
    arrays |= {f"model.{name}": array for name, array in (network.model.state() if network.model else {}).items()}
    draft = path.with_suffix(f".{os.getpid()}.part")
    with draft.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def restore(network: Network, path: Path) -> bool:
    """Take in what :func:`save` wrote; False if there is no such file. Raises ConfigError for anything else."""
    if not path.exists():
        return False
    try:
        with path.open("rb") as file:
            _take(network, _arrays(file))
    except (OSError, ValueError, KeyError, EOFError, MemoryError, BadZipFile, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{path} is no memory of this network: {error}",
            remedy="Move it away; the validator then begins to learn anew, and its scores stay.",
        ) from None
    return True


def _arrays(file: IO[bytes]) -> dict[str, npt.NDArray[Any]]:
    with ZipFile(file) as whole:  # what it says that it unpacks to
        if sum(member.file_size for member in whole.infolist()) > MOST_BYTES:
            raise ValueError(f"it holds more than {MOST_BYTES} bytes")
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _take(network: Network, arrays: dict[str, npt.NDArray[Any]]) -> None:
    """All of it, or nothing where anything is not as it must be."""
    names = msgspec.json.decode(arrays["names"].tobytes(), type=_Names)
    if names.unit != network.unit:
        raise ValueError("it is of another series")
    state = _state(network.state, arrays)
    rosters = [
        _roster(getattr(network, roster), held, seen)
        for roster, held, seen in zip(_ROSTERS, names.names, names.seen, strict=True)
    ]
    tables = {name: _rows(arrays[f"table.{name}"], shape) for name, shape in _shapes(network).items()}
    workers = network.state.inferers + network.state.forecasters
    if len(set(names.order)) != len(names.order) or not set(names.order) <= set(range(workers)):
        raise ValueError("its workers have no such numbers")
    model = None
    if names.order:
        model = DynamicModelAveraging(len(names.order))
        model.restore({name.removeprefix("model."): a for name, a in arrays.items() if name.startswith("model.")})
        if model.k != len(names.order):
            raise ValueError("its model is of another number of workers")
    network.state, network.model, network.order = state, model, names.order
    network.step, network.scores = names.step, names.scores
    for name, roster in zip(_ROSTERS, rosters, strict=True):
        setattr(network, name, roster)
    for name, rows in tables.items():
        setattr(network, name, deque(rows, maxlen=getattr(network, name).maxlen))


def _state(like: State, arrays: dict[str, npt.NDArray[Any]]) -> State:
    values: dict[str, Any] = {}
    for field in fields(State):
        array, old = arrays[f"state.{field.name}"], np.asarray(getattr(like, field.name))
        shape = (len(array), *old.shape[1:]) if field.name in _GROWING and array.ndim else old.shape
        if array.shape != shape or array.dtype != old.dtype:
            raise ValueError(f"its {field.name} is {array.dtype} of shape {array.shape}")
        values[field.name] = array if old.ndim else array.item()
    return State(**values)


def _roster(like: Roster, names: list[Hotkey | None], seen: list[int]) -> Roster:
    if len(names) != len(like.names) or len(seen) != len(like.names):
        raise ValueError("it has another number of places")
    roster = Roster(len(names))
    roster.names, roster.seen = names, seen
    return roster


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    inferers, forecasters = network.state.inferers, network.state.forecasters
    return {"inferences": (inferers,), "forecasts": (forecasters, inferers), "losses": (inferers,)}


def _rows(table: npt.NDArray[Any], shape: tuple[int, ...]) -> list[npt.NDArray[np.float64]]:
    if not table.size:
        return []
    if table.shape[1:] != shape or table.dtype != np.float64:
        raise ValueError("its tables have other shapes")
    return list(table)
