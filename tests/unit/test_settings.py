"""Where a setting comes from, and what is said when it is wrong."""

from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings import Settings, is_loopback, load_settings
from app.settings_groups import ApiKey
from app.settings_sources import leaves, variable
from app.yaml_file import config_dir
from tests.conftest import ROOT

DIGEST = "ab" * 32


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty config/ beside which .env and azure.env may stand."""
    (tmp_path / "config").mkdir()
    monkeypatch.setenv("CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def place(folder, monkeypatch):
    """Put `api.timeout` into one of the places."""

    def put(where: str, value: int) -> None:
        if where == "environment":
            monkeypatch.setenv("API_TIMEOUT", str(value))
        elif where == "settings.yaml":
            (folder / "config" / where).write_text(f"api:\n  timeout: {value}\n")
        else:
            (folder / where).write_text(f"API_TIMEOUT={value}\n")

    return put


def complaint() -> str:
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    return str(raised.value)


PLACES = ["environment", ".env", "azure.env", "settings.yaml"]


@pytest.mark.parametrize("strongest", range(len(PLACES)))
def test_the_stronger_place_wins(place, strongest):
    """The environment over .env over azure.env over settings.yaml."""
    for rank, where in enumerate(PLACES[strongest:]):
        place(where, 10 + rank)

    assert load_settings().api.timeout == 10


def test_the_default_holds_where_nothing_is_said(folder):
    assert load_settings().api.timeout == 30


def test_an_argument_wins_over_all(place):
    place("environment", 10)

    assert load_settings(port=7).port == 7


def test_places_are_joined_key_by_key(place, folder):
    """One key of a group from the environment leaves the others to the file."""
    (folder / "config/settings.yaml").write_text("api: {timeout: 5, max_retries: 9}\n")
    place("environment", 10)

    api = load_settings().api

    assert (api.timeout, api.max_retries, api.rate_limit) == (10, 9, 60)


@pytest.mark.parametrize("where", PLACES[:3])
def test_an_empty_variable_is_not_set(place, folder, monkeypatch, where):
    """So that a template with empty lines changes nothing."""
    (folder / "config/settings.yaml").write_text("api: {timeout: 5}\n")
    if where == "environment":
        monkeypatch.setenv("API_TIMEOUT", "")
    else:
        (folder / where).write_text("API_TIMEOUT=\n")

    assert load_settings().api.timeout == 5


def test_every_key_has_one_variable():
    """Its path in capitals; no two keys share one."""
    names = [variable(path) for path, _ in leaves(Settings)]

    assert len(names) == len(set(names))
    assert {
        "HOST",
        "API_TIMEOUT",
        "AZURE_OPENAI_ENDPOINT",
        "MONITORING_ALERT_THRESHOLDS_ACCURACY",
        "RATE_LIMIT_RPM",
    } <= set(names)


def test_every_key_is_described():
    assert [variable(path) for path, field in leaves(Settings) if not field.description] == []


def test_the_shipped_file_is_the_defaults(monkeypatch, tmp_path):
    """settings.yaml shows what holds anyway."""
    monkeypatch.setenv("CONFIG_DIR", str(ROOT / "config"))
    shipped = load_settings()
    monkeypatch.setenv("CONFIG_DIR", str(tmp_path))

    assert load_settings() == shipped


def test_lists_are_comma_separated(folder, monkeypatch):
    monkeypatch.setenv("API_KEYS", f"shop:{DIGEST}, boss:{DIGEST.upper()}:admin")
    monkeypatch.setenv("EGRESS_ALLOW", "a:1 , 10.0.0.0/8")

    settings = load_settings()

    assert settings.api_keys == (
        ApiKey(name="shop", sha256=DIGEST),
        ApiKey(name="boss", sha256=DIGEST, admin=True),
    )
    assert settings.egress_allow == ("a:1", "10.0.0.0/8")


def test_lists_are_lists_in_yaml(folder):
    (folder / "config/settings.yaml").write_text(f"api_keys:\n- shop:{DIGEST}\negress_allow: [a]\n")

    settings = load_settings()

    assert [key.name for key in settings.api_keys] == ["shop"]
    assert settings.egress_allow == ("a",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("api:\n  timeout: soon\n", "settings.yaml:2: api.timeout: "),
        ("api:\n  timeout: 0\n", "settings.yaml:2: api.timeout: "),
        ("port: 99999\n", "settings.yaml:1: port: "),
        ("api: 3\n", "settings.yaml:1: api: "),
        ("# x\ncolour: red\n", "settings.yaml:2: colour: "),
        ("api:\n  colour: red\n", "settings.yaml:2: api.colour: "),
        ("batch:\n  default_size: 7\n", "settings.yaml:2: batch.default_size: "),
        ("api_keys:\n- shop:x\n", "settings.yaml:"),
        ("redis_url: localhost:6379\n", "settings.yaml:1: redis_url: "),
        ("home: /x\n", "settings.yaml:1: home: "),
        ("path: /x\n", "settings.yaml:1: path: "),
        ("host: 0.0.0.0\n", "HOST 0.0.0.0 is reachable"),
        ("azure_openai:\n  endpoint: https://x\n", "settings.yaml:1: azure_openai: "),
        ("azure_openai:\n  endpoint: x\n", "settings.yaml:2: azure_openai.endpoint: "),
        ("- 1\n", "settings.yaml:1: "),
        ("3\n", "settings.yaml:1: "),
    ],
)
def test_a_complaint_names_its_line(folder, monkeypatch, text, told):
    """Also where a variable happens to be named like an unknown key: HOME is no setting."""
    monkeypatch.setenv("HOME", "/root")
    (folder / "config/settings.yaml").write_text(text)

    assert told in complaint()


@pytest.mark.parametrize("where", PLACES[:3])
def test_a_complaint_names_its_variable_and_where_it_is(place, folder, monkeypatch, where):
    (folder / "config/settings.yaml").write_text("api: {timeout: 5}\n")
    place(where, -1)

    assert complaint().startswith(f"{where}: API_TIMEOUT: ")


def test_a_complaint_does_not_repeat_the_value(folder, monkeypatch):
    """It may be a secret."""
    monkeypatch.setenv("API_KEYS", "shop:very-secret")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "very-secret")
    monkeypatch.setenv("PORT", "very-secret")

    told = complaint()

    assert len(told.splitlines()) == 3
    assert "very-secret" not in told


@pytest.mark.parametrize("name", [".env", "azure.env"])
def test_a_file_of_variables_that_is_not_utf_8_is_named(folder, name):
    (folder / name).write_bytes(b"API_TIMEOUT=\xff\n")

    assert name in complaint()


@pytest.mark.parametrize(
    "key",
    ["shop", "shop:", f":{DIGEST}", f"shop:{DIGEST[1:]}", f"shop:{DIGEST}:root", f"a b:{DIGEST}"],
)
def test_a_malformed_key_is_refused(folder, monkeypatch, key):
    monkeypatch.setenv("API_KEYS", key)

    assert complaint().startswith("environment: API_KEYS: ")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (["ENDPOINT"], ["API_KEY", "DEPLOYMENT"]),
        (["API_KEY"], ["ENDPOINT", "DEPLOYMENT"]),
        (["ENDPOINT", "API_KEY"], ["DEPLOYMENT"]),
    ],
)
def test_half_an_azure_names_what_is_missing(folder, monkeypatch, given, missing):
    for name in given:
        monkeypatch.setenv(f"AZURE_OPENAI_{name}", "https://x.openai.azure.com")

    told = complaint()

    assert all(f"AZURE_OPENAI_{name}" in told for name in missing)
    assert not any(f"AZURE_OPENAI_{name}," in told for name in given)


def test_azure_answers_when_it_is_configured(folder, monkeypatch):
    before = load_settings().provider_name
    (folder / "azure.env").write_text(
        "AZURE_OPENAI_ENDPOINT=https://x/\nAZURE_OPENAI_API_KEY=k\nAZURE_OPENAI_DEPLOYMENT=d\n"
    )
    after = load_settings()
    monkeypatch.setenv("PROVIDER", "local")

    assert (before, after.provider_name) == ("local", "azure_openai")
    assert after.azure_openai.endpoint == "https://x"
    assert "k" not in repr(after.azure_openai.api_key)
    assert load_settings().provider_name == "local"


def test_the_more_specific_limit_wins(folder, monkeypatch):
    before = load_settings().requests_per_minute
    monkeypatch.setenv("RATE_LIMIT_RPM", "7")

    assert before == (60, "api.rate_limit")
    assert load_settings().requests_per_minute == (7, "RATE_LIMIT_RPM")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("my-host", False),
    ],
)
def test_a_public_address_needs_keys_or_intent(folder, host, loopback):
    """Else everybody could use it by mistake."""
    key = ApiKey(name="shop", sha256=DIGEST)

    assert is_loopback(host) == loopback
    if not loopback:
        with pytest.raises(ConfigurationError, match="API_KEYS"):
            load_settings(host=host)
    load_settings(host=host, api_keys=(key,))
    load_settings(host=host, allow_anonymous=True)


def test_config_dir_is_named_or_here_or_in_the_package(monkeypatch, tmp_path):
    """Here nothing was built: it is what the package's is made from."""
    monkeypatch.delenv("CONFIG_DIR")
    packaged = config_dir()
    (tmp_path / "config").mkdir()
    here = config_dir()
    monkeypatch.setenv("CONFIG_DIR", "/etc/classifier")

    assert packaged == ROOT / "config"
    assert here == Path("config")
    assert config_dir() == Path("/etc/classifier")
