"""A new subnet's first files, as ``subnet new`` writes them: protocol, miner, validator, rule, tests, settings, CI.

The files lie beside this one as ``*.tmpl``, with ``{{project}}``, ``{{package}}`` and ``{{class}}`` where the
subnet's own names go. Nothing is asked of a network.
"""

from __future__ import annotations

import contextlib
import keyword
import re
import shutil
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from subnet.errors import ConfigError

FILES: Final = {
    "README.md": "readme.tmpl",
    "pyproject.toml": "pyproject.tmpl",
    "subnet.toml": "settings.tmpl",
    "genesis.toml": "genesis.tmpl",
    "scenario.toml": "scenario.tmpl",
    ".gitignore": "gitignore.tmpl",
    ".github/workflows/ci.yml": "ci.tmpl",
    "{{package}}/__init__.py": "package.tmpl",
    "{{package}}/protocol.py": "protocol.tmpl",
    "{{package}}/rule.py": "rule.tmpl",
    "{{package}}/miner.py": "miner.tmpl",
    "{{package}}/validator.py": "validator.tmpl",
    "tests/test_rule.py": "test_rule.tmpl",
    "tests/test_subnet.py": "test_subnet.tmpl",
}
"""Where each file goes in the project, and the template that it is made from."""


def check_name(name: str) -> str:
    """The package's name for a project's. Raises ConfigError for what can't be one, or would hide another module."""
    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", name) or len(name) > 50 or keyword.iskeyword(package):
        raise ConfigError(
            f"{name!r} can't name a project and its package",
            remedy="Write lowercase letters and digits, words joined by '-' or '_', 50 characters at most: my-subnet.",
        )
    if package in sys.stdlib_module_names or (package == "tests" or _installed(package)):
        raise ConfigError(
            f"a package {package} would hide the module {package} that is there", remedy="Choose another name."
        )
    return package


def write_project(name: str, parent: Path) -> list[Path]:
    """Write the project ``name`` as a new folder of ``parent``; its files, in the order of :data:`FILES`.

    Raises ConfigError for a name that can't be one, a folder that is there already, or can't be written.
    """
    package = check_name(name)
    words = {"project": name, "package": package, "class": "".join(map(str.capitalize, re.split("[_-]", name)))}
    folder = parent / name
    try:
        folder.mkdir()
    except FileExistsError:
        raise ConfigError(
            f"{folder} is there already, and nothing is written over", remedy="Choose another name, or another folder."
        ) from None
    except OSError as error:
        raise ConfigError(f"{folder} can't be made: {error.strerror}", remedy="Choose another folder.") from None
    try:
        return [_write(folder / filled(path, words), filled(template(source), words)) for path, source in FILES.items()]
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # it is ours: mkdir made it
        if isinstance(error, OSError):
            raise ConfigError(f"{folder} can't be written: {error.strerror}", remedy="Make room there.") from None
        raise


def template(source: str) -> str:
    """A template's text, from the package's data."""
    return files(__name__).joinpath(source).read_text(encoding="utf-8")


def filled(text: str, words: dict[str, str]) -> str:
    """The text with ``{{word}}`` replaced; other braces (those of CI, say) stay."""
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    return text


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def _installed(package: str) -> bool:
    with contextlib.suppress(ImportError, ValueError):
        return find_spec(package) is not None
    return False
