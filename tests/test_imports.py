"""What an import costs: heavy libraries come in only where they are used."""

import json
import subprocess
import sys

import pytest

KIT = [
    f"subnet.scoring.{name}"
    for name in ("copies", "duplicates", "images", "intervals", "minhash", "proper", "ranking", "sequential", "text")
]
HEAVY = ["aiohttp", "matplotlib", "msgspec", "numpy", "scipy", "sklearn", "substrateinterface", "torch"]


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter holds after ``code``."""
    script = f"{code}\nimport json, sys; sys.stderr.write(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60)
    return set(json.loads(done.stderr))


@pytest.mark.parametrize("code", ["import subnet", "import subnet.errors, subnet.types"])
def test_importing_the_package_brings_nothing_heavy(code: str) -> None:
    assert not loaded_by(code) & set(HEAVY)


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_the_commands_front_door_brings_nothing_heavy(word: str) -> None:
    code = f"import contextlib, subnet.cli\nwith contextlib.suppress(SystemExit): subnet.cli.main([{word!r}])"
    assert not loaded_by(code) & {*HEAVY, "typer", "rich", "prometheus_client"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("subnet.synapse", {"aiohttp", "scipy", "substrateinterface", "torch"}),
        ("subnet.codec", {"aiohttp", "scipy", "substrateinterface", "torch"}),
        ("subnet.keys", {"substrateinterface", "torch"}),
        ("subnet.axon", {"scipy", "substrateinterface", "torch"}),
        ("subnet.dendrite", {"aiohttp.web", "scipy", "substrateinterface", "torch"}),
        ("subnet.chain", {"aiohttp", "pandas", "scalecodec", "scipy", "substrateinterface", "torch"}),
        ("subnet.miners", {"scipy", "substrateinterface", "torch"}),
        ("subnet.validators", {"aiohttp.web", "substrateinterface", "torch"}),
        (", ".join(KIT), {"choix", "openskill", "rapidfuzz", "scipy", "skimage"}),
        ("subnet.lab", {"aiohttp", "matplotlib", "ray", "rich", "substrateinterface", "torch"}),
        ("subnet.telemetry", {"prometheus_client", "rich"}),
        ("subnet.config", {"typer"}),
        ("subnet.devnet.service", {"numpy", "scipy", "substrateinterface", "msgspec"}),
        ("subnet.pytest_plugin", {*HEAVY, "subnet.devnet", "logging.config"}),
    ],
)
def test_a_module_brings_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    assert not loaded_by(f"import {module}") & unwanted


def test_importing_leaves_the_process_as_it_was() -> None:
    """argv, the root logger and the signal handlers belong to the program."""
    code = """
import logging, signal, sys
before = (list(sys.argv), logging.root.level, list(logging.root.handlers), signal.getsignal(signal.SIGINT))
import subnet, subnet.telemetry, subnet.config, subnet.cli
after = (list(sys.argv), logging.root.level, list(logging.root.handlers), signal.getsignal(signal.SIGINT))
assert before == after, (before, after)
assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger("subnet").handlers)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
