"""``subnet new NAME``: the first files of a subnet, which run and pass their tests as they are."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from subnet.cli.common import Json, LogJson, Verbose, print_json

Name = Annotated[str, typer.Argument(metavar="NAME", help="The project's name, and its folder's: my-subnet.")]


def command(name: Name, as_json: Json = False, verbose: Verbose = False, log_json: LogJson = False) -> None:
    """Write a new subnet into a folder NAME: protocol, miner, validator, scoring rule, tests, settings and CI.

    It needs no network, and never writes over anything.
    """
    from subnet.scaffold import write_project

    written = write_project(name, Path.cwd())
    folder = Path.cwd() / name
    if as_json:
        print_json({"project": name, "path": str(folder), "files": [str(file.relative_to(folder)) for file in written]})
        return
    for file in written:
        typer.echo(f"  {name}/{file.relative_to(folder)}")
    python = _python()
    typer.echo(
        f"\nNext:\n  cd {name}\n  {python}pip install -e '.[dev]'\n  {python}pytest\nREADME.md says how to run it."
    )


def _python() -> str:
    """What goes before ``pip`` so that it is this environment's, where subnetkit is: nothing where it is so already."""
    pip = shutil.which("pip")
    if pip is not None and Path(pip).parent == Path(sys.executable).parent:
        return ""
    return f"{shlex.quote(sys.executable)} -m "
