"""Dispatchers over deployments of the provider `azure`, and `local` to fall back to."""

import pytest

from app.settings import Settings
from app.settings_groups import ApiSettings, AzureOpenAISettings, TrafficSettings
from app.telemetry.health import Health
from app.telemetry.metrics import Metrics
from app.traffic import Dispatcher
from tests.fakes import FakeProvider, Registry, unkept_books


@pytest.fixture
def dispatcher():
    def made(*deployments: FakeProvider, limits=(), traffic=None, timeout=30.0, **options):
        given = dict(limits)
        settings = Settings(
            azure_openai=AzureOpenAISettings(
                endpoint="https://x", api_key="k", deployment="unused"
            ),
            deployments=[
                {"name": each.deployment, "rpm": 600, **given.get(each.deployment, {})}
                for each in deployments
            ],
            api=ApiSettings(timeout=timeout, **options),
            traffic=traffic or TrafficSettings(),
        )
        return Dispatcher(
            Registry(*deployments, FakeProvider("local")),
            settings,
            Metrics(),
            Health(),
            unkept_books(),
            jitter=lambda: 0.5,
        )

    return made
