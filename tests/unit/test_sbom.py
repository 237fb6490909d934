"""`make sbom` lists what is locked, all of it, and what is in no package index."""

import json

import pytest

import app
from tests.security import sbom

LOCK = """\
fastapi==1.2.3 \\
    --hash=sha256:00
    # via -r pyproject.toml
Ruamel_YAML==0.1 ; python_version >= "3.11" \\
    --hash=sha256:00
colorama==9.9 ; sys_platform == "win32" \\
    --hash=sha256:00
"""
LOCKED = [{"name": "fastapi", "version": "1.2.3"}, {"name": "ruamel.yaml", "version": "0.1"}]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Completes the list of these components; returns the status and what is then in the file."""

    def run(components):
        made, lock = tmp_path / "sbom.json", tmp_path / "requirements.txt"
        made.write_text(json.dumps({"metadata": {"component": {}}, "components": components}))
        lock.write_text(LOCK)
        monkeypatch.setattr("sys.argv", ["sbom", str(made), str(lock)])
        return sbom.main(), json.loads(made.read_text())

    return run


def test_it_says_which_version_and_which_model(run):
    status, told = run(LOCKED)

    assert status == 0
    assert told["metadata"]["component"]["version"] == app.__version__
    assert [each["type"] for each in told["components"][2:]] == ["machine-learning-model"]


@pytest.mark.parametrize("components", [LOCKED[:1], [*LOCKED, {"name": "left", "version": "1"}]])
def test_it_lists_what_is_locked_and_nothing_else(run, capsys, components):
    status, _ = run(components)

    assert status == 1
    assert "not both" in capsys.readouterr().err
