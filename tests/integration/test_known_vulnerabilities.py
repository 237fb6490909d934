"""`make audit` passes nothing that nobody judged."""

import os
import subprocess
import sys

from tests.security.audit import skipped, vulnerable
from tests.service import ROOT

HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["1.2", "1.1.3"], "aliases": [], "description": ""}


def test_without_an_answer_it_fails_and_says_whose():
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1", "UV_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.audit", "requirements.txt"],
        cwd=ROOT,
        env=os.environ | nowhere | {"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2, done.stdout + done.stderr
    assert "PyPI could not be asked" in done.stderr
    assert "OSV could not be asked" in done.stderr


def test_what_is_vulnerable_is_told_with_its_remedy():
    report = [
        {"name": "known", "version": "1.0", "vulns": [HOLE]},
        {"name": "sound", "version": "2.0", "vulns": []},
    ]

    assert vulnerable(report) == ["known 1.0: PYSEC-2026-1, fixed in 1.2, 1.1.3"]
    assert skipped(report) == []


def test_what_a_database_does_not_know_was_not_judged():
    assert skipped([{"name": "unknown", "skip_reason": "not found"}]) == ["not found"]
