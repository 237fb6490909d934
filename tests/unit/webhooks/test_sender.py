"""What is kept of an answer."""

import pytest

from app.webhooks.sender import MAX_ANSWER, cleaned


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"thanks", "thanks"),
        ("schön\n\tgut".encode(), "schön\n\tgut"),
        (b"\x1b[31mred\x00\x07", "[31mred"),
        ("\u202egnp.exe".encode(), "gnp.exe"),
        (b"caf\xe9", "caf\ufffd"),
        (b"you sent Bearer abc-123", "you sent ***"),
        (b"token abc-123 is wrong", "token *** is wrong"),
        (b"abc\x00-123", "***"),
        (b"x" * 5_000, "x" * MAX_ANSWER),
    ],
)
def test_it_is_for_people_and_gives_nothing_away(answer, kept):
    assert cleaned(answer, ["Bearer abc-123", ""]) == kept
