"""Exports read while other callers write."""

import asyncio
import csv
import io
import json
import random
import re
import time
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pyarrow.parquet

from tests.soak.caller import Caller
from tests.soak.people import Question

FORMATS = ("csv", "json", "jsonl", "xml", "xlsx", "parquet")
SINCE = timedelta(seconds=60)
"""So that exports have the same size throughout the run."""

PAUSES_S = 2.0


class Exporting:
    """
    Attributes:
        complaints: about files that lacked results answered earlier.
    """

    def __init__(self, caller: Caller, seed: int) -> None:
        self.count = 0
        self.complaints: list[str] = []
        self._caller = caller
        self._chance = random.Random(f"{seed} exports")

    async def read(self, until: float, questions: list[Question]) -> None:
        """Export the last minute repeatedly."""
        while time.time() < until:
            since = datetime.now(UTC) - SINCE
            told = {
                each.answer["id"]
                for each in questions[-1_000:]
                if each.answer and datetime.fromisoformat(each.answer["created_at"]) >= since
            }
            form = self._chance.choice(FORMATS)
            ids = await self.ids(form, since=since.isoformat())
            self.count += 1
            if missing := told - set(ids):
                self.complaints.append(f"{form} lacks {len(missing)}, {min(missing)} for one")
            if len(set(ids)) != len(ids):
                self.complaints.append(f"{form} has results twice")
            await asyncio.sleep(self._chance.expovariate(1 / PAUSES_S))

    async def ids(self, form: str, **query: str) -> list[str]:
        """All ids in one export."""
        file = await self._caller.ask(
            "export", "GET", "/results/export", params={"format": form, **query}
        )
        file.raise_for_status()
        return await asyncio.to_thread(lambda: list(_ids(form, file.content)))


def _ids(form: str, data: bytes) -> Iterable[str]:
    match form:
        case "csv":
            return [row["id"] for row in csv.DictReader(io.StringIO(data.decode()))]
        case "json":
            return [row["id"] for row in json.loads(data)]
        case "jsonl":
            return [json.loads(line)["id"] for line in data.splitlines()]
        case "xml":
            return [row.findtext("id", "") for row in ElementTree.fromstring(data)]
        case "parquet":
            return pyarrow.parquet.read_table(io.BytesIO(data), columns=["id"])["id"].to_pylist()
        case _:
            with zipfile.ZipFile(io.BytesIO(data)) as book:
                sheet = book.read("xl/worksheets/sheet1.xml").decode()
            (column,) = re.findall(r'<c r="([A-Z]+)1"[^>]*><is><t>id</t>', sheet)
            return re.findall(rf'<c r="{column}\d+"[^>]*><is><t>(cls_\w+)</t>', sheet)
