"""Reads what a storage URI names: a folder of pictures, a list, an archive, or one picture."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from tempfile import TemporaryFile

from app.batches.archive import ARCHIVES, is_litter
from app.batches.rows import Row, Unusable
from app.batches.sources import CSV, JSON_LINES, ZIP, Files
from app.errors import ArchiveRefused, UrlRefused
from app.picture_files import KINDS, too_large
from app.storage import ObjectStore
from app.storage.listings import Found


def rows_at(uri: str, objects: ObjectStore, files: Files) -> Iterator[Row | Unusable]:
    """Pictures stay where they are, and their rows hold their URIs; a list or an archive is copied
    and read as if it had been uploaded. Blocking.

    Raises UrlRefused, UrlUnreachable when nothing is there, UrlTooLarge, ArchiveRefused,
    InvalidRequest for a list that can't be read, StorageUnavailable.
    """
    objects.allowed.judge(uri)
    path = PurePosixPath(uri)
    suffix = path.suffix.lower()
    if suffix in (*JSON_LINES, CSV, ZIP) and not uri.endswith("/"):
        with TemporaryFile() as copy:
            objects.copy(uri, copy, max_bytes=files.max_upload)
            copy.seek(0)
            yield from files.rows(path.name, copy)
    elif uri.endswith("/") or objects.is_folder(uri):
        for found in objects.below(uri):
            if not _is_hidden(found.name):
                yield _row(found, objects, files)
    elif suffix in ARCHIVES:
        raise ArchiveRefused("Of archives only ZIP is taken.")
    else:
        yield Row(path.name, uri, path.name[:255], files.label(path.parent.name))


def _row(found: Found, objects: ObjectStore, files: Files) -> Row | Unusable:
    """Judged only by its metadata: the content is judged when it is read."""
    name = found.name.encode("utf-8", "replace").decode()  # it may be invalid text
    if found.size is None:
        return Unusable(name, "is no file, or a link that leads out of what is allowed")
    if found.size == 0:
        return Unusable(name, "is empty")
    if found.size > files.max_bytes:
        return Unusable(name, too_large(files.max_bytes))
    if not (KINDS.guess_type(found.name)[0] or "image/").startswith("image/"):
        return Unusable(name, "is no picture, by its name")
    try:
        objects.allowed.judge(found.uri)
    except UrlRefused as error:
        return Unusable(name, str(error))
    label = files.label(PurePosixPath(found.uri).parent.name)
    return Row(name, found.uri, name[:255], label)


def _is_hidden(name: str) -> bool:
    return is_litter(name) or any(part.startswith(".") for part in name.split("/"))
