"""Which parameters a model refuses."""

from collections.abc import Collection, Iterator
from typing import Any

from app.simulator.asked import MOST_CHOICES, Asked
from app.simulator.errors import (
    invalid,
    invalid_effort,
    unsupported_parameter,
    unsupported_temperature,
)
from app.simulator.models import Model
from app.simulator.reply import Reply

MOST_LOGPROBS = 20


def complaint(asked: Asked, model: Model, refuses: Collection[str]) -> Reply | None:
    """The first error; None when the model accepts everything. `refuses` names parameters that it
    refuses in addition to those that it never accepts."""
    return next(_complaints(asked, model, refuses), None)


def malformed(parameters: dict[str, Any]) -> Reply | None:
    """Errors that are independent of the model, including values that nothing could make sense
    of."""
    for name, least, most in (
        ("n", 1, MOST_CHOICES),
        ("max_tokens", 1, None),
        ("max_completion_tokens", 1, None),
        ("top_logprobs", 0, MOST_LOGPROBS),
    ):
        value = parameters.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            message = f"Invalid value for '{name}': expected an integer of {bounds}."
            return invalid(message, param=name, code="invalid_value")
    temperature = parameters.get("temperature")
    if temperature is not None and not (
        isinstance(temperature, int | float) and 0 <= temperature <= 2
    ):
        message = "Invalid value for 'temperature': expected a number of 0 to 2."
        return invalid(message, param="temperature", code="invalid_value")
    effort = parameters.get("reasoning_effort")
    if effort is not None and not isinstance(effort, str):
        message = "Invalid type for 'reasoning_effort': expected a string."
        return invalid(message, param="reasoning_effort", code="invalid_type")
    if parameters.get("stream"):
        message = "Unsupported value: 'stream' does not support true here."
        return invalid(message, param="stream", code="unsupported_value")
    return None


def _complaints(asked: Asked, model: Model, refuses: Collection[str]) -> Iterator[Reply]:
    given = asked.parameters
    yield from (unsupported_parameter(name) for name in sorted(refuses) if name in given)
    if model.reasons and given.get("max_tokens") is not None:
        yield unsupported_parameter("max_tokens", "max_completion_tokens")
    if asked.effort is not None:
        if not model.reasons:
            yield unsupported_parameter("reasoning_effort")
        elif asked.effort not in model.efforts:
            yield invalid_effort(asked.effort, model.efforts)
    if not model.samples(asked.effort):
        if given.get("logprobs"):
            yield unsupported_parameter("logprobs")
        if given.get("top_logprobs") is not None:
            yield unsupported_parameter("top_logprobs")
        temperature = given.get("temperature")
        if temperature not in (None, 1):
            yield unsupported_temperature(temperature)
    if given.get("top_logprobs") is not None and not given.get("logprobs"):
        message = "'top_logprobs' is only allowed when 'logprobs' is enabled."
        yield invalid(message, param="top_logprobs", code="invalid_value")
