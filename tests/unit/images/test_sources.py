"""Where pictures come from."""

import pytest

from app.egress import Allowance, EgressClient
from app.images import Base64Text, ImageReader, ImageWorkers, Upload
from app.storage import AllowedUris, BlobStore, ObjectStore


@pytest.mark.parametrize("source", [Upload(b"picture"), Base64Text("cGljdHVyZQ==")])
async def test_a_picture_is_read_once_and_held_no_longer(source):
    """Who waits for an answer must not hold the upload; reading it again is a mistake."""
    workers = ImageWorkers(1)
    egress, blobs = EgressClient(allow=Allowance.parse(())), BlobStore("memory://blobs")
    reader = ImageReader(egress, workers, blobs, ObjectStore(AllowedUris()), max_bytes=100)

    assert await reader.read(source) == b"picture"
    with pytest.raises(RuntimeError, match="read before"):
        await reader.read(source)
    workers.close()
