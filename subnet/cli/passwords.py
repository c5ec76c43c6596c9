"""Passwords and other secrets: asked for unseen on a terminal, or read from a file, and never an argument.

What stands in a command line is in the shell's history and in every user's list of processes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from subnet.errors import ConfigError, KeyfileError
from subnet.keyfiles import Password

SHORTEST = 8  # characters; all wallets share one salt (subnet.keyfiles), so short ones are guessed together
CAP = 65_536  # bytes


def password_of(password_file: str | None) -> Password:
    """Where the password of an existing keyfile comes from."""

    def ask(path: Path) -> str:
        if password_file is not None:
            return _first_line(password_file)
        return _hidden(f"Password of {path}: ", "--password-file FILE, or SUBNET_PASSWORD_FILE")

    return ask


def new_password(password_file: str | None, about: str) -> str:
    """A password for a new keyfile: from the file, or typed twice. Raises ConfigError, KeyfileError."""
    if password_file is not None:
        chosen = _first_line(password_file)
    else:
        remedy = "--password-file FILE, or --no-password for a wallet that holds nothing of worth"
        chosen = _hidden(f"Password for {about}: ", remedy)
        if len(chosen) >= SHORTEST and _hidden("The same again: ", remedy) != chosen:
            raise KeyfileError("the two passwords differ: nothing was written", remedy="Try again.")
    if len(chosen) < SHORTEST:
        raise KeyfileError(
            f"a password has {SHORTEST} characters or more: nothing was written", remedy="Choose a longer one."
        )
    return chosen


def secret_input(file: Path | None, prompt: str) -> bytes:
    """A secret from a file (``-``: stdin), or typed unseen. Raises ConfigError, KeyfileError."""
    if file is None:
        return _hidden(prompt, "--file FILE, or --file - and write it to stdin").encode()
    data = sys.stdin.buffer.read(CAP + 1) if str(file) == "-" else _read(file)
    if len(data) > CAP:
        raise KeyfileError(f"{file} is no secret: it is too long", remedy="Give a mnemonic, a seed or a keyfile.")
    return data


def _first_line(name: str) -> str:
    data = _read(Path(name).expanduser())
    try:
        line = data.decode().split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError:
        line = ""
    if not line:
        raise KeyfileError(f"{name} holds no password", remedy="Write the password into its first line.")
    return line


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(CAP + 1)
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", remedy="Check the path.") from None


def _hidden(prompt: str, instead: str) -> str:
    import getpass

    if not sys.stdin.isatty():
        raise ConfigError(f"{prompt.rstrip(': ')} can't be asked for without a terminal", remedy=f"Give {instead}.")
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise KeyfileError("nothing was typed", remedy="Try again.") from None
