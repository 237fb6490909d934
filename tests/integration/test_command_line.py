"""`python -m app ...`, as a person at a shell sees it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from app.settings import Settings
from app.settings_sources import leaves
from tests.conftest import PHOTOGRAPHS, ROOT


@pytest.fixture
def run(tmp_path):
    """Run a command in an empty folder."""

    def command(*arguments, **variables):
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": f"sqlite:///{tmp_path}/app.db",
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-m", "app", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return command


@pytest.fixture
def labelled(tmp_path):
    """Two classes with a photograph each, one in the wrong folder, and one of none of them."""
    for name, label in (
        ("rose", "rose"),
        ("daisy", "daisy"),
        ("sunflower", "daisy"),
        ("fork", "none"),
    ):
        (tmp_path / "labelled" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(PHOTOGRAPHS / f"{name}.jpg", tmp_path / "labelled" / label)
    return tmp_path / "labelled"


def test_classify_prints_a_line_a_picture(run):
    """Name, class, confidence; exit status 0."""
    done = run("classify", PHOTOGRAPHS / "rose.jpg", PHOTOGRAPHS / "daisy.jpg", "--domain=flowers")

    assert done.returncode == 0
    assert [line.split(": ")[1].split()[0] for line in done.stdout.splitlines()] == [
        "rose",
        "daisy",
    ]
    assert done.stderr == ""


def test_classify_as_json_is_the_stored_result(run):
    """What the API would answer."""
    done = run("classify", PHOTOGRAPHS / "rose.jpg", "--domain=flowers", "--json")

    result = json.loads(done.stdout)
    assert result["predicted_class"] == "rose"
    assert result["caller"] == "command-line"


def test_a_picture_that_fails_does_not_stop_the_others(run, tmp_path):
    """One line on stderr for each, the other answers on stdout, exit status 1."""
    (tmp_path / "text.jpg").write_text("no picture")

    done = run(
        "classify", "text.jpg", "absent.jpg", PHOTOGRAPHS / "rose.jpg", "--domain", "flowers"
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert "absent.jpg: No such file or directory" in done.stderr
    assert "rose" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "words"),
    [
        (["classify", "x.jpg", "--domain", "nope"], {}, 1, "animals, flowers, objects"),
        (["evaluate", "absent", "--domain", "flowers"], {}, 1, "not a folder"),
        (["keys", "new", "two words"], {}, 2, "letters, digits"),
        (["config", "check"], {"PORT": "x"}, 2, "environment: PORT"),
        (["config", "check"], {"PROVIDER": "acme"}, 2, "There is no provider 'acme'"),
        (["config", "check"], {"PROVIDER": "openai_compatible"}, 2, "set OPENAI_MODEL"),
        (["config", "check"], {"DATABASE_URL": "mysql://db"}, 2, "is not supported"),
        (["config", "check"], {"BATCH_SOURCES": "s3://"}, 2, "BATCH_SOURCES: s3://: The URI"),
        (["config", "check"], {"EXPORT_TARGETS": "s3://"}, 2, "EXPORT_TARGETS: s3://: The URI"),
        (["config", "check"], {"EXPORT_TARGETS": "nofs://x"}, 2, "EXPORT_TARGETS: nofs://: "),
        (["config", "check"], {"BLOBS_URL": "nofs://x"}, 2, "BLOBS_URL: nofs://: "),
        (["serve"], {"BATCH_SOURCES": "nofs://x"}, 2, "BATCH_SOURCES: nofs://: "),
        (["classify"], {}, 2, "Missing argument"),
    ],
)
def test_errors_are_words_on_stderr(run, arguments, variables, status, words):
    """Never a traceback; the exit status says whose fault it is."""
    done = run(*arguments, **variables)

    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_evaluate_reports_as_text_and_as_json(run, labelled, tmp_path):
    """Accuracy with its interval, the confusion, and what was wrong by name."""
    done = run("evaluate", labelled, "--domain", "flowers", "--json", "report.json")

    found = json.loads((tmp_path / "report.json").read_text())
    assert done.returncode == 0
    assert "accuracy   66.7% of 3" in done.stdout
    assert "sunflower.jpg: sunflower" in done.stdout
    assert found["n"] == 3
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["confusion"]["daisy"] == {"daisy": 1, "sunflower": 1}
    assert {"interval", "per_class", "threshold", "accepted_share", "accepted_accuracy"} < set(
        found
    )
    assert found["none_n"] == 1


def test_evaluate_refuses_a_folder_that_is_no_class(run, labelled):
    """A misspelt label would silently cost accuracy."""
    (labelled / "tulip").mkdir()

    done = run("evaluate", labelled, "--domain", "flowers")

    assert done.returncode == 1
    assert "tulip is none of the domain's classes" in done.stderr


def test_a_new_key_lets_its_caller_in(run):
    """The entry holds the key's SHA-256, which the service compares."""
    done = run("keys", "new", "shop", "--admin")

    key, entry = (line.split()[-1] for line in done.stdout.splitlines())
    assert entry == f"shop:{hashlib.sha256(key.encode()).hexdigest()}:admin"
    assert run("config", "check", API_KEYS=entry).returncode == 0


def test_config_check_names_file_line_and_reason(run, tmp_path):
    """All complaints at once, from every file and the environment."""
    folder = tmp_path / "config"
    shutil.copytree(ROOT / "config", folder)
    (folder / "domains.yaml").write_text("pets:\n  classes: [cat, cat]\n")
    (folder / "settings.yaml").write_text("api:\n  timeout: 0\n")
    (folder / "models.yaml").write_text("families:\n  - nam: x\n")
    (folder / "alerts.yaml").write_text("slow:\n  signal: mood\n")

    done = run("config", "check", CONFIG_DIR=str(folder))

    assert done.returncode == 2
    assert "settings.yaml:2: api.timeout:" in done.stderr
    assert "domains.yaml:1: pets: classes: 'cat' names two classes" in done.stderr
    assert "models.yaml:2: families.0.name: Field required" in done.stderr
    assert "alerts.yaml:2: slow.signal: 'mood' is none of accuracy" in done.stderr


def test_config_check_refuses_people_it_can_not_tell(run):
    """Without a word of what was given."""
    done = run("config", "check", MONITORING_NOTIFY="json://x.example,sesame://sesame")

    assert done.returncode == 2
    assert "monitoring.notify: number 2 is no URL that Apprise understands" in done.stderr
    assert "sesame" not in done.stderr + done.stdout


def test_config_check_says_what_would_serve(run):
    """Provider, limit and where it comes from, storage, domains."""
    done = run("config", "check", RATE_LIMIT_RPM="7")

    assert done.returncode == 0
    assert "provider: local" in done.stdout
    assert "limit: 7 calls/min from RATE_LIMIT_RPM" in done.stdout
    assert "domains: animals, flowers, objects" in done.stdout


def test_config_show_says_what_each_setting_is(run):
    """A line with tabs for each: key, value, where that comes from, meaning."""
    done = run("config", "show", RATE_LIMIT_RPM="7", DATABASE_URL="postgresql://a:sesame@b/c")
    told = {line.split("\t")[0]: line.split("\t")[1:] for line in done.stdout.splitlines()}

    assert (done.returncode, done.stderr) == (0, "")
    assert told.keys() == {".".join(path) for path, _ in leaves(Settings)}
    assert told["rate_limit_rpm"][:2] == ["7", "environment"]
    assert told["database_url"][:2] == ["postgresql://a:***@b/c", "environment"]
    assert told["api.timeout"][:2] == ["30.0", f"{ROOT}/config/settings.yaml:6"]
    assert told["drain_delay"][1] == "default"
    assert told["drain_timeout"][2] == "Seconds that running requests then have to finish."


def test_config_check_says_what_each_deployment_is_granted(run):
    """Its own limits, else what holds for all."""
    deployments = [
        {"name": "west", "rpm": 600, "tpm": 90_000},
        {"name": "east", "endpoint": "https://east.example", "priority": 1},
    ]
    done = run(
        "config",
        "check",
        DEPLOYMENTS=json.dumps(deployments),
        AZURE_OPENAI_ENDPOINT="https://west.example",
        AZURE_OPENAI_API_KEY="key",
        RATE_LIMIT_TPM="5000",
    )

    assert done.returncode == 0, done.stderr
    assert "provider: azure_openai" in done.stdout
    assert "limit: west: 600 calls/min, 90000 tokens/min, priority 0" in done.stdout
    assert "limit: east: 60 calls/min, 5000 tokens/min, priority 1" in done.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("west", "must be JSON"),
        ('[{"rpm": 1}]', "Field required"),
        ('[{"name": "a"}, {"name": "a"}]', "a name is there twice"),
        ('[{"name": "a", "rpm": 0}]', "greater than or equal to 1"),
        ('[{"name": "a"}]', "AZURE_OPENAI_ENDPOINT"),
    ],
)
def test_config_check_refuses_wrong_deployments(run, text, told):
    done = run("config", "check", DEPLOYMENTS=text)

    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize(
    ("change", "model", "warned"),
    [
        ("", "gpt-4o", None),
        ("image_size: 1024\n  detail: high", "gpt-4o", "up to 765 tokens of gpt-4o"),
        ("detail: high", "gpt-4o", "up to 255 tokens"),
        ("image_size: 1024", "gpt-4o", None),
        ("image_size: 1024", "gpt-4.1-mini", "up to 1659 tokens"),
        ("image_size: 2048\n  detail: high", "a-model-of-tomorrow", None),
    ],
)
def test_config_check_warns_of_dear_pictures(run, tmp_path, change, model, warned):
    """GPT-4o takes 85 tokens at low detail whatever the size; others count every pixel."""
    folder = tmp_path / "config"
    shutil.copytree(ROOT / "config", folder)
    (folder / "domains.yaml").write_text(f"trees:\n  classes: [oak, elm]\n  {change}\n")
    done = run("config", "check", CONFIG_DIR=str(folder), OPENAI_MODEL=model)

    assert done.returncode == 0
    assert ("trees: a picture takes" in done.stdout) == (warned is not None)
    assert (warned or "") in done.stdout
