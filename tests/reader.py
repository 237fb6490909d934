"""A reader of a page of the documentation who does, in a folder, what the page says."""

import re
import secrets
import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import yaml

from tests.documentation import Block, Command
from tests.terminal import Terminal

PORTS = (8000, 8001, 8900, 9000)
"""Ports on the pages, which are replaced by free ones."""

LASTING = ("serve", "worker", "simulate", "status", "webhooks listen")
"""Commands that run until Ctrl-C."""

ID = re.compile(r"\b([a-z]{3})_(?:[0-9A-Z]{26}\b|\w*\.\.\.)")
SECRET = re.compile(r"\bwhsec_(?:[\w+/]{20,}=*|\.\.\.)")
VARIABLE = re.compile(r"(?:export )?([A-Z_]+)=(\S*)")

VARYING = (
    r"(?P<id>\b[a-z]{3}_[0-9A-Z]{26}\b)"
    r"|(?P<secret>\bwhsec_[\w+/]+=*)"
    r"|(?P<time>\b\d{4}-\d\d-\d\dT[\d:.]+Z|\b\d+:\d\d:\d\d\b)"
    r'|(?P<took>"(?:fetch|prepare|wait|provider|total)":\d+\.\d+)'
    r"|(?P<measured>\b[\d,]+ (?=s\b|bytes\b))"
    r"|(?P<bar>[━╸╺─]+)"
    r"|(?P<anything>\.\.\.)"
)
LIKE = {
    "id": r"[a-z]{3}_[0-9A-Z]{26}",
    "secret": r"whsec_[\w+/]+=*",
    "time": r"[\dT:.Z-]+",
    "took": r'"\w+":\d+\.\d+',
    "measured": r"[\d,]+",
    "figure": r"[-+]?[\d.,]+",
    "bar": r"[━╸╺─]+",
    "anything": r".*?",
}
EXACT = re.compile(VARYING)
CELLS = re.compile(r" {2,}")
ROUGH = re.compile(VARYING + r"|(?P<figure>(?<!\w)[-+]?\d[\d.]*(?:,\d{3})*)")


class Reader:
    """A context manager: everything started ends with it. `told` is the last command's output."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, patience_s: float = 60
    ) -> None:
        """`patience_s`: for a single command."""
        self.folder = folder
        self._patience_s = patience_s
        self.told = ""
        self._ports = {port: _free_port() for port in PORTS}
        self.variables: dict[str, str] = {}
        """Variables that the page has set."""
        self._environment = {**environment, "PORT": str(self._ports[8000])}
        self._known = {"whsec": "whsec_" + secrets.token_urlsafe(24)}
        self._lasting: list[Terminal] = []
        self._service: Terminal | None = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for each in reversed(self._lasting):
            each.stop()

    def write(self, block: Block) -> None:
        """Write the block as a file; for a file of config/, add it to the existing content."""
        assert block.file
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = block.text
        if path.suffix == ".yaml" and path.exists():
            merged = _merged(yaml.safe_load(path.read_text()), yaml.safe_load(text))
            text = yaml.safe_dump(merged)
        path.write_text(text)

    def set(self, block: Block) -> list[str]:
        """Set variables for everything that follows; return their names."""
        found = dict(VARIABLE.findall(self.here(block.text)))
        self.variables |= found
        return list(found)

    def type(self, command: Command, *, figures: bool = True) -> None:
        """Raises AssertionError when the command fails, or does not print what the page shows."""
        text = self.here(command.text)
        if ":8000" in command.text and not (self._service or _lasts(command)):
            self._start(".venv/bin/python -m app serve")
        if _lasts(command):
            self._start(text, command.shown, figures=figures)
            return
        if match := VARIABLE.fullmatch(text):
            self.variables[match[1]] = match[2]
            return
        terminal = self._terminal(text)
        status = terminal.wait(seconds=self._patience_s)
        self._keep(terminal.told)
        assert status == 0, f"{text}\nends with {status}:\n{self.told}"
        self.compare(command.shown, figures=figures)

    def run(self, block: Block) -> None:
        """Run a Python program."""
        (self.folder / "shown.py").write_text(self.here(block.text))
        self.type(Command("python shown.py", ""))

    def compare(self, shown: str, *, figures: bool = True) -> None:
        """Compare with the last output. Raises AssertionError."""
        line = lacking(self.told, self.here(shown), figures=figures)
        assert line is None, f"not shown: {line}\n{self.told}"

    def here(self, text: str) -> str:
        """Replace what the page shows by its counterpart here: ports, the ids in the last output, a
        store."""
        text = re.sub(
            r"(?<=[: ])(8000|8001|8900|9000)\b", lambda each: str(self._ports[int(each[0])]), text
        )
        text = ID.sub(lambda each: self._known.get(each[1], each[0]), text)
        text = SECRET.sub(lambda _: self._known["whsec"], text)
        text = re.sub(r"\bFOLDER\b", "many", text)
        return text.replace("s3://bucket", f"file://{self.folder}/bucket")

    def _start(self, text: str, shown: str = "", *, figures: bool = True) -> None:
        if re.search(r"app simulate\b(?!.*--port)", text):
            text += f" --port {self._ports[8001]}"
        serves = re.search(r"\b(make run|app serve)\b", text)
        if serves and self._service:  # the page now starts it with other options
            self._service.stop()
        wanted = self.here(shown) or "listening"
        terminal = self._terminal(text)
        self._lasting.append(terminal)
        self._service = terminal if serves else self._service
        status = terminal.wait(
            lambda told: lacking(told, wanted, figures=figures) is None, seconds=self._patience_s
        )
        assert status is None, f"{text}\nends with {status}:\n{terminal.told}"

    def _terminal(self, text: str) -> Terminal:
        return Terminal(text, folder=self.folder, environment=self._environment | self.variables)

    def _keep(self, told: str) -> None:
        self.told = told
        self._known |= {each[1]: each[0] for each in ID.finditer(told) if "..." not in each[0]}
        for each in SECRET.finditer(told):
            self._known["whsec"] = each[0]


def lacking(told: str, shown: str, *, figures: bool = True) -> str | None:
    """The first line of `shown` that is missing from the output. With `figures` lines must come in
    this order. Without, order does not matter, and figures may differ, but not what is around
    them; of a row of a table the first two cells are compared."""
    rest = _squeezed(told)
    for line in shown.splitlines():
        cells = CELLS.split(line.strip())
        compared = " ".join(cells[:2]) if len(cells) > 3 and not figures else line
        found = _pattern(compared, EXACT if figures else ROUGH).search(rest)
        if not found:
            return line
        if figures:
            rest = rest[found.end() :]
    return None


def _pattern(line: str, varying: re.Pattern[str]) -> re.Pattern[str]:
    found, end = "", 0
    for each in varying.finditer(line):
        found += re.escape(_squeezed(line[end : each.start()])) + LIKE[each.lastgroup or ""]
        end = each.end()
    return re.compile(found + re.escape(_squeezed(line[end:])))


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _lasts(command: Command) -> bool:
    words = command.words
    if words[:2] == ["make", "run"]:
        return True
    arguments = " ".join(words[words.index("app") + 1 :]) if "app" in words else ""
    return any(re.match(rf"{each}\b", arguments) for each in LASTING)


def _merged(old: object, new: object) -> object:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new


def _free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
