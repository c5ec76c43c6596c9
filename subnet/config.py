"""Settings, and where each came from: flag > environment > subnet.toml > default.

:func:`load` reads ``SUBNET_*`` variables and ``subnet.toml`` (in the current folder, or the file
that ``SUBNET_CONFIG`` names), converts each value to its field's type in :class:`Settings` and
keeps its :class:`Origin`, so that a wrong value is reported with the place to mend. The command
line hands its flags in as ``flags``, or takes :meth:`Loaded.chosen` as defaults of its options.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from subnet.errors import ConfigError

FILE = "subnet.toml"
MAX_FILE = 1 << 20  # bytes; a settings file is small, anything else is a mistake


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a file or the environment may set, with its default."""

    endpoint: str = "ws://127.0.0.1:9944"  # several are joined by commas; a file may list them
    genesis_hash: Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{64}$")] | None = None
    netuid: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    wallet: str | None = None
    hotkey: str | None = None
    key: str | None = None
    password_file: str | None = None
    verbose: bool = False
    log_json: bool = False


@dataclass(frozen=True)
class Origin:
    """Where a value came from: ``kind`` is flag, environment, file or default; ``place`` names it exactly."""

    kind: str
    place: str

    def __str__(self) -> str:
        return self.place


@dataclass(frozen=True)
class Loaded:
    """The settings and, by field name, their origins."""

    settings: Settings
    origins: Mapping[str, Origin] = field(repr=False)

    def chosen(self) -> dict[str, Any]:
        """The values that somebody set, without the defaults."""
        return {name: getattr(self.settings, name) for name, o in self.origins.items() if o.kind != "default"}


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    path: str | Path | None = None,
) -> Loaded:
    """Settle every field of :class:`Settings`; the first source that has it wins.

    ``flags`` whose value is None were not given. ``path`` names the file (then it must exist);
    without it SUBNET_CONFIG does, or ``subnet.toml`` is read if it is there. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    filename, table = _read_file(path, environ)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for info in msgspec.structs.fields(Settings):
        raw, origin = _first(info.name, flags or {}, environ, table, filename)
        origins[info.name] = origin
        if origin.kind != "default":
            values[info.name] = _convert(info.name, raw, info.type, origin)
    return Loaded(Settings(**values), origins)


def check_name(name: str) -> None:
    """ConfigError for what is no setting, with the one that may have been meant."""
    known = [info.name for info in msgspec.structs.fields(Settings)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"there is no setting {name!r}; {hint}")


def convert(name: str, text: str) -> Any:
    """A setting's value from its text, as the environment gives it. Raises ConfigError."""
    kinds = {info.name: info.type for info in msgspec.structs.fields(Settings)}
    return _convert(name, text, kinds[name], Origin("environment", name))


def _first(
    name: str, flags: Mapping[str, Any], environ: Mapping[str, str], table: Mapping[str, Any], filename: str
) -> tuple[Any, Origin]:
    if flags.get(name) is not None:
        return flags[name], Origin("flag", f"--{name.replace('_', '-')}")
    variable = f"SUBNET_{name.upper()}"
    if environ.get(variable):  # an empty variable is an unset one, as shells and compose files leave them
        return environ[variable], Origin("environment", variable)
    if name in table:
        return table[name], Origin("file", f"{name} in {filename}")
    return None, Origin("default", "default")


def _convert(name: str, raw: Any, kind: Any, origin: Origin) -> Any:
    lenient = origin.kind == "environment"  # the environment knows only text
    if name == "endpoint" and isinstance(raw, list) and all(isinstance(one, str) for one in raw):
        raw = ",".join(raw)
    try:
        return msgspec.convert(raw, kind, strict=not lenient)
    except msgspec.ValidationError as error:
        shown = "a value" if name == "key" else repr(raw)  # a key may be a secret
        raise ConfigError(f"{origin}: {shown} can't be used: {error}") from error


def _read_file(path: str | Path | None, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    named = path or environ.get("SUBNET_CONFIG") or None
    file = Path(named or FILE)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except FileNotFoundError as error:
        if named is None:
            return str(file), {}
        raise ConfigError(f"{file}: there is no such file") from error
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error
    if len(data) > MAX_FILE:
        raise ConfigError(f"{file}: larger than {MAX_FILE} bytes; this is no settings file")
    try:
        table = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}") from error
    for name in table:
        try:
            check_name(name)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error.message}") from None
    return str(file), table
