"""The ``subnet`` command: a table of commands, each in a file of its own.

``main`` looks the first word up in :data:`COMMANDS`, imports that one module and hands the rest
to typer (building.py); ``subnet --help`` and ``subnet --version`` import no more than this file. Settings from
the environment and subnet.toml reach the command as defaults of its options (subnet.config), its
log is set up from --verbose and --log-json (subnet.telemetry), and a SubnetError that it raises
ends as ``error[code]: message`` and a remedy on stderr, or as JSON on stdout under --json. A wrong use is
told the same way, with the command or option that may have been meant.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subnet.errors import SubnetError

COMMANDS = {
    "demo": "Run a whole subnet on this machine and show who earns what.",
    "new": "Write a new subnet: protocol, miner, validator, rule, tests, CI.",
    "chain": "Start a local chain with funded development accounts.",
    "wallet": "Make, import and list wallets.",
    "create": "Create a subnet and start its emission.",
    "register": "Register a hotkey on a subnet.",
    "stake": "Stake on a hotkey, or take stake back.",
    "transfer": "Send TAO to an address.",
    "run": "Run a miner or validator: module:Class.",
    "deploy": "Print what keeps a neuron running: systemd, pm2 or compose.",
    "metagraph": "Show a subnet's neurons.",
    "weights": "Show the weights that the chain holds, or set them by hand.",
    "hyperparameters": "Show or set a subnet's rules.",
    "history": "Show a validator's rounds, scores, weights and failures.",
    "explain-score": "Show why a miner has its weight, down to rounds and receipts.",
    "doctor": "Find what keeps a neuron from its work, each with its remedy.",
    "receipts": "Export a round's receipts under one Merkle root, or verify an export.",
    "dashboard": "Show a subnet on one page, in the browser.",
    "consensus": "Run one epoch of Yuma consensus on a case file.",
    "simulate": "Run a scoring rule against attackers, on a virtual clock.",
    "simulate-placement": "Compare placement policies on a day of nodes that come and go.",
    "synthesis": "Run one epoch of Allora's inference synthesis on a case file.",
    "config": "Show settings and where each came from; write subnet.toml.",
    "completion": "Print the completion of bash, zsh or fish.",
    "explain": "Say what an error code means and what to do.",
}
SERVICES = frozenset({"chain", "run"})  # they go on for hours: their log shows INFO unasked
WITHOUT_SETTINGS = frozenset({"completion", "config", "explain", "new"})  # they work where subnet.toml is broken
INTERRUPTED = 130  # what a shell expects after Ctrl-C
UNWRITABLE = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``subnet`` with ``argv`` (default: the process's own) and end by SystemExit."""
    args = list(sys.argv[1:] if argv is None else argv)
    _open_closed()
    try:
        code = _dispatch(args)
        sys.stdout.flush()  # here, where a full disk can still be told
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            raise
        code = _unwritable(error)
    sys.exit(code)


def _open_closed() -> None:
    """Streams that were closed (``>&-``) lead nowhere; left so, the next file that is opened would take their place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as the process lives


def _unwritable(error: OSError) -> int:
    """What could not be written goes nowhere, so that the interpreter's own last flush does not fail of it too."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:  # nobody reads on, as after `| head -1`: not an error to tell
        with contextlib.suppress(OSError):
            sys.stderr.write(f"subnet: the output can't be written: {error.strerror}\n")
    return 1


def _dispatch(args: list[str]) -> int:
    name = args[0] if args else "--help"
    if name in ("--help", "-h"):
        sys.stdout.write(_help())
        return 0
    if name in ("--version", "-V"):
        from subnet import __version__

        sys.stdout.write(f"subnet {__version__}\n")
        return 0
    from subnet.errors import SubnetError, UsageError

    if name not in COMMANDS:
        hint = _meant(name)
        if "--json" in args:
            return _report(UsageError(f"there is no command {name!r}", remedy=hint), as_json=True)
        sys.stderr.write(f"subnet: there is no command {name!r}. {hint}\n")
        return UsageError.exit_code
    try:
        return _call(name, args[1:])
    except SubnetError as error:
        return _report(error, as_json="--json" in args)


def module_of(name: str) -> str:
    """The module of a command: ``explain-score`` is in subnet.cli.explain_score."""
    return f"subnet.cli.{name.replace('-', '_')}"


def _call(name: str, args: list[str]) -> int:
    """Import the command, give its options their settings and run it."""
    import typer

    from subnet import config
    from subnet.cli.building import build, defaults

    command = build(name)
    chosen = {} if name in WITHOUT_SETTINGS else defaults(command, config.load().chosen())
    try:
        ended = command.main(args, prog_name=f"subnet {name}", default_map=chosen, standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except typer.Abort:  # Ctrl-C or the end of stdin, where a question was asked
        return INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # not typer's: it keeps its classes where older versions did not
            raise
        return _misused(name, error, as_json="--json" in args)
    return ended if isinstance(ended, int) else 0


def _misused(name: str, error: Any, *, as_json: bool) -> int:
    """A command line that typer can't understand: in its own words with the usage, or as an object."""
    from subnet.errors import UsageError

    if getattr(error, "possibilities", None):
        error.message = f"No such option: {error.option_name}. Did you mean {next(iter(error.possibilities))}?"
        error.possibilities = None  # typer's own words for it changed between versions
    if not as_json:
        error.show()
        return UsageError.exit_code
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else f"subnet {name}"
    return _report(UsageError(error.format_message(), remedy=f"See `{path} --help`."), as_json=True)


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


def _meant(name: str) -> str:
    import difflib

    if name.startswith("-"):
        return f"Options come after the command: subnet COMMAND {name}."
    near = difflib.get_close_matches(name, COMMANDS, n=2)
    return f"Did you mean {' or '.join(f'`subnet {n}`' for n in near)}?" if near else "`subnet --help` lists them."
