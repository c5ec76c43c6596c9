"""Which methods of a Miner answer which synapse: found by annotation, checked before anything is served."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from subnet.errors import DeclarationError
from subnet.routes import check_reply_annotation, synapse_of
from subnet.synapse import Synapse, declaration

Handler = Callable[..., Any]


def handlers_of(cls: type, base: type) -> Mapping[type[Synapse[Any]], str]:
    """The handlers of ``cls`` by their synapse, as method names; what ``base`` itself defines is none.

    Raises DeclarationError for two handlers of one synapse or of one path, a missing or wrong reply
    annotation, an annotation that does not resolve, a wrong number of parameters, or no handler.
    """
    found: dict[type[Synapse[Any]], str] = {}
    for name in _candidates(cls, base):
        function = inspect.getattr_static(cls, name)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        synapse = synapse_of(function, parameters, f"{cls.__name__}.{name}")
        if synapse is None:
            continue
        check_reply_annotation(function, synapse, f"{cls.__name__}.{name}")
        for other, method in found.items():
            if declaration(other).name == declaration(synapse).name:
                raise DeclarationError(
                    f"{cls.__name__}.{name} and {cls.__name__}.{method} both take {synapse.__name__}",
                    remedy="Keep one of them; a synapse has one handler.",
                )
        found[synapse] = name
    if not found:
        raise DeclarationError(
            f"{cls.__name__} has no handler",
            remedy="Add a method (self, request: YourSynapse, caller: Caller) -> YourReply; a handler is known by the"
            " type that its request is annotated with.",
        )
    return found


def _candidates(cls: type, base: type) -> list[str]:
    """Public functions that user code defines, in the order in which they are written."""
    names: dict[str, None] = {}
    for owner in reversed(cls.__mro__):
        if owner is not object and not issubclass(base, owner):
            names |= dict.fromkeys(vars(owner))
    return [
        name
        for name in names
        if not name.startswith("_")
        and not hasattr(base, name)
        and inspect.isfunction(inspect.getattr_static(cls, name))
    ]
