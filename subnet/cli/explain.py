"""``subnet explain CODE``: what an error code means, read from the error tree itself."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Annotated

import typer

from subnet.cli.common import Json, LogJson, Verbose, print_json
from subnet.errors import ConfigError, SubnetError, WireError


def catalogue(root: type[SubnetError] = SubnetError) -> Iterator[type[SubnetError]]:
    """Every class of the error tree, parents before children."""
    yield root
    for child in root.__subclasses__():
        yield from catalogue(child)


def command(
    code: Annotated[str | None, typer.Argument(help="The code in error[...]; none lists them all.")] = None,
    as_json: Json = False,
    verbose: Verbose = False,
    log_json: LogJson = False,
) -> None:
    """Say what an error code means and what to do about it."""
    errors = {error.code: error for error in catalogue()}
    if code is None:
        if as_json:
            print_json([_entry(error) for error in errors.values()])
            return
        width = max(map(len, errors))
        for name, error in errors.items():
            typer.echo(f"{name:{width}}  {_meaning(error).splitlines()[0]}")
        return
    error_class = errors.get(code)
    if error_class is None:
        near = difflib.get_close_matches(code, errors, n=1)
        hint = f"Did you mean {near[0]}?" if near else "`subnet explain` lists them."
        raise ConfigError(f"there is no error code {code!r}", remedy=hint)
    if as_json:
        print_json(_entry(error_class))
        return
    typer.echo(f"{code}\n\n{_meaning(error_class)}\n\nWhat to do: {error_class.remedy}")
    status = f"; HTTP status: {error_class.status}" if issubclass(error_class, WireError) else ""
    typer.echo(f"Exit code: {error_class.exit_code}{status}")


def _meaning(error: type[SubnetError]) -> str:
    return inspect.cleandoc(error.__doc__ or error.__name__).replace("``", "`")


def _entry(error: type[SubnetError]) -> dict[str, object]:
    entry: dict[str, object] = {
        "code": error.code,
        "meaning": _meaning(error),
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }
    if issubclass(error, WireError):
        entry["status"] = error.status
    return entry
