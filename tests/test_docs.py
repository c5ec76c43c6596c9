"""The pages say what is there: links lead somewhere, every error and every option has its line."""

import os
import re
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

from subnet import Chain, config
from subnet.cli import COMMANDS
from subnet.cli.building import leaves

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, new = set(), {ROOT / "README.md"}
    while new:
        seen |= new
        links = {(page.parent / target).resolve() for page in new for target in LINK.findall(page.read_text())}
        new = {path for path in links if path.suffix == ".md" and path.exists()} - seen
    assert [page for page in (ROOT / "docs").rglob("*.md") if page.resolve() not in seen] == []


def test_the_page_of_errors_is_the_trees() -> None:
    code = "import errors_page, sys; sys.exit(errors_page.page() != errors_page.PAGE.read_text())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, "run: python scripts/errors_page.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_commands_has_every_option(name: str) -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    shared = {f"--{setting.replace('_', '-')}" for setting in config.Settings.__struct_fields__}
    for words, command in leaves(name):
        assert f"## subnet {words}\n" in page
        part = page.split(f"## subnet {words}\n")[1].split("\n## ")[0]
        options = [o for p in command.params for o in p.opts if o.startswith("--")]
        assert [option for option in options if f"`{option}`" not in part and option not in shared] == []
        assert [o for o in options if o in shared and f"`{o}`" not in page] == []


def test_the_page_of_commands_has_every_setting() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    for setting in config.Settings.__struct_fields__:
        assert f"| `{setting}` | `--{setting.replace('_', '-')}`" in page
        assert f"`SUBNET_{setting.upper()}`" in page


SIGNATURE = re.compile(r"`(\w+)\(([^()`]+)\)`")


def test_the_page_of_the_client_has_its_methods_as_they_are() -> None:
    """Arguments stand in the order in which they are given, those with a default by their names."""
    checked = 0
    for name, written in SIGNATURE.findall((ROOT / "docs/reference/chain.md").read_text()):
        if not hasattr(Chain, name) or not re.fullmatch(r"[\w*=., \"]+", written) or "..." in written:
            continue
        takes = signature(getattr(Chain, name)).parameters
        order = [one for one in takes if one not in ("self", "cls")]
        for place, given in enumerate(written.split(", ")):
            argument, _, default = given.partition("=")
            if default:
                assert repr(takes[argument].default).replace("'", '"') == default, f"{name}: {given}"
            else:
                assert argument.lstrip("*") == order[place], f"{name}({', '.join(order)})"
        checked += 1
    assert checked > 30
