"""Receivers of webhooks, for whichever test wants them."""

import pytest

from tests.receiver import receiver


@pytest.fixture
async def inbox():
    async with receiver() as there:
        yield there


@pytest.fixture
async def other():
    async with receiver() as there:
        yield there
