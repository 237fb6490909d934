"""Parameters that a deployment takes: those its family is known for, less those it has refused."""

from typing import Any

import openai
import structlog

from app.errors import ProviderAdjusting
from app.providers.chat_answer import ChatAnswer
from app.providers.chat_reading import lacks_only_probabilities
from app.providers.profiles import UNKNOWN_FAMILY, ModelTable
from app.providers.question import ChatQuestion

log = structlog.stdlib.get_logger(__name__)

TOP_LOGPROBS = 20
ANSWER_TOKENS = 32
REASONING_TOKENS = 4_096
"""Caps of the completion, without and with room for reasoning."""

REFUSALS = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
DROPPABLE = frozenset({"temperature", "reasoning_effort", "logprobs"})
"""Parameters that a call can do without."""


class Learned:
    """
    Attributes:
        model: the model behind the deployment; None: not known yet.
        family: the family of that model.
    """

    def __init__(
        self,
        models: ModelTable,
        *,
        label: str,
        model: str | None,
        max_tokens_parameter: str | None,
    ) -> None:
        self.model = model
        self.family = models.family(model)
        self._models = models
        self._label = label
        self._max_tokens_parameter = max_tokens_parameter
        self._dropped: set[str] = set()
        self._may_reason = False

    @property
    def gives_logprobs(self) -> bool:
        return self.family.logprobs and "logprobs" not in self._dropped

    @property
    def completion_cap(self) -> int:
        reasons = self._may_reason or self._effort not in (None, "none")
        return REASONING_TOKENS if reasons else ANSWER_TOKENS

    @property
    def thinks(self) -> bool:
        """Whether it reasons even at the least effort that it accepts."""
        return self._may_reason or self._effort not in (None, "none", "minimal")

    def parameters(self, question: ChatQuestion, cap: int) -> dict[str, Any]:
        """Parameters of a call, apart from the question itself."""
        parameters: dict[str, Any] = {
            "response_format": question.response_format,
            self._spelling: cap,
        }
        if self._effort:
            parameters["reasoning_effort"] = self._effort
        takes_temperature = self.family.temperature and "temperature" not in self._dropped
        if takes_temperature and not question.is_sample:
            parameters["temperature"] = 0
        if self.gives_logprobs:
            parameters |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return parameters

    def drops(self, error: openai.BadRequestError, parameters: dict[str, Any]) -> bool:
        """Whether the call was refused for a parameter that is dropped or respelled from now on."""
        refused = "logprobs" if error.param == "top_logprobs" else str(error.param)
        if refused not in parameters:
            return False
        if refused in ("max_tokens", "max_completion_tokens"):
            if self._spelling != refused:
                return True  # a concurrent call has already learned it
            if self._max_tokens_parameter == "max_completion_tokens":
                return False
            self._max_tokens_parameter = (
                "max_tokens" if refused == "max_completion_tokens" else "max_completion_tokens"
            )
        elif refused in DROPPABLE and (error.code in REFUSALS or refused == "reasoning_effort"):
            self._dropped.add(refused)
        else:
            return False
        log.info("the model refuses a parameter", deployment=self._label, parameter=refused)
        return True

    def learn(self, answer: ChatAnswer, question: ChatQuestion, cap: int) -> None:
        """Learn about the model from its answer. Raises ProviderAdjusting when it therefore has to
        be asked again."""
        if self.model is None and answer.model:
            self.model = answer.model
            self.family = self._models.family(answer.model)
            known = self.family is not UNKNOWN_FAMILY
            log.info("model found", model=answer.model, known=known)
        choice = answer.choices[0]
        if choice.finish_reason == "length" and cap < REASONING_TOKENS:
            self._may_reason = True
            raise ProviderAdjusting("The model reasons, and the cap of a short answer cut it off.")
        if not question.stated and lacks_only_probabilities(choice, question):
            self._dropped.add("logprobs")
            log.info("the model gives no logprobs", deployment=self._label)
            raise ProviderAdjusting("The model gives no logprobs.")

    @property
    def _effort(self) -> str | None:
        return None if "reasoning_effort" in self._dropped else self.family.reasoning_effort

    @property
    def _spelling(self) -> str:
        return self._max_tokens_parameter or self.family.max_tokens_parameter
