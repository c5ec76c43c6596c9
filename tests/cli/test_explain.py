import json

import pytest

from subnet import errors
from subnet.cli import main
from subnet.cli.explain import catalogue

TREE = [error for error in catalogue() if error.__module__ == "subnet.errors"]


def call(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["explain", *args])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_every_error_has_a_code_of_its_own_a_meaning_and_a_remedy() -> None:
    codes = [error.code for error in TREE]
    assert len(set(codes)) == len(codes)
    assert all(error.__doc__ and error.remedy for error in TREE)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    assert [e.__name__ for e in TREE if e.__name__ not in errors.__doc__] == []


@pytest.mark.parametrize("error", TREE, ids=lambda e: e.code)
def test_each_code_is_explained(error: type[errors.SubnetError], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(error.code) == 0
    out = capsys.readouterr().out
    assert out.startswith(error.code)
    assert error.remedy in out
    assert f"Exit code: {error.exit_code}" in out


def test_without_a_code_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call() == 0
    out = capsys.readouterr().out
    assert all(f"{error.code} " in out for error in TREE)


def test_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("auth.stale", "--json") == 0
    entry = json.loads(capsys.readouterr().out)
    assert (entry["code"], entry["status"], entry["exit_code"]) == ("auth.stale", 401, 10)
    assert call("--json") == 0
    assert {entry["code"] for entry in json.loads(capsys.readouterr().out)} >= {error.code for error in TREE}


def test_an_unknown_code_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("auth.stal") == 2
    assert "Did you mean auth.stale?" in capsys.readouterr().err
