"""One simulator behind a real server, and how it is asked."""

import base64

import httpx2
import openai

from app.simulator import (
    DeploymentConfig,
    Latency,
    SimulatorConfig,
    create_simulator,
)
from tests.conftest import PHOTOGRAPHS

KEY = "simulated-key"
CODES = ("A", "B", "C", "D")
FLOWERS = ("dandelion", "rose", "sunflower", "daisy")
SYSTEM = "You are a botanist.\n" + "\n".join(map(" = ".join, zip(CODES, FLOWERS, strict=True)))
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": list(CODES)}},
            "required": ["label"],
            "additionalProperties": False,
        },
    },
}
ROSE = (PHOTOGRAPHS / "rose.jpg").read_bytes()


def data_url(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def question(picture: bytes | str = ROSE, **more):
    url = picture if isinstance(picture, str) else data_url(picture)
    return {
        "model": "eyes",
        "messages": [
            {"role": "system", "content": SYSTEM},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}],
            },
        ],
        "response_format": FORM,
        "max_completion_tokens": 32,
        **more,
    }


class Simulator:
    """One simulator, and the clock that aligns its windows.

    Attributes:
        now: Unix time, as its quota sees it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.now = 1_800_000_000.0
        self.app = None

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)

    def start(self, *, truth=None, name="eyes", model="gpt-4o", key=KEY, log=None, **behaviour):
        """A new one under the same URL, without latency unless told."""
        told = {"latency": Latency.none(), "accuracy": 1.0, "rpm": 60_000, "tpm": 10**9}
        deployment = DeploymentConfig(name=name, model=model, **(told | behaviour))
        config = SimulatorConfig(deployments=(deployment,), key=key, truth=truth or {})
        self.app = create_simulator(config, clock=lambda: self.now, log=log)

    def sdk(self, **more) -> openai.AsyncOpenAI:
        options = {"api_key": KEY, "max_retries": 0} | more
        return openai.AsyncOpenAI(base_url=f"{self.url}/openai/v1/", **options)

    def dated(self, **more) -> openai.AsyncAzureOpenAI:
        options = {"api_key": KEY, "max_retries": 0, "api_version": "2024-10-21"} | more
        return openai.AsyncAzureOpenAI(azure_endpoint=self.url, **options)

    def look(self) -> dict:
        return httpx2.get(f"{self.url}/_sim", timeout=30).json()["deployments"]["eyes"]["counts"]

    def order(self, **behaviour):
        response = httpx2.post(f"{self.url}/_sim/deployments/eyes", json=behaviour, timeout=30)
        response.raise_for_status()
        return response.json()


async def ask(client, picture=ROSE, **more):
    async with client:
        return await client.chat.completions.with_raw_response.create(**question(picture, **more))
