"""Whatever is asked for, nothing outside of what is allowed is named."""

import os

from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import UrlRefused
from app.storage import AllowedUris

ALLOWED = AllowedUris.parse(["s3://bucket/in/", "file:///data/in", "abfs://box/"])

PIECES = (
    "s3:// file:// S3:// zip:: bucket data in a.jpg / // . .. %2e \\ ? # @ : \0 \n \udc80 \u00e9"
)
pieces = st.lists(st.sampled_from(PIECES.split(" ")), max_size=8).map("".join)
uris = st.one_of(
    st.text(),
    pieces,
    st.builds("s3://bucket/in/{}".format, pieces | st.text()),
    st.builds("file:///data/in/{}".format, pieces | st.text()),
    st.builds("abfs://box{}".format, pieces | st.text()),
)


@given(uris)
@example("s3://bucket/in/a.jpg")
@example("file:///data/in/../in/a.jpg")
def test_what_is_taken_has_one_spelling_and_lies_below(uri):
    """It is read as it is written, and no normalisation leads elsewhere."""
    try:
        place = ALLOWED.judge(uri)
    except UrlRefused:
        return

    assert place.uri(place.path) == uri.removesuffix("/")
    assert (place.scheme, place.root) in ALLOWED.prefixes
    assert os.path.normpath(place.path) == place.path
    assert os.path.commonpath([place.path, place.root]) == place.root
    place.path.encode()
