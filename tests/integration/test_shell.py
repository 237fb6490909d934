"""What every command has in common: help, completion, colours and pipes."""

import shlex
import subprocess
import sys
from typing import get_args

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from app import __version__
from app.cli import EXIT_CODES, app
from app.cli.options import Status
from app.result import Status as StatusOfResult
from tests.conftest import PHOTOGRAPHS, ROOT
from tests.shell import COLOUR, Shell

HEAVY = {"onnxruntime", "sqlalchemy", "fastapi", "openai", "numpy", "app.parts"}


def _commands() -> dict[str, list[str]]:
    """The examples of each, by its name."""
    found = {}
    for name, each in get_command(app).commands.items():
        below = getattr(each, "commands", None)
        for path, command in (
            [(f"{name} {key}", value) for key, value in below.items()] if below else [(name, each)]
        ):
            lines = (command.epilog or "").strip().splitlines()[1:]
            found[path] = [line.strip() for line in lines]
    return found


COMMANDS = _commands()
EXAMPLES = [example for examples in COMMANDS.values() for example in examples]


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_command_has_examples_that_fit_a_line(self, name):
        told = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}).output
        lines = [line.strip() for line in told.splitlines()]

        assert COMMANDS[name]
        assert lines[lines.index("Examples:") + 1 :][: len(COMMANDS[name])] == COMMANDS[name]
        # The installed script has a longer name.
        assert all(len(each) + 3 <= 80 - 6 for each in COMMANDS[name])

    @pytest.mark.parametrize("example", EXAMPLES)
    def test_examples_are_understood(self, example):
        arguments = shlex.split(example.partition(" | ")[0])[3:]
        command = get_command(app)
        while name := getattr(command, "commands", {}) and arguments.pop(0):
            command = command.commands[name]

        assert command.make_context(name or "", arguments).params is not None

    def test_the_list_of_all_says_the_exit_codes(self, shell):
        told = shell.run("--help").stdout

        assert [line.strip() for line in EXIT_CODES.strip().splitlines()] == [
            line.strip() for line in told.rstrip().splitlines()[-6:]
        ]

    def test_the_version_is_told(self, shell):
        told = shell.run("--version")

        assert told.stdout == f"enhanced-classifier {__version__}\n"
        assert (told.returncode, told.stderr) == (0, "")

    def test_without_a_command_it_is_shown(self, shell):
        """As wrong use."""
        done = shell.run()

        assert done.returncode == 2
        assert "Exit codes" in done.stdout + done.stderr

    @pytest.mark.parametrize("name", ["", "results", "serve", "batch", "config check"])
    def test_nothing_is_loaded_for_it_that_takes_long(self, name):
        program = (
            "import sys; from app.__main__ import main; sys.argv[:] = sys.argv[:1] + "
            f"{[*name.split(), '--help']}\n"
            "try: main()\n"
            f"finally: print({HEAVY} & sys.modules.keys(), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)

        assert done.returncode == 0
        assert done.stderr.strip() == b"set()"

    def test_statuses_are_those_of_results(self):
        assert get_args(Status) == get_args(StatusOfResult)


class TestCompletion:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("classify --domain ", "animals flowers objects"),
            ("batch pictures --domain f", "flowers"),
            ("domains o", "objects"),
            ("results --domain=fl", "flowers"),
            ("results --status ", "pending accepted needs_review failed"),
            ("results --domain flowers --class d", "daisy dandelion"),
            ("export --class wa", ""),
            ("export --format ", "json jsonl csv xml parquet xlsx"),
            ("re", "results retention"),
            ("config ", "check show"),
            ("watch --", "--json --help"),
        ],
    )
    def test_bash_is_told(self, shell, line, expected):
        words = f"enhanced-classifier {line}"
        told = shell.bash(
            "enhanced-classifier",
            _ENHANCED_CLASSIFIER_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split(" ")) - 1),
        )

        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.split() == expected.split()

    @pytest.mark.parametrize("kind", ["zsh", "fish"])
    def test_other_shells_are_told(self, shell, kind):
        told = shell.bash(
            "enhanced-classifier",
            _ENHANCED_CLASSIFIER_COMPLETE=f"complete_{kind}",
            _TYPER_COMPLETE_FISH_ACTION="get-args",
            _TYPER_COMPLETE_ARGS="enhanced-classifier classify --domain ",
        )

        assert told.returncode == 0
        assert all(name in told.stdout for name in ("animals", "flowers", "objects"))

    def test_the_script_it_shows_completes(self, shell):
        """In the shell for which it is made, found by itself."""
        told = shell.bash(
            'eval "$(enhanced-classifier --show-completion)"\n'
            "complete -p enhanced-classifier\n"
            "COMP_WORDS=(enhanced-classifier classify --domain f) COMP_CWORD=3\n"
            "_enhanced_classifier_completion enhanced-classifier\n"
            'echo "${COMPREPLY[@]}"'
        )

        assert told.stderr == ""
        assert told.stdout.splitlines() == [
            "complete -o default -F _enhanced_classifier_completion enhanced-classifier",
            "flowers",
        ]

    def test_it_can_be_installed(self, shell):
        told = shell.bash("enhanced-classifier --install-completion && . ~/.bashrc && complete -p")

        assert told.returncode == 0
        assert "enhanced-classifier" in told.stdout.splitlines()[-1]

    def test_python_m_has_none(self, shell):
        """For no shell would call it."""
        assert "completion" not in shell.run("--help").stdout

    def test_a_wrong_file_completes_nothing_silently(self, shell, tmp_path):
        (tmp_path / "domains.yaml").write_text("flowers: [")
        told = shell.bash(
            "enhanced-classifier",
            CONFIG_DIR=str(tmp_path),
            _ENHANCED_CLASSIFIER_COMPLETE="complete_bash",
            COMP_WORDS="enhanced-classifier classify --domain ",
            COMP_CWORD="3",
        )

        assert (told.returncode, told.stdout.strip(), told.stderr) == (0, "", "")

    @pytest.mark.parametrize("line", ["classify --domain ", "export --format ", "results --"])
    def test_nothing_is_loaded_for_it_that_takes_long(self, shell, line):
        told = shell.bash(
            "enhanced-classifier",
            PYTHONPROFILEIMPORTTIME="1",
            _ENHANCED_CLASSIFIER_COMPLETE="complete_bash",
            COMP_WORDS=f"enhanced-classifier {line}",
            COMP_CWORD=str(len(line.split(" "))),
        )
        loaded = {each.rpartition("|")[2].strip() for each in told.stderr.splitlines()}

        assert told.stdout
        assert "typer" in loaded
        assert not HEAVY & loaded


class TestColours:
    """They are for terminals, and not for those who want none."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--help",),
            ("results", "cls_x"),
            ("results", "--limit=x"),
            ("classify", PHOTOGRAPHS / "rose.jpg", "absent.jpg", "--domain=flowers"),
        ],
        ids=["help", "error", "wrong use", "classify"],
    )
    def test_of_output(self, shell, arguments):
        status, coloured = shell.look(*arguments)
        same_status, plain = shell.look(*arguments, NO_COLOR="1")
        piped = shell.run(*arguments)

        assert status == same_status == piped.returncode
        assert COLOUR.search(coloured)
        assert not COLOUR.search(plain)
        assert "\x1b" not in piped.stdout + piped.stderr

    def test_of_log_lines(self, shell):
        program = (
            "import structlog\n"
            "from app.telemetry.logging import LoggingConfig, configure_logging\n"
            "configure_logging(LoggingConfig())\n"
            "structlog.stdlib.get_logger('x').info('said')"
        )
        _, coloured = shell.look_at("-c", program)
        _, plain = shell.look_at("-c", program, NO_COLOR="1")

        assert COLOUR.search(coloured)
        assert "said" in plain
        assert "\x1b" not in plain


class TestPipes:
    @pytest.mark.parametrize(
        "line",
        [
            "app --help",
            "app results --help",
            "app domains",
            "app domains --json",
            "app export",
            "app config check",
            f"app classify {PHOTOGRAPHS / 'rose.jpg'} --domain flowers",
        ],
    )
    def test_a_reader_that_goes_away_is_no_mishap(self, shell, line):
        """141, as of a program that the end of a pipe kills, and not a word."""
        done = shell.bash(f"{line} | true; echo ${{PIPESTATUS[0]}}")

        assert (done.stdout, done.stderr) == ("141\n", "")

    @pytest.mark.parametrize("line", ["app domains", "app export", "app --help"])
    def test_a_full_disk_is_told(self, shell, line):
        done = shell.bash(f"{line} > /dev/full")

        assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")

    @pytest.mark.parametrize("line", ["app domains >&-", "app results cls_x 2>&-"])
    def test_nobody_has_to_listen(self, shell, line):
        done = shell.bash(line)

        assert done.returncode == ("cls_x" in line)
        assert "Traceback" not in done.stdout + done.stderr

    def test_a_name_need_not_be_text(self, shell, tmp_path):
        done = shell.bash(r"app classify $'\xff.jpg' --domain flowers")

        assert done.returncode == 1
        assert done.stderr == "\\udcff.jpg: No such file or directory\n"
