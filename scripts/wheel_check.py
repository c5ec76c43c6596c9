"""Build the sdist and, from it, the wheel; install that beside PyPI's validators; see that both work.

Run from anywhere with an environment that holds ``build``: ``python scripts/wheel_check.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = ("miners", "validators", "scoring", "examples")

PROBE = """
import importlib.metadata, importlib.util, pathlib, sys
import subnet, subnet.examples.digits, subnet.miners, subnet.scoring, subnet.validators
import validators

site = pathlib.Path(sys.prefix).resolve()
for module in (subnet, subnet.validators, validators):
    assert site in pathlib.Path(module.__file__).resolve().parents, f"{module} is not the installed one"
assert validators.url("https://example.org"), "PyPI's validators does not answer"
assert hasattr(subnet.validators, "Validator"), "subnet.validators is not ours"
for name in ("miners", "scoring", "examples"):
    assert importlib.util.find_spec(name) is None, f"a top-level {name!r} was installed"
missing = [name for name in subnet.__all__ if getattr(subnet, name, None) is None]
assert not missing, missing
(plugin,) = importlib.metadata.entry_points(group="pytest11", name="subnet_chain")
assert importlib.util.find_spec(plugin.value) is not None, plugin
assert pathlib.Path(subnet.examples.__file__).with_name("genesis.toml").is_file(), "no genesis.toml"
"""


def run(*command: str | Path, cwd: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([str(word) for word in command], cwd=cwd, env=environment, check=True)


def check_names(wheel: Path) -> None:
    """Every file once, all of them under subnet/, and every module of the tree among them."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    twice = [name for name, times in Counter(names).items() if times > 1]
    assert not twice, f"in the wheel twice: {twice}"
    strays = [name for name in names if not name.startswith("subnet/") and ".dist-info/" not in name]
    assert not strays, f"outside subnet/: {strays}"
    tree = {str(path.relative_to(ROOT)) for path in (ROOT / "subnet").rglob("*.py")}
    tree |= {f"subnet/{path.relative_to(ROOT)}" for top in OUTSIDE for path in (ROOT / top).rglob("*.py")}
    packed = {name for name in names if name.endswith(".py")}
    assert packed == tree, f"in the tree or in the wheel only: {sorted(packed ^ tree)}"
    assert "subnet/py.typed" in names, "no py.typed: type checkers would ignore the annotations"


def check_scaffold(home: Path, binaries: Path, pins: Path) -> None:
    """What `subnet new` writes from the wheel's own data passes its own tests."""
    run(binaries / "python", "-m", "pip", "install", "--quiet", "-c", pins, "pytest", "pytest-asyncio", cwd=home)
    run(binaries / "subnet", "new", "point-cloud", cwd=home)
    run(binaries / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=home / "point-cloud")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wheel-check-") as folder:
        home = Path(folder)
        run(sys.executable, "-m", "build", "--outdir", home, ROOT, cwd=home)
        (wheel,) = home.glob("*.whl")
        check_names(wheel)
        venv.create(home / "env", with_pip=True)
        python = home / "env/bin/python"
        pins = ROOT / "constraints.txt"
        run(python, "-m", "pip", "install", "--quiet", "-c", pins, wheel, "validators", cwd=home)
        run(python, "-m", "pip", "check", cwd=home)
        run(python, "-c", PROBE, cwd=home)
        run(home / "env/bin/subnet", "--help", cwd=home)
        run(home / "env/bin/subnet", "--version", cwd=home)
        check_scaffold(home, home / "env/bin", pins)
        print(f"{wheel.name}: installs beside PyPI's validators, imports and runs")


if __name__ == "__main__":
    main()
