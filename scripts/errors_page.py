"""Write docs/reference/errors.md from the error tree; a test compares the two."""

from __future__ import annotations

import inspect
from pathlib import Path

from subnet.cli.explain import catalogue
from subnet.errors import WireError

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/errors.md"

HEAD = """\
# Errors

Every error that this library raises on purpose is a `subnet.SubnetError` with a stable `code`, a `remedy` and the
`exit_code` that the `subnet` command ends with. On the wire the code travels in the reply's body, under its status.
`subnet explain CODE` says the same in a terminal; under `--json` a command that fails prints
`{"error": {"code": ..., "message": ..., "remedy": ...}}`. Other exit codes: 0 all is well, 2 also a wrong use of the
command line, 130 ended by Ctrl-C.

This page is written by `python scripts/errors_page.py`.

| code | exit | HTTP | meaning | what to do |
|---|---|---|---|---|
"""


def page() -> str:
    rows = []
    for error in catalogue():
        if error.__module__ != "subnet.errors":
            continue
        meaning = inspect.cleandoc(error.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("``", "`")
        status = error.status if issubclass(error, WireError) else ""
        cells = (f"`{error.code}`", error.exit_code, status, meaning, error.remedy)
        rows.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page())
