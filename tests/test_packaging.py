"""setup.cfg says where code stands; this compares it with the tree, so that no folder is forgotten."""

import configparser
import os
import tomllib
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path

import pytest

import subnet

ROOT = Path(__file__).parent.parent
OUTSIDE = {"miners", "validators", "scoring", "examples"}  # folders at the top that install under subnet.*


def section(name: str) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return dict(parser[name])


def mapping() -> dict[str, str]:
    pairs = (line.split("=") for line in section("options")["package_dir"].strip().splitlines())
    return {package.strip(): folder.strip() for package, folder in pairs}


def packages_in_the_tree() -> list[str]:
    """Every folder with an __init__.py, by its installed name; the walk does not follow links."""
    found = []
    for top in ("subnet", *OUTSIDE):
        for folder, _, files in os.walk(ROOT / top):
            if "__init__.py" in files:
                name = ".".join(Path(folder).relative_to(ROOT).parts)
                found.append(name if top == "subnet" else f"subnet.{name}")
    return sorted(found)


def test_setup_cfg_lists_every_package() -> None:
    assert section("options")["packages"].split() == packages_in_the_tree()


def test_setup_cfg_maps_the_folders_at_the_top() -> None:
    assert mapping() == {"subnet": "subnet", **{f"subnet.{name}": name for name in sorted(OUTSIDE)}}


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_a_committed_relative_link_gives_the_folder_its_installed_name(name: str) -> None:
    link = ROOT / "subnet" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..", name)
    assert (link / "__init__.py").samefile(ROOT / name / "__init__.py")


def test_data_files_are_listed_as_package_data() -> None:
    patterns = {package: text.split() for package, text in section("options.package_data").items()}
    missing = []
    for package in packages_in_the_tree():
        top = package.removeprefix("subnet.").split(".")[0]
        folder = ROOT.joinpath(*package.split(".")[(1 if top in OUTSIDE else 0) :])
        for file in folder.iterdir():
            if file.is_dir() or file.suffix in {".py", ".pyc", ".md"}:
                continue
            if not any(fnmatch(file.name, pattern) for pattern in patterns.get(package, [])):
                missing.append(f"{package}: {file.name}")
    assert missing == []


def test_the_version_has_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "subnet.__version__"}
    assert f"## [{subnet.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_pinned_for_ci() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {canonical(requirement) for requirement in wanted} - {"subnetkit"}
    pinned = {
        canonical(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    }
    assert names - pinned == set()


def canonical(requirement: str) -> str:
    name = requirement.split(";")[0]
    for mark in "[<>=!~ ":
        name = name.split(mark)[0]
    return name.lower().replace("_", "-")
