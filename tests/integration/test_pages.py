"""Pages of the documentation are read and done, block by block: what they say and show is so."""

import re
import shlex
import subprocess
from dataclasses import replace

import pytest

from tests import shown_files
from tests.clone import make_clone, make_pictures
from tests.documentation import PAGES, ROOT, Block, Command, blocks, commands
from tests.reader import VARIABLE, Reader

PROGRAM = re.compile(
    r"(\$ )?([A-Z_]+=\S+ )*"
    r"(\.ci/run|\.venv/bin/python|\{|cp|curl|docker|echo|enhanced-classifier|export|kubectl|make"
    r"|pg_dump|pip|python|sh|sqlite3) "
)
"""So begins a block of commands."""

ONLY_READ = {
    r"\.ci/run|make (?!run\b).*": "takes minutes to an hour, or installs; CI runs most",
    r"docker .*": "needs a daemon; its files: tests/unit/test_container_files.py",
    r"kubectl .*|\{ printf .*kubectl .*": "needs a cluster",
    r"pip install (\.|[\w-]+( [\w-]+)*)": "needs a registry: tests/integration/test_wheel.py",
    r"sqlite3 .*|pg_dump .*|pg_restore .*": "tests/integration/test_backup.py",
    r"enhanced-classifier .*": "tests/integration/test_shell.py",
    r"python -m benchmarks\..*": "needs minutes, and photographs that are not here",
}
"""Commands that bash has to understand, and nothing more; and why."""

IN_A_CONTAINER = "docker run --rm enhanced-image-classifier "
"""What follows is done without one."""

DRAWN = "is drawn for people"
RECEIVER = "tests/integration/test_webhook_snippets.py"
ELSEWHERE = {
    ("CONTRIBUTING.md", "app/cli/ "): DRAWN,
    ("docs/architecture.md", "HTTP "): DRAWN,
    ("docs/add_setting.md", "error: "): "tests/integration/test_added_from_outside.py",
    ("docs/batches.md", "request -> items"): DRAWN,
    ("docs/custom_domains.md", "few/daisy/*.jpg"): DRAWN,
    ("docs/monitoring.md", "config/alerts.yaml ─┐"): DRAWN,
    ("docs/monitoring.md", "POST /classify "): DRAWN,
    ("docs/traffic.md", "POST /classify ──┐"): DRAWN,
    ("docs/deployment.md", "spec:"): shown_files.a_deployment,
    ("docs/deployment.md", "apiVersion: monitoring"): shown_files.a_pod_monitor,
    ("docs/deployment.md", "FROM "): shown_files.a_dockerfile,
    ("docs/monitoring.md", '{"timestamp":'): shown_files.a_log_line,
    ("docs/webhooks.md", "POST /hooks"): shown_files.a_webhook,
    ("docs/webhooks.md", "import os"): RECEIVER,
    ("docs/webhooks.md", "import base64"): RECEIVER,
    ("docs/webhooks.md", "const http ="): RECEIVER,
    ("docs/webhooks.md", "const { createHmac"): RECEIVER,
    ("docs/webhooks.md", "package main"): RECEIVER,
}
"""Blocks by their beginning: what is checked of them instead, or where they are run."""

SIMULATED = (
    "python -m app simulate --latency 0 --deployment gpt-4o:gpt-4o:60000:100000000",
    "export RATE_LIMIT_RPM=60000",
    "export AZURE_OPENAI_ENDPOINT=http://127.0.0.1:8001",
    "export AZURE_OPENAI_API_KEY=any",
    "export AZURE_OPENAI_DEPLOYMENT=gpt-4o",
    "export AZURE_OPENAI_MODEL=gpt-4o",
)
ASK = "curl -F domain=flowers -F file=@images/{}.jpg http://127.0.0.1:8000/classify"
JSON = "-H 'content-type: application/json'"
CONFIRM = (
    f"curl {JSON} localhost:8000/reviews/cls_..."
    """ -d '{{"action": "confirm", "reviewer": "{}"}}'"""
)
BEFORE: dict[str, tuple[str, ...]] = {
    "README.md": ("export REVIEW_RANDOM_SHARE=0",),
    "docs/cascade.md": (
        *SIMULATED,
        "export CACHE_TTL=0",
        "python -m app evaluate asked --domain flowers --provider azure_openai --json azure.json",
    ),
    "docs/confidence.md": ("python -m app evaluate many --domain flowers",),
    "docs/costs.md": (
        *SIMULATED,
        "python -m app batch pictures --domain flowers --provider azure_openai",
        "python -m app classify rose.jpg --domain flowers --provider azure_openai",
        "python -m app classify fork.jpg --domain objects --provider azure_openai",
        # A batch that waits, for nobody answers.
        f"curl {JSON} localhost:8001/_sim/deployments/gpt-4o -d '{{\"down\": true}}'",
        "curl -F domain=flowers -F provider=azure_openai -F file=@asked/rose/5.jpg"
        " localhost:8000/batches",
        "curl -X POST localhost:8000/batches/bat_.../pause",
    ),
    "docs/deployment.md": (
        f"curl {JSON} localhost:8000/domains"
        """ -d '{"name": "garden-birds", "classes": ["robin", "jay"], "detail": "low"}'""",
        f"curl {JSON} localhost:8000/webhooks"
        """ -d '{"url": "https://shop.example.com/hooks", "event_types": ["result.created"]}'""",
        "curl -X POST localhost:8000/webhooks/whk_.../rotate",
        f"curl -X PUT {JSON} localhost:8000/domains/garden-birds"
        """ -d '{"classes": ["robin", "jay"], "detail": "high"}'""",
    ),
    "docs/erasure.md": (ASK.format("rose"),),
    "docs/evaluation.md": ("python -m app batch labelled --domain flowers",),
    "docs/exports.md": ("python -m app batch pictures --domain flowers",),
    "docs/monitoring.md": (
        "export MONITORING_ALERTS_EVERY=0.5",
        "python -m app evaluate wrong --domain flowers",
        "python -m app serve",
    ),
    "docs/review.md": (
        "export REVIEW_RANDOM_SHARE=1",
        ASK.format("dandelion"),
        CONFIRM.format("eve"),
        ASK.format("rose"),
        CONFIRM.format("ada"),
        ASK.format("fork"),
    ),
    "docs/traffic.md": SIMULATED[1:],
}
"""What a page takes for granted."""

OTHER_FIGURES = {"docs/cascade.md", "docs/costs.md", "docs/custom_domains.md", "docs/monitoring.md"}
"""Pages that show what came of other photographs, or at another time."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder)
    return folder


@pytest.fixture
def reader(pictures, tmp_path):
    folder = tmp_path / "clone"
    with Reader(folder, make_clone(folder, pictures)) as reader:
        yield reader


def elsewhere(block: Block):
    found = [
        each
        for (page, begin), each in ELSEWHERE.items()
        if block.page == page and block.first.startswith(begin)
    ]
    return found[0] if found else None


def kind(block: Block) -> str | None:
    lines = [each.strip() for each in block.text.splitlines() if each.strip()]
    if elsewhere(block):
        return "elsewhere"
    if block.file:
        return "file"
    if all(VARIABLE.fullmatch(each) for each in lines):
        return "variables"
    if block.language == "python":
        return "program"
    if block.language in ("", "sh") and PROGRAM.match(block.first):
        return "commands"
    return "shown" if block.language in ("", "json", "markdown") else None


def why_only_read(command: Command) -> str | None:
    text = " ".join(shlex.split(command.text, comments=True)).removeprefix(IN_A_CONTAINER)
    return next((each for each in ONLY_READ if re.fullmatch(each, text, re.DOTALL)), None)


KINDS = {page: [kind(each) for each in blocks(page)] for page in PAGES}
DONE = {"file", "variables", "program", "commands"}


@pytest.mark.parametrize("page", [page for page in PAGES if DONE & set(KINDS[page])])
def test_a_page_does_what_it_says(page, reader, monkeypatch):
    for text in BEFORE.get(page, ()):
        reader.type(Command(text, ""))
    for block in blocks(page):
        try:
            read(block, reader, monkeypatch)
        except (AssertionError, TimeoutError) as error:
            error.add_note(f"{block}: {block.first}")
            raise


def read(block: Block, reader: Reader, monkeypatch) -> None:
    figures = block.page not in OTHER_FIGURES
    match kind(block):
        case "file":
            reader.write(block)
            if not (reader.folder / "site").exists():  # else what it names is known there only
                monkeypatch.setenv("CONFIG_DIR", str(reader.folder / "config"))
                for name, value in reader.variables.items():
                    monkeypatch.setenv(name, value)
                shown_files.check(block, reader.folder)
        case "variables":
            assert all(shown_files.knows(name) for name in reader.set(block))
        case "program":
            reader.run(block)
        case "commands":
            for each in commands(block):
                if not why_only_read(each):
                    text = each.text.removeprefix(IN_A_CONTAINER)
                    reader.type(replace(each, text=text), figures=figures)
        case "shown":
            reader.compare(block.text, figures=figures)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_done_or_checked(page):
    """One of a new kind, or one that stands for nothing before it, is neither."""
    for before, block in zip([None, *blocks(page)], blocks(page), strict=False):
        found = kind(block)
        if callable(check := elsewhere(block)):
            check(block.text)
        assert found, f"{block}: {block.first}"
        if found == "shown":
            assert before, f"{block}: {block.first}"
            assert kind(before) in ("commands", "program"), f"{block}: {block.first}"


def test_what_is_only_read_is_right_as_far_as_it_is_known():
    """bash takes it; targets of make, extras of the package, and profiles and services of compose
    are there."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = [
        each
        for page in PAGES
        for block in blocks(page)
        if kind(block) == "commands"
        for each in commands(block)
    ]
    found = [each for each in shown if why_only_read(each)]

    for each in found:
        subprocess.run(["bash", "-n", "-c", each.text], check=True)
        match each.words:
            case ["make", *named]:
                assert set(named) <= set(targets)
            case ["pip", "install", *packages]:
                assert set(packages) - {"."} <= shown_files.extras()
            case ["docker", "compose", *words]:
                assert shown_files.composed(words)
    assert {why_only_read(each) for each in found} == ONLY_READ.keys()


def test_no_exception_is_for_what_is_gone():
    """Nor names a test that is not there, or knows nothing of the page."""
    for (page, begin), where in ELSEWHERE.items():
        assert any(each.first.startswith(begin) for each in blocks(page)), (page, begin)
        if isinstance(where, str) and where != DRAWN:
            assert page.removeprefix("docs/") in (ROOT / where).read_text(), (page, where)
    for why in ONLY_READ.values():
        assert all((ROOT / each).exists() for each in re.findall(r"tests/[\w/]+\.py", why)), why
    assert set(BEFORE) | OTHER_FIGURES <= set(PAGES)
