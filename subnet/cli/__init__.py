"""The ``subnet`` command: a table of commands, each in a file of its own.

``main`` looks the first word up in :data:`COMMANDS`, imports that one module and hands the rest
to typer; ``subnet --help`` and ``subnet --version`` import no more than this file. Settings from
the environment and subnet.toml reach the command as defaults of its options (subnet.config), its
log is set up from --verbose and --log-json (subnet.telemetry), and a SubnetError that it raises
ends as ``error[code]: message`` and a remedy on stderr, or as JSON on stdout under --json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subnet.errors import SubnetError

COMMANDS = {
    "demo": "Run a whole subnet on this machine and show who earns what.",
    "chain": "Start a local chain with funded development accounts.",
    "create": "Create a subnet and start its emission.",
    "register": "Register a hotkey on a subnet.",
    "stake": "Stake on a hotkey, or take stake back.",
    "transfer": "Send TAO to an address.",
    "run": "Run a miner or validator: module:Class.",
    "metagraph": "Show a subnet's neurons.",
    "hyperparameters": "Show or set a subnet's rules.",
    "history": "Show a validator's rounds, scores, weights and failures.",
    "explain-score": "Show why a miner has its weight, down to rounds and receipts.",
    "receipts": "Export a round's receipts under one Merkle root, or verify an export.",
    "consensus": "Run one epoch of Yuma consensus on a case file.",
    "simulate": "Run a scoring rule against attackers, on a virtual clock.",
    "simulate-placement": "Compare placement policies on a day of nodes that come and go.",
    "synthesis": "Run one epoch of Allora's inference synthesis on a case file.",
    "explain": "Say what an error code means and what to do.",
}
SERVICES = frozenset({"chain", "run"})  # they go on for hours: their log shows INFO unasked
INTERRUPTED = 130  # what a shell expects after Ctrl-C


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``subnet`` with ``argv`` (default: the process's own) and end by SystemExit."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        sys.exit(_dispatch(args))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _dispatch(args: list[str]) -> int:
    name = args[0] if args else "--help"
    if name in ("--help", "-h"):
        sys.stdout.write(_help())
        return 0
    if name in ("--version", "-V"):
        from subnet import __version__

        sys.stdout.write(f"subnet {__version__}\n")
        return 0
    if name not in COMMANDS:
        sys.stderr.write(_unknown(name))
        return 2
    from subnet.errors import SubnetError

    try:
        return _call(name, args[1:])
    except SubnetError as error:
        return _report(error, as_json="--json" in args)


def module_of(name: str) -> str:
    """The module of a command: ``explain-score`` is in subnet.cli.explain_score."""
    return f"subnet.cli.{name.replace('-', '_')}"


def _call(name: str, args: list[str]) -> int:
    """Import the command, give its options their settings and run it."""
    import importlib

    import typer
    from typer.main import get_command

    from subnet import config

    module = importlib.import_module(module_of(name))
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command(name)(_prepared(name, module.command))
    command = get_command(app)
    settings = config.load()
    defaults = {
        parameter.name: value
        for parameter in command.params
        for setting, value in settings.chosen().items()
        if f"--{setting.replace('_', '-')}" in parameter.opts
    }
    try:
        command.main(args, prog_name=f"subnet {name}", default_map=defaults)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _prepared(name: str, command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with its log set up first; typer reads the original's signature."""
    import functools

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        from subnet import telemetry

        verbose = bool(options.get("verbose"))
        level = "DEBUG" if verbose else "INFO" if name in SERVICES else "WARNING"
        telemetry.log_to_stderr(level, as_json=bool(options.get("log_json")), third_party=verbose)
        try:
            command(*args, **options)
        except KeyboardInterrupt:  # typer's own answer to it changed between versions
            raise SystemExit(INTERRUPTED) from None

    return run


def _report(error: SubnetError, *, as_json: bool) -> int:
    import json
    import logging

    logging.getLogger(__name__).debug("the command failed", exc_info=error)
    if as_json:
        sys.stdout.write(json.dumps({"error": error.as_dict()}) + "\n")
    else:
        from subnet.telemetry import HARMLESS

        message, remedy = error.message.translate(HARMLESS), error.remedy.translate(HARMLESS)
        sys.stderr.write(f"error[{error.code}]: {message}\n  {remedy}\n")
    return error.exit_code


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {text}" for name, text in COMMANDS.items())
    return (
        "Usage: subnet COMMAND [OPTIONS]\n\n"
        "Build, run and judge AI subnets on a Substrate chain.\n\n"
        f"Commands:\n{commands}\n\n"
        "Options:\n"
        "  -h, --help     Show this text; `subnet COMMAND --help` shows a command's options.\n"
        "  -V, --version  Show the version.\n"
    )


def _unknown(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=2)
    hint = f"Did you mean {' or '.join(f'`subnet {n}`' for n in near)}?" if near else "`subnet --help` lists them."
    return f"subnet: there is no command {name!r}. {hint}\n"
