"""Finding what a user names: a module in the current folder or installed, and the name that may have been meant."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from subnet.errors import ConfigError, DeclarationError

log = logging.getLogger(__name__)

_FOLDERS = {"miners", "validators", "scoring", "examples"}  # a checkout's; they are imported as subnet.miners, ...


def import_module(name: str) -> ModuleType:
    """The module ``name``, with the current folder on the path.

    Raises ConfigError for one that is not there (with the name that may have been meant) and
    DeclarationError for one that can't be imported.
    """
    from subnet.service import missing_remedy

    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(part.isidentifier() for part in name.split(".")):
        stem = name.removesuffix(".py").replace("/", ".").strip(".")
        raise ConfigError(f"{name!r} is no module's name", remedy=f"Write it as Python imports it, such as {stem}.")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise ConfigError(f"there is no module {name}", remedy=_module_meant(name, missing)) from None
        raise DeclarationError(
            f"{name} needs {missing}, which is not installed",
            remedy=missing_remedy(missing),
        ) from None
    except (Exception, SystemExit) as error:  # the user's module may raise anything, or be a script that ends itself
        log.exception("import_failed", extra={"target": name})
        raise DeclarationError(
            f"{name} can't be imported: {type(error).__name__}: {error}", remedy="Read the traceback above."
        ) from None


def _module_meant(name: str, missing: str) -> str:
    parent = missing.rpartition(".")[0]
    places = getattr(sys.modules.get(parent), "__path__", []) if parent else [os.getcwd()]
    beside = {f"{parent}.{info.name}".lstrip(".") for info in pkgutil.iter_modules(places)} - _FOLDERS
    return meant(missing, beside) + f" The current folder is {os.getcwd()}."


def meant(name: str, known: Sequence[str] | set[str] | dict[str, Any], prefix: str = "") -> str:
    """A remedy: which of the ``known`` names was probably meant."""
    if not known:
        return "Check the name."
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(prefix + one for one in near)}?"
    return f"There is {', '.join(prefix + one for one in sorted(known)[:5])}."


def find(target: str, what: str) -> Any:
    """What ``module:name`` names, with the current folder on the path; ``what`` is an example for the error's remedy.

    Raises as :func:`import_module` does, and ConfigError if the module has no such name.
    """
    name, colon, attribute = target.partition(":")
    if not (name and colon and attribute):
        raise ConfigError(f"{target!r} is not MODULE:NAME", remedy=f"Write for instance {what}.")
    module = import_module(name)
    if not hasattr(module, attribute):
        public = {one for one in vars(module) if not one.startswith("_")}
        raise ConfigError(f"{name} has no {attribute}", remedy=meant(attribute, public, f"{name}:"))
    return getattr(module, attribute)
