"""Azure OpenAI: GPT-4o and its successors, by key or with tokens from Microsoft Entra ID."""

from collections.abc import Awaitable, Callable
from typing import Any

import openai

from app.errors import ConfigurationError, ProviderRejected
from app.providers.base import ProviderContext
from app.providers.chat import ChatModel
from app.settings import AzureOpenAISettings

Token = Callable[[], Awaitable[str]]


class AzureOpenAI(ChatModel):
    """A deployment, and the credential that has to be closed with it."""

    def __init__(self, client: openai.AsyncOpenAI, *, credential: Any = None, **model: Any) -> None:
        super().__init__(client, **model)
        self._credential = credential

    async def aclose(self) -> None:
        await super().aclose()
        if self._credential is not None:
            await self._credential.close()


def create(context: ProviderContext) -> AzureOpenAI:
    """Raises ConfigurationError."""
    azure = context.settings.azure_openai
    if not azure.endpoint or not azure.deployment:
        raise ConfigurationError(
            "set AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY and AZURE_OPENAI_DEPLOYMENT"
        )
    credential = _credential(azure) if azure.auth == "entra" else None
    key = azure.api_key.get_secret_value() if azure.api_key else ""
    return AzureOpenAI(
        _client(azure.endpoint, azure, _token(credential, azure) if credential else key),
        credential=credential,
        name="azure_openai",
        deployment=azure.deployment,
        model=azure.model,
        models=context.models,
        workers=context.workers,
    )


def _client(endpoint: str, azure: AzureOpenAISettings, auth: str | Token) -> openai.AsyncOpenAI:
    """The v1 API, or the dated one. Retries are ours, not the SDK's."""
    if azure.api_version is None:
        return openai.AsyncOpenAI(base_url=f"{endpoint}/openai/v1/", api_key=auth, max_retries=0)
    by_key = {"api_key": auth} if isinstance(auth, str) else {"azure_ad_token_provider": auth}
    return openai.AsyncAzureOpenAI(
        azure_endpoint=endpoint, api_version=azure.api_version, max_retries=0, **by_key
    )


def _credential(azure: AzureOpenAISettings) -> Any:
    try:
        from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential
    except ImportError:
        raise ConfigurationError(
            "AZURE_OPENAI_AUTH=entra needs the extra `azure`: pip install azure-identity aiohttp"
        ) from None
    if azure.client_id:
        return ManagedIdentityCredential(client_id=azure.client_id)
    return DefaultAzureCredential()


def _token(credential: Any, azure: AzureOpenAISettings) -> Token:
    from azure.identity.aio import get_bearer_token_provider

    provider = get_bearer_token_provider(credential, azure.token_scope)

    async def token() -> str:
        try:
            return str(await provider())
        except Exception as error:
            # Credentials of many kinds stand behind this one, and raise what they like.
            raise ProviderRejected("Microsoft Entra ID gives no token.") from error

    return token
