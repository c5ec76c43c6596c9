"""The reference page is what scripts/devnet_page.py writes from the declarations."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "devnet_page.py"
    spec = importlib.util.spec_from_file_location("devnet_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_declarations_say(script: ModuleType) -> None:
    text = script.PAGE.read_text()
    assert script.page(text) == text, "run: python scripts/devnet_page.py"
