"""subnet new: what it writes is whole and runs, and nothing is ever written over."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import subnet
from subnet import config, scaffold
from subnet.cli import main
from subnet.errors import ConfigError
from subnet.scaffold import FILES, check_name, template, write_project


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_files_are_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["new", "point-cloud", "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    folder = Path(told["path"])
    assert len(told["files"]) == len(FILES)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(told["files"]) == found
    for name in found:
        text = (folder / name).read_text()
        assert "{{" not in text.replace("${{", "")
        if name.endswith(".py"):
            ast.parse(text)
        if name.endswith(".toml"):
            tomllib.loads(text)
    assert "class PointCloudMiner(Miner)" in (folder / "point_cloud" / "miner.py").read_text()
    assert config.load(path=folder / "subnet.toml").settings.netuid == 1
    steps = yaml.safe_load((folder / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["steps"]
    assert any("subnet simulate" in step.get("run", "") and "--gate" in step["run"] for step in steps)


def test_what_to_do_next_is_typed_in_this_environment(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another environment's pip would look for subnetkit in an index."""
    monkeypatch.setenv("PATH", str(here))
    with pytest.raises(SystemExit):
        main(["new", "one"])
    assert f"  {sys.executable} -m pip install -e '.[dev]'\n  {sys.executable} -m pytest\n" in capsys.readouterr().out
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with pytest.raises(SystemExit):
        main(["new", "two"])
    assert "\n  pip install -e '.[dev]'\n  pytest\n" in capsys.readouterr().out


def test_every_template_is_used() -> None:
    folder = Path(scaffold.__file__).parent
    assert {path.name for path in folder.glob("*.tmpl")} == set(FILES.values())
    assert all(template(source) for source in FILES.values())


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/tmp/x", "A", "1a", "a b", "a--b", "-a", "a-", "a\n", "ü", "x" * 51, "class", "a\0b"],
)
def test_names_that_are_none(name: str, here: Path) -> None:
    with pytest.raises(ConfigError, match="can't name"):
        write_project(name, here)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["json", "numpy", "subnet", "tests"])
def test_names_that_would_hide_a_module(name: str) -> None:
    with pytest.raises(ConfigError, match="would hide"):
        check_name(name)


def test_nothing_is_written_over(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "other").write_text("kept")
    (here / "link").symlink_to(here / "nowhere")
    for name in ("mine", "other", "link"):
        with pytest.raises(ConfigError, match="there already"):
            write_project(name, here)
    assert sorted(path.name for path in here.rglob("*")) == ["link", "mine", "other"]
    assert (here / "other").read_text() == "kept"


def test_what_fails_half_way_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = scaffold._write

    def full(path: Path, text: str) -> Path:
        if path.name == "miner.py":
            raise OSError(28, "No space left on device")
        return real(path, text)

    monkeypatch.setattr(scaffold, "_write", full)
    with pytest.raises(ConfigError, match="No space left"):
        write_project("mine", here)
    assert list(here.iterdir()) == []
    with pytest.raises(ConfigError, match="can't be made"):
        write_project("mine", here / "not" / "there")


@pytest.mark.slow
@pytest.mark.e2e
def test_its_own_tests_pass_and_its_gate_holds(here: Path) -> None:
    write_project("point-cloud", here)
    environment = os.environ | {
        "PYTHONPATH": str(Path(subnet.__file__).parents[1]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "-p subnet.pytest_plugin -p pytest_asyncio.plugin -p no:cacheprovider -W error",
    }
    gate = "subnet simulate --scenario scenario.toml"
    run = next(line for line in (here / "point-cloud/README.md").read_text().splitlines() if line.startswith(gate))
    for command in (["pytest", "-q"], ["subnet", *run.split()[1:]]):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=here / "point-cloud",
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
