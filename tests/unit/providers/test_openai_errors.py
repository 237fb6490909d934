"""Which failed calls may have been billed."""

import httpx2
import openai
import pytest

from app.providers.openai_errors import provider_error

REQUEST = httpx2.Request("POST", "http://127.0.0.1:9/")


def of_status(status: int, code: str | None = None) -> openai.APIStatusError:
    body = {"code": code, "message": "No."}
    response = httpx2.Response(status, request=REQUEST)
    return openai.APIStatusError("No.", response=response, body=body)


def of_connection(cause: Exception) -> openai.APIConnectionError:
    kind = openai.APIConnectionError
    if isinstance(cause, httpx2.TimeoutException):
        kind = openai.APITimeoutError
    error = kind(request=REQUEST)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503])
def test_errors_are_not_billed(status):
    assert not provider_error(of_status(status)).may_be_billed


@pytest.mark.parametrize(("status", "code"), [(400, "content_filter"), (408, None), (504, None)])
def test_the_filter_and_timeouts_may_be_billed(status, code):
    assert provider_error(of_status(status, code)).may_be_billed


@pytest.mark.parametrize(
    "kind", [httpx2.ReadError, httpx2.ReadTimeout, httpx2.WriteError, httpx2.RemoteProtocolError]
)
def test_what_was_sent_and_not_answered_may_be_billed(kind):
    assert provider_error(of_connection(kind("gone"))).may_be_billed


@pytest.mark.parametrize("kind", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout])
def test_what_was_never_sent_is_not_billed(kind):
    assert not provider_error(of_connection(kind("refused"))).may_be_billed


async def test_a_connection_that_is_refused_is_not_billed(unused_tcp_port):
    """As the SDK itself tells it."""
    url = f"http://127.0.0.1:{unused_tcp_port}/"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.APIConnectionError) as caught:
            await client.models.list()

    assert not provider_error(caught.value).may_be_billed
