from pathlib import Path

import pytest

from subnet import config
from subnet.errors import ConfigError


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "subnet.toml"


def test_without_any_source_the_defaults_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = config.load(environ={})
    assert loaded.settings == config.Settings()
    assert loaded.chosen() == {}
    assert {origin.kind for origin in loaded.origins.values()} == {"default"}


def test_the_first_source_wins_and_each_value_knows_its_origin(toml: Path) -> None:
    toml.write_text('endpoint = "ws://file:1"\nnetuid = 1\nwallet = "file"\n')
    loaded = config.load(
        {"endpoint": "ws://flag:1", "netuid": None},
        environ={"SUBNET_ENDPOINT": "ws://environment:1", "SUBNET_NETUID": "2"},
        path=toml,
    )
    assert loaded.settings.endpoint == "ws://flag:1"
    assert loaded.settings.netuid == 2
    assert loaded.settings.wallet == "file"
    assert loaded.settings.hotkey is None
    assert str(loaded.origins["endpoint"]) == "--endpoint"
    assert str(loaded.origins["netuid"]) == "SUBNET_NETUID"
    assert str(loaded.origins["wallet"]) == f"wallet in {toml}"
    assert loaded.origins["hotkey"].kind == "default"
    assert loaded.chosen() == {"endpoint": "ws://flag:1", "netuid": 2, "wallet": "file"}


def test_endpoints_are_a_text_with_commas_or_a_list_in_the_file(toml: Path) -> None:
    toml.write_text('endpoint = ["ws://a", "ws://b"]\n')
    loaded = config.load(environ={}, path=toml)
    assert loaded.settings.endpoint == "ws://a,ws://b"
    assert str(loaded.origins["endpoint"]) == f"endpoint in {toml}"
    loaded = config.load(environ={"SUBNET_ENDPOINT": "ws://c,ws://d"}, path=toml)
    assert loaded.chosen() == {"endpoint": "ws://c,ws://d"}


def test_the_environment_knows_only_text_and_is_converted() -> None:
    loaded = config.load(environ={"SUBNET_NETUID": "7", "SUBNET_LOG_JSON": "true", "SUBNET_VERBOSE": "0"})
    assert (loaded.settings.netuid, loaded.settings.log_json, loaded.settings.verbose) == (7, True, False)


def test_an_empty_variable_is_an_unset_one(toml: Path) -> None:
    toml.write_text("netuid = 3\n")
    assert config.load(environ={"SUBNET_NETUID": ""}, path=toml).settings.netuid == 3


def test_the_file_is_found_in_the_current_folder_or_by_its_variable(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml.write_text("netuid = 4\n")
    assert config.load(environ={"SUBNET_CONFIG": str(toml)}).settings.netuid == 4
    monkeypatch.chdir(toml.parent)
    assert config.load(environ={}).settings.netuid == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("netuid = '4'", "netuid in .*Expected `int | null`, got `str`"),
        ("netuid = 65536", "<= 65535"),
        ("endpoint = ['ws://a', 1]", "Expected `str`, got `array`"),
        ("genesis_hash = '0x12'", "genesis_hash in .*matching regex"),
        ("netuid = true", "Expected `int | null`, got `bool`"),
        ("endpiont = 'ws://x'", "no setting 'endpiont'; did you mean 'endpoint'"),
        ("zzz = 1", "known are endpoint"),
        ("netuid = ", "Invalid value"),
        ("netuid = 1\nnetuid = 2", "overwrite"),
    ],
)
def test_a_wrong_line_is_named(toml: Path, text: str, said: str) -> None:
    toml.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        config.load(environ={}, path=toml)
    assert str(toml) in caught.value.message


@pytest.mark.parametrize(("name", "text"), [("SUBNET_NETUID", "two"), ("SUBNET_NETUID", "-1"), ("SUBNET_VERBOSE", "?")])
def test_a_wrong_variable_is_named(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        config.load(environ={name: text})


def test_a_wrong_key_is_not_repeated(toml: Path) -> None:
    toml.write_text("key = 31337\n")
    with pytest.raises(ConfigError) as caught:
        config.load(environ={}, path=toml)
    assert "31337" not in caught.value.message


def test_a_file_that_is_not_settings_is_refused(toml: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        config.load(environ={}, path=toml)
    with pytest.raises(ConfigError, match="directory"):
        config.load(environ={}, path=toml.parent)
    toml.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="decode"):
        config.load(environ={}, path=toml)
    toml.write_bytes(b"#" * (config.MAX_FILE + 1))
    with pytest.raises(ConfigError, match="larger"):
        config.load(environ={}, path=toml)
