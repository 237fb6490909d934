"""Lists folders in memory that does not grow with their size."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.storage.uris import Location, lies_under

AZURE_PAGE = 1_000
"""Blobs held at a time; S3 pages have this size anyway."""


@dataclass(frozen=True, slots=True)
class Found:
    """
    Attributes:
        name: its path in the folder.
        size: in bytes; None: it is not a file, or a link that leads outside the allowed folder.
    """

    name: str
    uri: str
    size: int | None


def entries_below(files: Any, path: str, place: Location) -> Iterator[Found]:
    """All files under the folder `path`, recursively. Raises what the back end raises."""
    if place.scheme == "file":
        entries = _local(path, os.path.realpath(place.root))
    elif hasattr(files, "call_s3"):
        entries = _s3(files, path)
    elif hasattr(files, "service_client"):
        entries = _azure(files, path)
    else:
        entries = _folder_by_folder(files, path)
    for each, size in entries:
        yield Found(each.lstrip("/")[len(path.lstrip("/")) + 1 :], place.uri(each), size)


def _local(path: str, root: str) -> Iterator[tuple[str, int | None]]:
    """Linked folders are not followed: they may form a cycle."""
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file() and lies_under(os.path.realpath(entry.path), root):
                    yield entry.path, entry.stat().st_size
                else:
                    yield entry.path, None


def _s3(files: Any, path: str) -> Iterator[tuple[str, int | None]]:
    """In pages of a thousand: `ls` and `find` hold the whole listing."""
    bucket, _, folder = path.partition("/")
    query = {"Bucket": bucket, "Prefix": f"{folder}/" if folder else ""}
    while True:
        page = files.call_s3("list_objects_v2", **query)
        for each in page.get("Contents", ()):
            if not each["Key"].endswith("/"):  # placeholder of a folder in consoles
                yield f"{bucket}/{each['Key']}", each["Size"]
        if not page.get("IsTruncated"):
            return
        query["ContinuationToken"] = page["NextContinuationToken"]


def _azure(files: Any, path: str) -> Iterator[tuple[str, int | None]]:
    """In pages, too."""
    from azure.core.exceptions import ResourceNotFoundError
    from fsspec.asyn import sync  # type: ignore[import-untyped]

    container, _, folder = path.partition("/")
    blobs = files.service_client.get_container_client(container).list_blobs(
        name_starts_with=f"{folder}/" if folder else None,
        include=["metadata"],
        results_per_page=AZURE_PAGE,
    )
    pages = blobs.by_page()

    async def next_page() -> list[Any] | None:
        try:
            return [each async for each in await anext(pages)]
        except StopAsyncIteration:
            return None
        except ResourceNotFoundError:
            raise FileNotFoundError(container) from None

    while (page := sync(files.loop, next_page)) is not None:
        for each in page:
            stands_for_folder = (each.metadata or {}).get("hdi_isfolder") == "true"
            if not (stands_for_folder or each.name.endswith("/")):
                yield f"{container}/{each.name}", each.size


def _folder_by_folder(files: Any, path: str) -> Iterator[tuple[str, int | None]]:
    """fsspec itself has no pages: holds one folder at a time."""
    folders = [path]
    while folders:
        folder = folders.pop()
        for each in files.ls(folder, detail=True):
            name = each["name"].rstrip("/")
            if name.strip("/") == folder.strip("/"):
                continue  # an empty object that stands for the folder
            if each["type"] == "directory":
                folders.append(name)
            else:
                yield name, each["size"]
