"""A file system that fails when a test tells it to: `odd://`."""

from typing import ClassVar

from fsspec import register_implementation
from fsspec.implementations.memory import MemoryFileSystem


class ClientError(Exception):
    """Like botocore's: not an OSError."""


class OddFiles(MemoryFileSystem):
    """In memory, with a store of its own.

    Attributes:
        script: what the next calls raise, one for each; None: nothing.
        read: how many bytes each read requested.
    """

    protocol = "odd"
    cachable = False
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    script: ClassVar[list[Exception | None]] = []
    read: ClassVar[list[int]] = []

    @classmethod
    def start(cls) -> type["OddFiles"]:
        register_implementation("odd", cls, clobber=True)
        for each in (cls.store, cls.script, cls.read):
            each.clear()
        return cls

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + path.removeprefix("odd://").strip("/")

    def info(self, path, **kwargs):
        self._fail()
        return super().info(path, **kwargs)

    def exists(self, path, **kwargs):
        self._fail()
        return super().exists(path, **kwargs)

    def ls(self, path, detail=True, **kwargs):
        self._fail()
        return super().ls(path, detail=detail, **kwargs)

    def cat_file(self, path, start=None, end=None, **kwargs):
        self._fail()
        self.read.append(end)
        return super().cat_file(path, start, end, **kwargs)

    def _fail(self) -> None:
        if self.script and (error := self.script.pop(0)) is not None:
            raise error
