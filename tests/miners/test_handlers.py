"""Handlers are found by annotation, and what can't work is refused by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from subnet.auth import Caller
from subnet.errors import DeclarationError
from subnet.miners import Miner
from subnet.miners.handlers import handlers_of
from subnet.synapse import Message, Synapse
from subnet.types import Hotkey


class Pong(Message):
    text: str


class LoudPong(Pong):
    volume: int = 0


class Ping(Synapse[Pong]):
    text: str


class Sum(Synapse[Pong]):
    numbers: list[int]


class Alike(Synapse[Pong], path="Ping"):
    text: str


class Both(Miner):
    def ping(self, request: Ping, caller: Caller) -> Pong:
        return Pong(text=request.text)

    async def add(self, request: Sum, caller: Caller) -> LoudPong:
        return LoudPong(text=str(sum(request.numbers)))

    def helper(self, path: str, times: int) -> str:
        return path * times

    def _private(self, request: Ping, caller: Caller) -> int:
        return 0

    @staticmethod
    def unbound(request: Ping, caller: Caller) -> int:
        return 0


def test_handlers_are_found_by_the_type_of_their_request() -> None:
    miner = Both()
    assert list(miner.handlers) == [Ping, Sum]
    caller = Caller(Hotkey("5A"), 1, "sr25519")
    assert miner.handlers[Ping](Ping(text="hi"), caller) == Pong(text="hi")


def test_a_subclass_replaces_a_handler_of_its_parent() -> None:
    class Louder(Both):
        def ping(self, request: Ping, caller: Caller) -> LoudPong:
            return LoudPong(text=request.text.upper(), volume=9)

    caller = Caller(Hotkey("5A"), 1, "sr25519")
    assert Louder().handlers[Ping](Ping(text="hi"), caller).text == "HI"
    assert list(Louder().handlers) == [Ping, Sum]


def test_a_handler_may_leave_the_caller_out() -> None:
    class Short(Miner):
        def ping(self, request: Ping) -> Pong:
            return Pong(text=request.text)

    assert list(Short().handlers) == [Ping]


def test_two_handlers_of_one_synapse_are_refused() -> None:
    class Twice(Both):
        def again(self, request: Ping, caller: Caller) -> Pong:
            return Pong(text="")

    with pytest.raises(DeclarationError, match=r"Twice\.again and Twice\.ping both take Ping"):
        Twice()


def test_two_synapses_of_one_path_are_refused() -> None:
    class SamePath(Both):
        def alike(self, request: Alike, caller: Caller) -> Pong:
            return Pong(text="")

    with pytest.raises(DeclarationError, match=r"SamePath\.alike and SamePath\.ping"):
        SamePath()


def test_a_wrong_reply_annotation_is_refused() -> None:
    class Wrong(Miner):
        def ping(self, request: Ping, caller: Caller) -> Ping:
            return request

    with pytest.raises(DeclarationError, match=r"Wrong\.ping returns Ping, but Ping is answered with Pong") as caught:
        Wrong()
    assert "-> Pong" in caught.value.remedy


def test_a_missing_reply_annotation_is_refused() -> None:
    class Silent(Miner):
        def ping(self, request: Ping, caller: Caller):  # type: ignore[no-untyped-def]
            return Pong(text="")

    with pytest.raises(DeclarationError, match=r"Silent\.ping does not say what it returns"):
        Silent()


def test_a_miner_without_handlers_is_refused() -> None:
    class Idle(Miner):
        def ping(self, text: str, caller: Caller) -> Pong:
            return Pong(text=text)

    with pytest.raises(DeclarationError, match="Idle has no handler"):
        Idle()
    with pytest.raises(DeclarationError, match="Miner has no handler"):
        Miner()


def test_parameters_that_can_not_be_filled_are_refused() -> None:
    class Three(Miner):
        def ping(self, request: Ping, caller: Caller, more: int) -> Pong:
            return Pong(text="")

    class Keyword(Miner):
        def ping(self, request: Ping, caller: Caller, *, more: int) -> Pong:
            return Pong(text="")

    for wrong in (Three, Keyword):
        with pytest.raises(DeclarationError, match=r"ping takes a Ping but can't be called"):
            wrong()


def test_a_synapse_without_a_reply_is_refused() -> None:
    class Bare(Miner):
        def anything(self, request: Synapse, caller: Caller) -> Pong:  # type: ignore[type-arg]
            return Pong(text="")

    with pytest.raises(DeclarationError, match="Synapse"):
        Bare()


UNRESOLVED = """
from __future__ import annotations
from typing import TYPE_CHECKING
from subnet.auth import Caller
from subnet.miners import Miner
from subnet.synapse import Message, Synapse
if TYPE_CHECKING:
    from pathlib import Path
    from nowhere import Hidden, HiddenReply

class Pong(Message): ...
class Ping(Synapse[Pong]): ...

class Asked(Miner):
    def ask(self, request: Hidden, caller: Caller) -> Pong: ...

class Answered(Miner):
    def ask(self, request: Ping, caller: Caller) -> HiddenReply: ...

class Fine(Miner):
    def ask(self, request: Ping, caller: Caller) -> Pong: ...
    def restore(self, path: Path) -> None: ...
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "unresolved_handlers.py"
    path.write_text(UNRESOLVED)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_annotations_that_do_not_resolve_are_refused_where_they_matter(module: ModuleType) -> None:
    with pytest.raises(DeclarationError, match=r"Asked\.ask: the annotation 'Hidden' does not resolve"):
        module.Asked()
    with pytest.raises(DeclarationError, match=r"Answered\.ask: the annotation 'HiddenReply' does not") as caught:
        module.Answered()
    assert "TYPE_CHECKING" in caught.value.remedy
    assert len(module.Fine().handlers) == 1


def test_mixins_bring_handlers_and_the_base_brings_none() -> None:
    class Adds:
        def add(self, request: Sum, caller: Caller) -> Pong:
            return Pong(text="")

    class Mixed(Adds, Miner):
        def ping(self, request: Ping, caller: Caller) -> Pong:
            return Pong(text="")

    assert set(handlers_of(Mixed, Miner)) == {Ping, Sum}
