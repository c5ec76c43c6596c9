"""``subnet config``: the settings, where each came from, and subnet.toml edited with its comments kept."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from subnet import config as settings
from subnet.cli.common import Json, LogJson, Verbose, print_json
from subnet.errors import ConfigError

Name = Annotated[str, typer.Argument(metavar="NAME", help="The setting.")]
NameOrAll = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The setting; without, all of them.")]
Value = Annotated[str | None, typer.Argument(metavar="VALUE", help="Its new value.")]
Unset = Annotated[bool, typer.Option("--unset", help="Take it out of the file.")]

SECRET = "(not shown)"  # noqa: S105 - what stands in a secret's place


def get(name: NameOrAll = None, as_json: Json = False, verbose: Verbose = False, log_json: LogJson = False) -> None:
    """Show settings and where each came from: environment, file or default. A command's flag goes before them."""
    if name is not None:
        settings.check_name(name)
    loaded = settings.load()
    rows = []
    for one, origin in loaded.origins.items():
        if name in (None, one):
            value = shown(one, getattr(loaded.settings, one))
            rows.append({"name": one, "value": value, "origin": origin.kind, "place": origin.place})
    if as_json:
        print_json(rows if name is None else rows[0])
        return
    if name is not None:
        typer.echo(_text(rows[0]["value"]))
        typer.echo(f"({rows[0]['place']})", err=True)
        return
    width = max(len(row["name"]) for row in rows)
    values = max(len(_text(row["value"])) for row in rows)
    for row in rows:
        typer.echo(f"{row['name']:{width}}  {_text(row['value']):{values}}  {row['place']}")


def set_(
    name: Name,
    value: Value = None,
    unset: Unset = False,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Write a setting into subnet.toml, or take it out; the rest of the file, comments too, stays as it is."""
    from subnet.chain.dial import address

    settings.check_name(name)
    if (value is None) != unset:
        raise ConfigError("a value, or --unset", remedy=f"subnet config set {name} VALUE, or {name} --unset.")
    wanted = None if value is None else settings.convert(name, value)
    if name == "key" and wanted is not None and not _may_be_written(str(wanted)):
        raise ConfigError(
            "a secret has no place in subnet.toml", remedy="Keep it in a wallet: subnet wallet import NAME."
        )
    if name == "endpoint" and wanted is not None:
        for one in str(wanted).split(","):
            address(one.strip())
    file = path()
    with _held(file):
        _edit(file, name, wanted)
    variable = f"SUBNET_{name.upper()}"
    if as_json:
        told = {"name": name, "value": shown(name, wanted), "path": str(file), "hidden_by": None}
        print_json(told | ({"hidden_by": variable} if os.environ.get(variable) else {}))
        return
    typer.echo(f"{name} = {_text(shown(name, wanted))}  ({'in' if wanted is not None else 'taken out of'} {file})")
    if os.environ.get(variable):
        typer.echo(f"{variable} is set, and goes before it.", err=True)


def path_(as_json: Json = False, verbose: Verbose = False, log_json: LogJson = False) -> None:
    """Show which file the settings are read from: subnet.toml here, or what SUBNET_CONFIG names."""
    file = path()
    if as_json:
        print_json({"path": str(file), "exists": os.path.isfile(file)})
    else:
        typer.echo(str(file))


SUBCOMMANDS: Mapping[str, Callable[..., Any]] = {"get": get, "set": set_, "path": path_}


def path() -> Path:
    """The file in use, whether it is there or not."""
    return Path(os.environ.get("SUBNET_CONFIG") or settings.FILE).expanduser().absolute()


def shown(name: str, value: Any) -> Any:
    """The value, or a stand-in for what may be a secret: a key that is neither ``//Name`` nor a file."""
    return SECRET if name == "key" and value is not None and not _may_be_written(str(value)) else value


def _may_be_written(key: str) -> bool:
    """A development key without a password of its own, or a file's name."""
    return (key.startswith("//") and "///" not in key) or os.path.isfile(os.path.expanduser(key))


def _text(value: Any) -> str:
    from subnet.telemetry import HARMLESS

    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value).translate(HARMLESS)


@contextlib.contextmanager
def _held(file: Path) -> Iterator[None]:
    """One editor at a time, by a lock on the folder."""
    try:
        folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"{file.parent}: {error.strerror}", remedy="Make the folder first.") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _edit(file: Path, name: str, value: Any) -> None:
    import tomlkit

    real = Path(os.path.realpath(file))
    there = os.path.isfile(real)
    if os.path.lexists(real) and not there:  # os.replace would put a file in a device's place
        raise ConfigError(f"{file} is no file that can be edited", remedy="Name a plain file in SUBNET_CONFIG.")
    if there:
        settings.load(path=file, environ={})  # what is no settings file is not touched
        document = tomlkit.parse(file.read_text(encoding="utf-8"))
    else:
        document = tomlkit.document()
    if value is not None:
        document[name] = value
    elif name in document:
        del document[name]
    partial = real.with_name(f".{real.name}.{secrets.token_hex(6)}")
    try:
        mode = real.stat().st_mode & 0o777 if there else 0o644
        with partial.open("x", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(tomlkit.dumps(document))
            stream.flush()
            os.fsync(stream.fileno())
        settings.load(path=partial, environ={})  # what was written reads as what was meant
        partial.replace(real)
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror}", remedy="Check its folder.") from None
    except UnicodeEncodeError:
        raise ConfigError(f"the value of {name} is not UTF-8", remedy="Write it in another terminal.") from None
    finally:
        partial.unlink(missing_ok=True)
