"""What is built from the repo is all that is needed."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PHOTOGRAPHS, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    built = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The scripts of an environment with the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    site = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    dependencies = sysconfig.get_path("purelib")
    Path(site, "dependencies.pth").write_text(f"{dependencies}\n")
    return python.parent


def test_the_wheel_is_typed_and_holds_its_configuration_and_model(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())

    assert {"app/py.typed", "enhanced_classification/py.typed"} <= names
    assert "app/default_config/domains.yaml" in names
    assert any(name.endswith(".onnx") for name in names)
    assert not {name for name in names if name.startswith(("tests/", "docs/", "benchmarks/"))}


def test_its_command_classifies_without_a_network(installed, tmp_path):
    """Nor a folder of configuration, or a key. What is asked for over HTTP is asked of a proxy
    that is not there."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere}
    environment.pop("CONFIG_DIR")
    command = [installed / "enhanced-classifier", "classify", PHOTOGRAPHS / "rose.jpg"]
    ran = subprocess.run(
        [*command, "--domain", "flowers", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["predicted_class"] == "rose"


def test_its_facade_is_what_was_installed(installed, tmp_path):
    text = "import enhanced_classification as e; print(e.__file__, e.ImageClassifier.__module__)"
    ran = subprocess.run(
        [installed / "python", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert Path(ran.stdout.split()[0]).is_relative_to(installed.parent)
