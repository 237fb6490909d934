"""The examples run as they stand, and show what they say."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import PHOTOGRAPHS, ROOT

EXAMPLES = ROOT / "examples"

SHOWN = {
    "basic_usage": ["rose, 98.9% sure", "dandelion   0.2%"],
    "batch_processing": [
        "6 pictures: 3 rose, 1 daisy, 1 dandelion, 1 sunflower; 2 to review; 1 skipped",
        "to review: fork.jpg, maybe rose",
        "results.json",
    ],
    "custom_domain": [
        "daisy.jpg: daisy, 90.4% sure",
        "fork.jpg: a person should look (below_threshold, close_second, ood)",
        "tools: 100% of 10 examples right when not seen before",
        "fork.jpg: fork, ",
        "scissors.jpg: scissors, ",
    ],
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_script_runs(name, tmp_path):
    ran = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    for line in SHOWN[name]:
        assert line in ran.stdout


def test_the_notebook_runs(tmp_path, monkeypatch):
    """Pictures with bars, a progress bar, a table. Its outputs are kept as somebody saw them."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shutil.copytree(PHOTOGRAPHS, tmp_path / "images")
    notebook = nbformat.read(EXAMPLES / "classify.ipynb", as_version=4)
    kept = [_texts(cell) for cell in notebook.cells]
    resources = {"metadata": {"path": str(tmp_path)}}

    NotebookClient(notebook, timeout=100, resources=resources).execute()

    picture, folder, doubtful, rows, written = (
        _shown(cell) for cell in notebook.cells if cell.cell_type == "code"
    )
    assert "data:image/jpeg;base64," in picture[0]
    assert "rose 98.9%" in picture[0]
    bar, table = folder
    assert "width:100.0%" in bar
    assert "6 of 6, 2 to review, 0 failed" in bar
    assert table.count("<img") == 6
    assert "fork.jpg" in doubtful[0]
    assert "image.width" in rows[0]
    assert written == []
    assert [_texts(cell)[:1] for cell in notebook.cells[:4]] == [each[:1] for each in kept[:4]]


def _shown(cell) -> list[str]:
    """What is HTML; nothing is said on stderr."""
    assert [each for each in cell.outputs if each.output_type == "stream"] == []
    return [each.data["text/html"] for each in cell.outputs if "text/html" in each.data]


def _texts(cell) -> list[str]:
    return [each.data["text/plain"] for each in cell.get("outputs", ()) if "data" in each]
