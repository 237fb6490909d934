"""Reads a chat model's choice: the class, and how probable each class is."""

from app.errors import ProviderAnswerInvalid, ProviderError, ProviderRefused
from app.providers.chat_answer import Choice, content_filtered
from app.providers.codes import Distribution, read_distribution
from app.providers.question import FIELD, ChatQuestion


def read_choice(choice: Choice, question: ChatQuestion) -> tuple[str, Distribution]:
    """Return the code of the chosen class and the distribution over the codes. Raises
    ContentFiltered, ProviderRefused, ProviderAnswerInvalid."""
    _check_finished(choice)
    code, percent = question.parse(choice.message.content)
    if percent is not None:
        return code, _stated(question, code, percent)
    read = _distribution(choice, question)
    if read is None:
        raise ProviderAnswerInvalid("The model's answer carries no probabilities.")
    return code, read


def lacks_only_probabilities(choice: Choice, question: ChatQuestion) -> bool:
    """Whether the answer is valid except that it carries no probabilities."""
    try:
        _check_finished(choice)
        question.parse(choice.message.content)
    except ProviderError:
        return False
    return _distribution(choice, question) is None


def _distribution(choice: Choice, question: ChatQuestion) -> Distribution | None:
    return read_distribution(choice.tokens or (), tuple(question.labels), field=FIELD)


def _stated(question: ChatQuestion, code: str, percent: int) -> Distribution:
    """The stated confidence for the answer, the rest spread evenly over the other offered codes."""
    confidence = percent / 100
    rest = (1 - confidence) / (len(question.labels) - 1)
    return Distribution(
        {each: confidence if each == code else rest for each in question.labels}, coverage=1.0
    )


def _check_finished(choice: Choice) -> None:
    """Raises ContentFiltered, ProviderRefused, ProviderAnswerInvalid."""
    if choice.finish_reason == "content_filter":
        raise content_filtered("stopped the answer", choice.content_filter_results)
    if choice.message.refusal:
        raise ProviderRefused("The model declines to say what the picture shows.")
    if choice.finish_reason == "length":
        raise ProviderAnswerInvalid("The model's answer was cut off.")
