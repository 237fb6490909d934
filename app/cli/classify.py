"""`classify`: classify pictures from the shell."""

import asyncio
from pathlib import Path

import typer
from rich.console import Console

from app.classification import Question
from app.cli.output import plain
from app.cli.start import start
from app.errors import ClassifierError
from app.images import ImageSource, Upload, Url
from app.parts import build_parts
from app.result import Result
from app.settings import Settings

CALLER = "command-line"


def classify(pictures: list[str], domain: str, *, provider: str | None, as_json: bool) -> None:
    """Raises ClassifierError; Exit, when a picture got no answer."""
    settings = start(log_level="warning")
    failed = asyncio.run(_classify(settings, pictures, domain, provider, as_json=as_json))
    if failed:
        raise typer.Exit(1)


async def _classify(
    settings: Settings, pictures: list[str], domain: str, provider: str | None, *, as_json: bool
) -> int:
    """Return how many got no answer."""
    out, err = Console(highlight=False, soft_wrap=True), Console(stderr=True, soft_wrap=True)
    failed = 0
    async with build_parts(settings) as parts:
        parts.domains.get(domain)
        for picture in pictures:
            try:
                result = await parts.classification.classify(
                    Question(_source(picture), domain, CALLER, provider=provider)
                )
            except (ClassifierError, OSError) as error:
                failed += 1
                reason = error.strerror if isinstance(error, OSError) else error
                err.print(plain(f"{picture}: {reason}"), style="red", markup=False)
                continue
            if as_json:
                out.print(result.model_dump_json(), markup=False)
            else:
                out.print(plain(_line(picture, result)), markup=False)
    return failed


def _source(picture: str) -> ImageSource:
    if picture.startswith(("http://", "https://")):
        return Url(picture)
    return Upload(Path(picture).read_bytes())


def _line(picture: str, result: Result) -> str:
    answer = result.predicted_class or "none of the classes"
    doubt = f"  (needs review: {', '.join(result.review_reasons)})" if result.review_reasons else ""
    return f"{picture}: {answer} {result.confidence or 0:.1%}{doubt}"
