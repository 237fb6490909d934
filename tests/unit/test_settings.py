"""Where a setting comes from, and what is said when it is wrong."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from app import settings_sources
from app.errors import ConfigurationError
from app.settings import Settings, is_loopback, load_settings, sources
from app.settings_groups import ApiKey
from app.settings_sources import Group, leaves, redacted, secrets, variable
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


class Shop(Group):
    key: SecretStr | None = Field(None, description="Of the shop.")
    limit: int = Field(5, ge=1, description="Pictures a minute.")
    tills: dict[str, list[SecretStr]] = Field({}, description="Keys of tills.")


class Needy(Group):
    key: str


class Careless(Group):
    limit: int = 3


@pytest.fixture
def install(monkeypatch):
    """Let a package bring these settings."""

    def install(name: str, value: str) -> None:
        found = {name: EntryPoint(name, f"{__name__}:{value}", settings_sources.GROUP)}
        monkeypatch.setattr(settings_sources, "plug_ins", lambda group: found)

    return install


def test_those_of_a_package_come_from_the_same_places(folder, install, monkeypatch):
    install("shop", "Shop")
    (folder / "config/settings.yaml").write_text(
        "shop: {limit: 6, key: from-the-file, tills: {first: [from-a-list]}}\n"
    )
    (folder / ".env").write_text("SHOP_LIMIT=7\nSHOP_KEY=from-dot-env\n")
    monkeypatch.setenv("SHOP_LIMIT", "8")
    settings = load_settings()

    assert settings.group(Shop) == Shop(
        key="from-dot-env", limit=8, tills={"first": ["from-a-list"]}
    )
    assert {"from-dot-env", "from-a-list"} <= secrets(settings)
    assert {".".join(path): place for path, _, place in sources(settings) if path[0] == "shop"} == {
        "shop.key": ".env",
        "shop.limit": "environment",
        "shop.tills": f"{folder}/config/settings.yaml:1",
    }
    monkeypatch.setenv("SHOP_LIMIT", "0")
    assert complaint().startswith("environment: SHOP_LIMIT: ")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("Shop", "Shop", "like shop_camera"),
        ("api", "Shop", "settings of this name itself"),
        ("model_dump", "Shop", "settings of this name itself"),
        ("shop", "Settings", "they are no Group"),
        ("shop", "Needy", "by default, key: Field required"),
        ("api_rate", "Careless", "API_RATE_LIMIT is there already"),
        ("shop", "MISSING", "MISSING"),
    ],
)
def test_a_package_that_is_wrong_is_named(folder, install, name, value, told):
    install(name, value)

    assert complaint().startswith(f"The settings {name} can't be used: ")
    assert told in complaint()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (SecretStr("short"), "***"),
        (Shop(key="hush-4711"), {"key": "***", "limit": 5, "tills": {}}),
        ({"first": [SecretStr("short")]}, {"first": ["***"]}),
        ("postgresql://app:p%40ss@host/name", "postgresql://app:***@host/name"),
        (("s3://bucket/", "https://me:sesame@host/"), ["s3://bucket/", "https://me:***@host/"]),
        (None, None),
    ],
)
def test_what_is_secret_is_not_shown(value, shown):
    assert redacted(value) == shown


def test_settings_that_no_package_brings(folder):
    with pytest.raises(ConfigurationError, match=r"classifier\.settings names Shop"):
        load_settings().group(Shop)


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


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sqlite:///data/app.db", "data"),
        ("sqlite+aiosqlite:///data/app.db", "data"),
        ("sqlite:////srv/app.db?mode=rw", "/srv"),
        ("postgresql://host/name", "data"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
    ],
)
def test_what_lasts_lies_beside_a_database_that_lasts(url, folder):
    """However its URL is written: keys and uploads in memory would be gone after a restart."""
    own = Settings(database_url=url).own_folder

    assert own == (None if folder is None else Path(folder))


def test_the_example_is_taken_without_its_hashes(monkeypatch):
    """Each line alone; some need others beside them."""
    needs_others = ("half configured", "set API_KEYS", "WORK is off")
    lines = (ROOT / ".env.example").read_text()
    wrong = []
    for name, value in re.findall(r"^#([A-Z_]+)=(.*)$", lines, re.MULTILINE):
        with monkeypatch.context() as alone:
            alone.setenv(name, value)
            try:
                Settings()
            except ValidationError as error:
                wrong.append((name, str(error)))

    assert [each for each in wrong if not any(text in each[1] for text in needs_others)] == []
