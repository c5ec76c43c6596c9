"""The pytest plugin, as a user's tests see it: in a pytest of their own."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/how-to/test-your-subnet.md"


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the same, whether this checkout is installed or not
    monkeypatch.setenv(
        "PYTEST_ADDOPTS", "-p subnet.pytest_plugin -p pytest_asyncio.plugin -p no:cacheprovider -W error"
    )
    pytester.makeini(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\naddopts = --strict-markers"
    )
    return pytester


def test_a_chain_for_each_test(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest

        seen = set()

        @pytest.mark.parametrize("number", range(3))
        def test_fresh(subnet_chain, number):
            assert subnet_chain.node.chain.head.number == 0
            assert subnet_chain.genesis_hash not in seen
            seen.add(subnet_chain.genesis_hash)
            assert subnet_chain.new_blocks(2) == 2
            assert subnet_chain.spec.tempo == 10

        @pytest.mark.subnet_chain(tempo=33, accounts=2, production="manual")
        class TestOptions:
            def test_of_the_class(self, subnet_chain):
                assert (subnet_chain.spec.tempo, len(subnet_chain.accounts)) == (33, 2)

            @pytest.mark.subnet_chain(tempo=44)
            def test_of_the_test_come_first(self, subnet_chain):
                assert (subnet_chain.spec.tempo, len(subnet_chain.accounts)) == (44, 2)

        @pytest.mark.subnet_chain(tempo=0)
        def test_bad(subnet_chain):
            pass
        """
    )
    result = run.runpytest_subprocess()
    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(["*DevnetError: tempo 0 is out of bounds*"])


def test_the_page_holds(run: pytest.Pytester) -> None:
    """Every test in the documentation runs, in one file, as it stands there, under the settings that stand there."""
    blocks = [part.split("```")[0] for part in PAGE.read_text().split("```python\n")[1:]]
    assert blocks
    run.makeini(PAGE.read_text().split("```ini\n")[1].split("```")[0])
    run.makepyfile("\n".join(blocks))
    (run.path / "genesis.toml").write_text((ROOT / "examples/genesis.toml").read_text())
    count = sum(block.count("def test_") for block in blocks)
    run.runpytest_subprocess().assert_outcomes(passed=count)


def test_pytest_finds_it_by_its_entry_point() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert declared == {"subnet_chain": "subnet.pytest_plugin"}
    assert importlib.import_module(declared["subnet_chain"]).subnet_chain
