"""The errors of Azure OpenAI, as observed or documented; docs/simulator.md says which."""

import math
from typing import Any

from app.simulator.reply import HTML, Dialect, Reply

FILTERED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management "
    "policy. Please modify your prompt and retry. To learn more about our content filtering "
    "policies please read our documentation: https://go.microsoft.com/fwlink/?linkid=2198766"
)
SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
VIOLENT = {**SAFE, "violence": {"filtered": True, "severity": "high"}}


class Unacceptable(Exception):
    """The call is answered with an error: `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body.decode())
        self.reply = reply


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> Reply:
    """The 400 for a request that is invalid in itself."""
    return Reply.json(400, {"error": _fields(message, "invalid_request_error", param, code)})


def unsupported_parameter(name: str, instead: str | None = None) -> Reply:
    hint = f" Use '{instead}' instead." if instead else ""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
    return invalid(message, param=name, code="unsupported_parameter")


def unsupported_temperature(value: float) -> Reply:
    message = (
        f"Unsupported value: 'temperature' does not support {value} with this model. Only the "
        "default (1) value is supported."
    )
    return invalid(message, param="temperature", code="unsupported_value")


def invalid_effort(value: str, efforts: tuple[str, ...]) -> Reply:
    quoted = [f"'{each}'" for each in efforts]
    known = ", ".join(quoted[:-1]) + f", and {quoted[-1]}"
    message = f"Invalid value: '{value}'. Supported values are: {known}."
    return invalid(message, param="reasoning_effort", code="invalid_value")


def invalid_picture() -> Reply:
    error = {"code": "BadRequest", "message": "Invalid image data", "param": None, "type": None}
    return Reply.json(400, {"error": error})


def unreachable_picture(url: str) -> Reply:
    return invalid(f"Timeout while downloading {url}.", code="invalid_image_url")


def wrong_key() -> Reply:
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide "
        "a valid key for an active subscription and use a correct regional API endpoint for your "
        "resource."
    )
    return Reply.json(401, {"error": {"code": "401", "message": message}})


def wrong_token() -> Reply:
    message = (
        "Unauthorized. Access token is missing, invalid, audience is incorrect "
        "(https://cognitiveservices.azure.com), or have expired."
    )
    return Reply.json(401, {"statusCode": 401, "message": message})


def no_deployment() -> Reply:
    message = (
        "The API deployment for this resource does not exist. If you created the deployment within "
        "the last 5 minutes, please wait a moment and try again."
    )
    return Reply.json(404, {"error": {"code": "DeploymentNotFound", "message": message}})


def no_resource() -> Reply:
    return Reply.json(404, {"error": {"code": "404", "message": "Resource not found"}})


def over_quota(
    dialect: Dialect, model: str, limit: str, api_version: str | None, wait_s: float
) -> Reply:
    """429; `limit` is `call` or `token`."""
    wait = math.ceil(wait_s)
    if dialect == "dated":
        code = "RateLimitReached"
        message = (
            f"Your requests to {model} for {model} in East US 2 have exceeded the {limit} rate "
            "limit for your current OpenAI S0 pricing tier. This request was for "
            f"ChatCompletions_Create under Azure OpenAI API version {api_version}. Please retry "
            f"after {wait} seconds. To increase your default rate limit, visit: "
            "https://aka.ms/oai/quotaincrease."
        )
    else:
        code = "429"
        message = (
            "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded "
            f"{limit} rate limit of your current AIServices S0 pricing tier. Please retry after "
            f"{wait} seconds. Please contact Azure support service if you would like to further "
            "increase the default rate limit."
        )
    return Reply.json(429, {"error": {"code": code, "message": message}})


def no_capacity() -> Reply:
    message = (
        "The service is temporarily unable to process your request. Please retry after 10 seconds."
    )
    error = {"code": "429", "message": message, "param": None, "type": None}
    return Reply.json(429, {"error": error}).having(
        {"retry-after": "10", "retry-after-ms": "10000"}
    )


def prompt_filtered(dialect: Dialect) -> Reply:
    why = "ResponsibleAIPolicyViolation"
    error: dict[str, Any] = {"code": "content_filter", "message": FILTERED, "param": "prompt"}
    if dialect == "dated":
        inner = {"code": why, "content_filter_result": VIOLENT}
        error |= {"type": None, "status": 400, "innererror": inner}
    else:
        error |= {"type": None, "inner_error": {"code": why, "content_filter_results": VIOLENT}}
    return Reply.json(400, {"error": error})


def timed_out() -> Reply:
    error = {"code": "Timeout", "message": "The operation was timeout."}
    return Reply.json(408, {"error": error})


def broken() -> Reply:
    message = "The server had an error processing your request. Sorry about that!"
    return Reply.json(500, {"error": _fields(message, "server_error", None, None)})


def broken_without_words() -> Reply:
    return Reply(500, b"", content_type=HTML)


def bad_gateway() -> Reply:
    page = (
        b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center>"
        b"<h1>502 Bad Gateway</h1></center>\r\n<hr><center>Microsoft-Azure-Application-Gateway/v2"
        b"</center>\r\n</body>\r\n</html>\r\n"
    )
    return Reply(502, page, content_type=HTML)


def unavailable() -> Reply:
    message = "The service is temporarily unable to process your request. Please try again later."
    return Reply.json(503, {"error": {"code": "ServiceUnavailable", "message": message}})


def _fields(
    message: str, kind: str | None, param: str | None, code: str | None
) -> dict[str, str | None]:
    return {"code": code, "message": message, "param": param, "type": kind}
