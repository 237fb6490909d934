"""`python -m app`, and the script of the installed package, started as from a shell."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from app.settings import Settings
from app.settings_sources import leaves, variable
from tests.service import ROOT

# Variables that change how output looks, which only the test may set.
LOOKS = ("COLUMNS", "FORCE_COLOR", "GITHUB_ACTIONS", "LINES", "NO_COLOR", "PY_COLORS", "TERM")

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])[;m]")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

SCRIPT = f"""#!{sys.executable}
import sys
from app.__main__ import main
sys.exit(main())
"""
"""The script as installers write it."""


class Shell:
    """Starts commands in a folder, with a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self, **variables: str) -> dict[str, str]:
        own = {variable(path) for path, _ in leaves(Settings)}
        kept = {name: value for name, value in os.environ.items() if name not in (*own, *LOOKS)}
        return kept | {
            "CONFIG_DIR": str(ROOT / "config"),
            "DATABASE_URL": f"sqlite:///{self.folder}/app.db",
            "PYTHONPATH": str(ROOT),
            **variables,
        }

    def begin(self, *arguments, **variables: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "app", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(**{"COLUMNS": "200", **variables}),  # or words are split
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, **variables: str) -> subprocess.CompletedProcess:
        process = self.begin(*arguments, **variables)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def bash(self, line: str, **variables: str) -> subprocess.CompletedProcess:
        """Run a line in which `enhanced-classifier` is the script, and `app` stands for `python -m
        app`."""
        scripts = self.folder / "bin"
        scripts.mkdir(exist_ok=True)
        script = scripts / "enhanced-classifier"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "--norc", "-c", f'app() {{ {sys.executable} -m app "$@"; }}\n{line}'],
            cwd=self.folder,
            env=self.environment(PATH=path, HOME=str(self.folder), **variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def look(self, *arguments, columns: int = 80, **variables: str) -> tuple[int, str]:
        """Run on a terminal: return the exit code, and all output."""
        return self.look_at("-m", "app", *arguments, columns=columns, **variables)

    def look_at(self, *arguments, columns: int = 80, **variables: str) -> tuple[int, str]:
        """Run any Python command line on a terminal."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment(TERM="xterm-256color", **variables),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        told = b""
        try:
            while chunk := os.read(ours, 65_536):
                told += chunk
        except OSError:
            pass  # on Linux this means that nobody holds the other end any more
        os.close(ours)
        return process.wait(timeout=60), told.decode().replace("\r\n", "\n")


def without_escapes(told: str) -> str:
    return ESCAPE.sub("", told)
