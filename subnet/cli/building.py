"""What the dispatcher and those who walk all commands share: a command's module as a typer command.

A module of the table holds ``command``, or ``SUBCOMMANDS``: its subcommands by name, as in ``subnet wallet
create``. Either is built here, with the settings (subnet.config) as defaults of the options that bear their
names, and with its log set up before it runs.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import typer
from typer.main import get_command

from subnet.cli import COMMANDS, INTERRUPTED, SERVICES, module_of


def build(name: str) -> Any:
    """The command of this name in the table, or the group of its subcommands, as typer's own object."""
    module = importlib.import_module(module_of(name))
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    subcommands: Mapping[str, Callable[..., Any]] = getattr(module, "SUBCOMMANDS", {})
    if not subcommands:
        app.command(name)(_prepared(name, module.command))
        return get_command(app)
    app.callback(help=COMMANDS.get(name), no_args_is_help=True)(_group)
    for word, command in subcommands.items():
        app.command(word)(_prepared(name, command))
    return get_command(app)


def leaves(name: str) -> Iterator[tuple[str, Any]]:
    """The command itself, or each of its subcommands, with all its words: ``("wallet create", ...)``."""
    built = build(name)
    for word, command in subcommands_of(built).items():
        yield f"{name} {word}", command
    if not subcommands_of(built):
        yield name, built


def functions(name: str) -> dict[str, Callable[..., Any]]:
    """The functions behind :func:`leaves`, by the same words."""
    module = importlib.import_module(module_of(name))
    subcommands: Mapping[str, Callable[..., Any]] = getattr(module, "SUBCOMMANDS", {})
    return {f"{name} {word}": one for word, one in subcommands.items()} or {name: module.command}


def subcommands_of(command: Any) -> dict[str, Any]:
    """A group's subcommands by name; none of what is no group."""
    return dict(getattr(command, "commands", {}))


def defaults(command: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that somebody chose, as a map of defaults for the command and its subcommands."""
    found = {
        parameter.name: value
        for parameter in command.params
        for setting, value in chosen.items()
        if f"--{setting.replace('_', '-')}" in parameter.opts
    }
    return found | {word: defaults(one, chosen) for word, one in subcommands_of(command).items()}


def _group() -> None:
    """Typer keeps a group a group, be it of one command, where it has a callback."""


def _prepared(name: str, command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with its log set up first; typer reads the original's signature."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        from subnet import telemetry

        verbose = bool(options.get("verbose"))
        level = "DEBUG" if verbose else "INFO" if name in SERVICES else "WARNING"
        as_json = bool(options.get("log_json")) or (name in SERVICES and bool(options.get("as_json")))
        telemetry.log_to_stderr(level, as_json=as_json, third_party=verbose)
        try:
            command(*args, **options)
        except KeyboardInterrupt:  # typer's own answer to it changed between versions
            raise SystemExit(INTERRUPTED) from None

    return run
