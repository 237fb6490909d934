"""Any server that speaks the OpenAI chat API: OpenAI, vLLM, Ollama, llama.cpp."""

import openai

from app.errors import ConfigurationError
from app.prices import Tariff
from app.providers.base import ProviderContext
from app.providers.chat import ChatModel
from app.providers.profiles import UNKNOWN_FAMILY


def create(context: ProviderContext) -> ChatModel:
    """Raises ConfigurationError."""
    server = context.settings.openai
    if not server.model:
        raise ConfigurationError("set OPENAI_MODEL, and OPENAI_BASE_URL where it is not OpenAI")
    known = context.models.family(server.model) is not UNKNOWN_FAMILY
    client = openai.AsyncOpenAI(
        base_url=server.base_url,
        # Servers that need no key still get a value: the SDK insists on one.
        api_key=server.api_key.get_secret_value() if server.api_key else "none",
        max_retries=0,
    )
    return ChatModel(
        client,
        tariff=Tariff(agreed=server.price),
        name="openai_compatible",
        deployment=server.model,
        model=server.model,
        models=context.models,
        workers=context.workers,
        # All such servers know the older spelling.
        max_tokens_parameter=None if known else "max_tokens",
    )
