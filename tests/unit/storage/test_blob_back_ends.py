"""Blobs, wherever fsspec reaches."""

import importlib
import sys

import pytest

from app.errors import BlobNotFound, ConfigurationError, StorageUnavailable
from app.storage import BlobStore
from tests.odd_files import ClientError, OddFiles


@pytest.fixture
def odd():
    return OddFiles.start()


@pytest.fixture
async def blobs():
    store = BlobStore("odd://bucket/blobs")
    yield store
    await store.close()


@pytest.mark.parametrize(
    "error", [ClientError("503"), TimeoutError(), PermissionError(13, "no"), RuntimeError("loop")]
)
async def test_whatever_a_back_end_raises_is_worth_another_try(odd, blobs, error):
    """Also what is no OSError; its text, which may hold anything, is not told."""
    digest = await blobs.put(b"picture")
    odd.script.append(error)

    with pytest.raises(StorageUnavailable, match="can't be kept: ") as told:
        await blobs.get(digest)
    assert "503" not in str(told.value)
    assert await blobs.get(digest) == b"picture"


async def test_what_is_not_there_is_told_apart(odd, blobs):
    with pytest.raises(BlobNotFound):
        await blobs.get("nothing")


@pytest.mark.parametrize(("scheme", "extra"), [("s3", "s3"), ("abfs", "azure-storage")])
def test_a_missing_library_is_told_at_start(monkeypatch, scheme, extra):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "adlfs", None)
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(known, scheme, raising=False)

    with pytest.raises(ConfigurationError, match=rf"BLOBS_URL: {scheme}://: .*`{extra}`"):
        BlobStore(f"{scheme}://bucket/blobs")
