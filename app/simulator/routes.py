"""The HTTP API of Azure OpenAI: both ways to call a deployment, with a key or a token."""

import hmac
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pydantic_core
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.simulator import errors
from app.simulator.answers import DeclaredTruth, LocalModel
from app.simulator.asked import Asked
from app.simulator.call_log import CallLog
from app.simulator.config import SimulatorConfig
from app.simulator.control import control
from app.simulator.deployment import Call, Deployment
from app.simulator.errors import Unacceptable
from app.simulator.parameters import malformed
from app.simulator.reply import Reply, call_headers
from app.simulator.sending import Sending

API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")


def create_simulator(
    config: SimulatorConfig,
    *,
    clock: Callable[[], float] = time.time,
    log: CallLog | None = None,
) -> ASGIApp:
    """The application. `clock` gives Unix time, to which quota windows are aligned; `log` gets
    every call, and is closed by its creator.

    The fault `reset` needs a server with the ASGI extension `simulator.reset`, such as `Server`.
    """
    local = LocalModel()
    truth = DeclaredTruth(config.seed, config.truth)
    deployments = {
        each.name: Deployment(
            each, truth=truth, local=local, seed=config.seed, clock=clock, log=log
        )
        for each in config.deployments
    }

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        local.close()

    chat = Chat(deployments, config.key)
    paths = ("/openai/v1", "/openai/deployments/{deployment}")
    return Starlette(
        lifespan=lifespan,
        routes=[
            *(Route(f"{each}/chat/completions", chat.answer, methods=["POST"]) for each in paths),
            # Rarely called routes come last, so that they don't slow down the measured ones.
            Mount("", _rest(deployments)),
        ],
    )


def _rest(deployments: Mapping[str, Deployment]) -> FastAPI:
    """`/_sim`, and the answer for unknown paths."""
    app = FastAPI(
        title="Azure OpenAI simulator",
        openapi_url="/_sim/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(control(deployments))
    app.router.default = _nothing_there
    return app


async def _nothing_there(scope: Scope, receive: Receive, send: Send) -> None:
    await Sending(errors.no_resource().having(call_headers(None)))(scope, receive, send)


class Chat:
    """Answers chat completions."""

    def __init__(self, deployments: Mapping[str, Deployment], key: str | None) -> None:
        self._deployments = deployments
        self._key = key

    async def answer(self, request: Request) -> Any:
        headers = call_headers(request.headers.get("x-ms-client-request-id"))
        try:
            reply = await self._reply(request)
        except Unacceptable as error:
            reply = error.reply
        except ClientDisconnect:
            # The client has gone, so nobody reads this.
            reply = errors.invalid("The body is not whole.")
        return Sending(reply.having(headers))

    async def _reply(self, request: Request) -> Reply:
        """Raises Unacceptable."""
        key = self._checked_key(request)
        name = request.path_params.get("deployment")
        api_version = None
        if name is not None:
            api_version = request.query_params.get("api-version", "")
            if not API_VERSION.fullmatch(api_version):
                return errors.no_resource()
        body = _parsed(await request.body())
        if name is None:
            name = body.get("model")
            if not isinstance(name, str):
                return errors.invalid("You must provide a model parameter.", param="model")
        deployment = self._deployments.get(name)
        if deployment is None:
            return errors.no_deployment()
        if reply := malformed(body):
            return reply
        return await deployment.complete(Call(Asked.read(body), api_version, key))

    def _checked_key(self, request: Request) -> str:
        """Raises Unacceptable."""
        key = request.headers.get("api-key")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = token if scheme.lower() == "bearer" else None
        given = key or bearer
        if given and (self._key is None or hmac.compare_digest(given.encode(), self._key.encode())):
            return given
        raise Unacceptable(errors.wrong_token() if bearer else errors.wrong_key())


def _parsed(body: bytes) -> dict[str, Any]:
    """Raises Unacceptable."""
    try:
        parsed = pydantic_core.from_json(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        message = "We could not parse the JSON body of your request."
        raise Unacceptable(errors.invalid(message))
    return parsed
