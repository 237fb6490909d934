"""Azure OpenAI: GPT-4o and its successors, by key or with tokens from Microsoft Entra ID."""

from collections.abc import Awaitable, Callable
from typing import Any

import openai

from app.errors import ConfigurationError, ProviderDenied
from app.providers.base import ProviderContext
from app.providers.chat import ChatModel
from app.settings_groups import AzureOpenAISettings, DeploymentSettings

Token = Callable[[], Awaitable[str]]


class AzureOpenAI(ChatModel):
    """A deployment, and the credential that has to be closed with it."""

    gen_ai_provider = "azure.ai.openai"

    def __init__(self, client: openai.AsyncOpenAI, *, credential: Any = None, **model: Any) -> None:
        super().__init__(client, **model)
        self._credential = credential

    async def aclose(self) -> None:
        await super().aclose()
        if self._credential is not None:
            await self._credential.close()


def create(context: ProviderContext) -> list[AzureOpenAI]:
    """Build one provider for each deployment. Raises ConfigurationError."""
    settings = context.settings
    if not settings.azure_configured:
        raise ConfigurationError(
            "set AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY and AZURE_OPENAI_DEPLOYMENT"
        )
    return [_deployment(each, context) for each in settings.azure_deployments]


def _deployment(deployment: DeploymentSettings, context: ProviderContext) -> AzureOpenAI:
    azure = context.settings.azure_openai
    credential = _credential(azure) if deployment.auth == "entra" else None
    key = deployment.api_key.get_secret_value() if deployment.api_key else ""
    return AzureOpenAI(
        _client(deployment, _token(credential, azure) if credential else key),
        credential=credential,
        name="azure_openai",
        deployment=deployment.deployment or "",
        label=deployment.name,
        model=deployment.model,
        models=context.models,
        workers=context.workers,
        tariff=deployment.tariff,
    )


def _client(deployment: DeploymentSettings, auth: str | Token) -> openai.AsyncOpenAI:
    """Client for the v1 API, or for the dated one. This service retries, not the SDK."""
    endpoint, version = deployment.endpoint, deployment.api_version
    if version is None:
        return openai.AsyncOpenAI(base_url=f"{endpoint}/openai/v1/", api_key=auth, max_retries=0)
    by_key = {"api_key": auth} if isinstance(auth, str) else {"azure_ad_token_provider": auth}
    return openai.AsyncAzureOpenAI(
        azure_endpoint=endpoint or "", api_version=version, max_retries=0, **by_key
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
            # Many kinds of credential can be behind this call, each raising errors of its own.
            raise ProviderDenied("Microsoft Entra ID gives no token.") from error

    return token
