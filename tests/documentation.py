"""The pages of the documentation, parsed into the blocks they show."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
    )
)

NAMED = re.compile(r"`([\w./-]+\.\w+)`:$")
"""The end of a sentence that says which file the following block is."""

HEADED = re.compile(r"# ([\w./-]+\.ya?ml)\b")
"""A first line that names the file."""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    """Empty: indented, or a fence without a language."""
    text: str
    file: str | None
    """The file that the block is, where the page says so."""
    heading: str
    """The closest heading above it."""

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0].strip()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    text: str
    shown: str
    """The part of its output that the page shows."""

    @property
    def words(self) -> list[str]:
        """Without leading variable assignments."""
        words = shlex.split(self.text, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        return words


@cache
def blocks(page: str) -> tuple[Block, ...]:
    found, said, heading, is_heading = [], "", "", False
    for token in MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8")):
        if token.type == "inline":
            said = token.content
            heading = said if is_heading else heading
        elif token.type in ("fence", "code_block") and token.map:
            named = NAMED.search(said) or HEADED.match(token.content)
            found.append(
                Block(
                    page,
                    token.map[0] + 1,
                    token.info.strip(),
                    token.content,
                    named[1] if named else None,
                    heading,
                )
            )
            said = ""
        is_heading = token.type == "heading_open"
    return tuple(found)


def section(page: str, heading: str) -> tuple[Block, ...]:
    """The blocks below a heading."""
    return tuple(each for each in blocks(page) if each.heading == heading)


def commands(block: Block) -> Iterator[Command]:
    """With its output where there are prompts, else one for each line or continued line."""
    lines = block.text.splitlines()
    prompted = any(each.startswith("$ ") for each in lines)
    while lines:
        text = lines.pop(0)
        if not text.strip() or text.startswith("#"):
            continue
        while lines and not _is_whole(text):
            text += "\n" + lines.pop(0)
        shown = []
        while prompted and lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        yield Command(text.removeprefix("$ "), "\n".join(shown))


def _is_whole(text: str) -> bool:
    """Whether no quote, brace or line continuation is left open."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return False
    return not text.endswith("\\") and words.count("{") == words.count("}")


@cache
def spans(page: str) -> tuple[str, ...]:
    """Text in backticks in sentences and tables."""
    parsed = MarkdownIt().enable("table").parse((ROOT / page).read_text(encoding="utf-8"))
    inner = (child for token in parsed for child in token.children or ())
    return tuple(each.content for each in inner if each.type == "code_inline")
