"""Counts the tokens of prompts exactly, in o200k, the encoding of GPT-4o and its successors.

    python -m tests.o200k o200k_base.js

writes tests/o200k.json from the ranks in the npm package `js-tiktoken` (dist/ranks): those of the
200,000 that the prompts below can use. Text with other words is split into smaller pieces than it
would be, and its count is too high.
"""

import base64
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

from app.domains import Domain
from app.providers.chat_quote import PER_ANSWER, PER_MESSAGE
from app.providers.question import FIELD, ChatQuestion
from app.yaml_file import YamlFile
from tests.service import ROOT

KNOWN = Path(__file__).with_suffix(".json")
MESSAGES = 2
_PIECES = re.compile(
    r"[^\r\nA-Za-z0-9]?[A-Z]*[a-z]+(?:'(?i:s|t|re|ve|m|ll|d))?"
    r"|[^\r\nA-Za-z0-9]?[A-Z]+[a-z]*(?:'(?i:s|t|re|ve|m|ll|d))?"
    r"|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The splitting rule of o200k_base, for ASCII."""

COLOURS = "red blue green black white brown grey yellow orange purple pink golden silver spotted"
BIRDS = (
    "robin sparrow eagle falcon hawk owl duck goose swan heron stork crane gull tern finch thrush "
    "wren crow raven magpie jay dove pigeon parrot woodpecker kingfisher swallow martin swift lark "
    "warbler bunting starling cuckoo pelican penguin"
)
MANY = Domain(
    name="many",
    classes=[f"{colour} {bird}" for colour in COLOURS.split() for bird in BIRDS.split()][:500],
)
"""The maximum number of classes, of two words each."""


def shipped() -> list[Domain]:
    """The domains of config/domains.yaml."""
    read = YamlFile.read(ROOT / "config" / "domains.yaml").data
    return [Domain(name=name, **spec) for name, spec in read.items()]


def prompt(domain: Domain, *, stated: bool) -> int:
    """Everything but the picture: the text, the schema, and the framing of messages."""
    system, schema, *_ = texts(domain, stated=stated)
    return tokens(system) + tokens(schema) + MESSAGES * PER_MESSAGE + PER_ANSWER


def completion(domain: Domain, *, stated: bool) -> int:
    return max(map(tokens, texts(domain, stated=stated)[2:]))


def counts() -> dict[str, dict[str, int]]:
    """Tokens of prompts without their pictures, and of answers."""
    return {
        domain.name + (", stated" if stated else ""): {
            "prompt": prompt(domain, stated=stated),
            "completion": completion(domain, stated=stated),
        }
        for domain in (*shipped(), MANY)
        for stated in (False, True)
    }


def texts(domain: Domain, *, stated: bool) -> list[str]:
    """The text that the model reads, its schema, and its possible answers."""
    question = ChatQuestion(domain, stated=stated)
    schema = question.response_format["json_schema"]["schema"]
    more = {"confidence": 100} if stated else {}
    answers = [_compact({FIELD: code, **more}) for code in question.labels]
    return [question.system, _compact(schema), *answers]


def tokens(text: str) -> int:
    """Byte pair encoding: of all neighbours whose union is known, those whose union has the lowest
    rank are joined first."""
    return sum(_merged(piece.encode()) for piece in pieces(text))


def pieces(text: str) -> list[str]:
    if not text.isascii():
        raise ValueError("only ASCII is parted here as o200k parts it")
    return _PIECES.findall(text)


def _merged(piece: bytes) -> int:
    known = _known()
    parts = [piece[at : at + 1] for at in range(len(piece))]
    while True:
        ranks = [known.get(a + b) for a, b in pairwise(parts)]
        best = min((rank for rank in ranks if rank is not None), default=None)
        if best is None:
            return len(parts)
        at = ranks.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@cache
def _known() -> Mapping[bytes, int]:
    return {text.encode(): rank for text, rank in json.loads(KNOWN.read_text()).items()}


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _ranks(script: str) -> Iterator[tuple[bytes, int]]:
    """Lines of a first rank, and the texts that have it and the following ranks, in base64."""
    packed = re.search(r'"bpe_ranks":"((?:[^"\\]|\\.)*)"', script)
    assert packed is not None
    for line in json.loads(f'"{packed[1]}"').splitlines():
        _, first, *encoded = line.split(" ")
        for place, each in enumerate(encoded):
            yield base64.b64decode(each), int(first) + place


def main() -> None:
    wanted = {
        piece[start:end]
        for domain in (*shipped(), MANY)
        for none in (False, True)
        for stated in (False, True)
        for text in texts(domain.model_copy(update={"allow_none": none}), stated=stated)
        for piece in pieces(text)
        for start in range(len(piece))
        for end in range(start + 2, len(piece) + 1)
    }
    ranks = dict(_ranks(Path(sys.argv[1]).read_text()))
    found = {text: ranks[text.encode()] for text in sorted(wanted) if text.encode() in ranks}
    KNOWN.write_text(json.dumps(found, indent=0, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
