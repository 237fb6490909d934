"""Whose answers are whose."""

import pytest

from app.providers.base import Capabilities


@pytest.mark.parametrize(
    ("known", "answered", "may_be"),
    [
        ("unknown", "gpt-4o-2024-11-20", True),
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-11-20", True),
        ("gpt-5.4", "gpt-5.4-2026-03", True),
        ("gpt-4", "gpt-4-0613", True),
        ("grok-4", "grok-4-20250709", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", False),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4", "gpt-4.1-2025-04-14", False),
        ("gpt-4o-mini", "gpt-4o-2024-11-20", False),
        ("gpt-4o", "gpt-4o-", False),
    ],
)
def test_only_a_version_may_follow_a_models_name(known, answered, may_be):
    assert Capabilities(known, None, True, "logprobs").may_be(answered) is may_be
