"""Defines a domain: its classes, its prompt, and how sure an answer must be."""

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from app.result import NONE

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_CLASSES = 500

ACCURACY = 0.97
"""Target accuracy of accepted answers, 0 to 1, unless another one is given."""

PRIOR = 1.0
"""Votes that are spread evenly over the choices before any is cast."""

Label = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00\n\r]*$"
    ),
]


class DomainClass(BaseModel):
    """One class: its label, and what helps a model to recognise it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    label: Label = Field(examples=["phone"])
    description: str | None = Field(
        None, max_length=500, description="Shown to the model.", examples=["mobile or desk phone"]
    )
    aliases: tuple[Label, ...] = Field(
        (),
        description="Other names; the local model looks these up, too.",
        examples=[["pay-phone"]],
    )


def _class_of(value: object) -> object:
    return {"label": value} if isinstance(value, str) else value


AnyClass = Annotated[
    DomainClass, BeforeValidator(_class_of, json_schema_input_type=Label | DomainClass)
]


class Cascade(BaseModel):
    """The first provider's answers are kept if they are sure enough; the next one is asked about
    the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy: float = Field(
        ACCURACY,
        gt=0,
        lt=1,
        strict=True,
        description="How often answers should be right that are kept without asking the next "
        "provider; the confidence that this takes is learned from labels, or from what the local "
        "model was taught with.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        strict=True,
        description="That confidence, if you know it; unset: from data.",
    )
    second_opinion: bool = Field(
        False,
        strict=True,
        description="Whether a person should look if the next provider contradicts an answer that "
        "was not sure enough.",
    )


class DomainSpec(BaseModel):
    """A domain without its name, as in config/domains.yaml and the API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field("", max_length=1000, examples=["Garden birds of Europe"])
    classes: tuple[AnyClass, ...] = Field(
        min_length=2,
        max_length=MAX_CLASSES,
        description="Labels, or objects with `label`, `description`, `aliases`.",
        examples=[["robin", "sparrow", {"label": "tit", "aliases": ["chickadee"]}]],
    )
    prompt_template: str = Field(
        "Which of these classes does the image show?\n{classes}",
        max_length=8000,
        description="The prompt for a chat model; `{classes}` is replaced by the table of classes.",
    )
    confidence_threshold: float = Field(
        0.7, ge=0, le=1, strict=True, description="Answers with less confidence need review."
    )
    margin: float = Field(
        0.1,
        ge=0,
        le=1,
        strict=True,
        description="Answers whose lead over the next most probable class is smaller need review.",
    )
    orders: Literal[1, 2] = Field(
        1,
        description="In how many orders a chat model is offered the classes, one call for each, so "
        "that a preference for some positions matters less. If there are more classes than it "
        "returns probabilities of, the second call offers the most probable ones.",
    )
    votes: int = Field(
        1,
        ge=1,
        le=15,
        strict=True,
        description="Maximum number of calls to a model that returns no probabilities; how many of "
        "them name a class determines how probable it is. 1: the model is asked how sure it is.",
    )
    max_retries: int | None = Field(
        None,
        ge=0,
        le=10,
        strict=True,
        description="Further calls after the first one; unset: `api.max_retries`.",
    )
    detail: Literal["low", "high", "auto"] = Field(
        "low",
        description="How closely a chat model looks at the picture; `high` costs more tokens.",
    )
    image_size: int = Field(
        512,
        ge=64,
        le=2048,
        strict=True,
        description="Longest side of the picture that is sent, in pixels.",
    )
    quality: Literal["warn", "review", "reject"] = Field(
        "warn",
        description="What happens to bad pictures: they are answered with a warning, also need "
        "review, or are refused.",
    )
    allow_none: bool = Field(
        False, strict=True, description='Whether "none of these" is a possible answer.'
    )
    providers: tuple[str, ...] = Field(
        (),
        description="Providers in order: each is asked if those before it can't answer in their "
        "share of `api.timeout`.",
        max_length=8,
    )
    cascade: Cascade | None = Field(
        None,
        description="Also ask the next provider if an answer is not sure enough; `{}` for all "
        "defaults. Needs two `providers`.",
    )
    few_shot: int = Field(
        0,
        ge=0,
        le=8,
        strict=True,
        description="How many of the domain's examples a chat model is shown, those most like the "
        "picture; each is billed as a picture.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "{classes}" not in self.prompt_template:
            raise ValueError("prompt_template must contain {classes}")
        if any(each.label.casefold() == NONE for each in self.classes):
            raise ValueError("classes: 'none' is no class, it is what allow_none allows")
        if self.cascade is not None and len(self.providers) < 2:
            raise ValueError("cascade needs two providers at least")
        owner: dict[str, int] = {}
        for position, each in enumerate(self.classes):
            for name in {each.label.casefold(), *map(str.casefold, each.aliases)}:
                if owner.setdefault(name, position) != position:
                    raise ValueError(f"classes: {name!r} names two classes")
        return self


class Domain(DomainSpec):
    """A named domain."""

    name: str = Field(pattern=NAME_PATTERN, examples=["garden-birds"])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return tuple(each.label for each in self.classes)

    @property
    def offered(self) -> tuple[str | None, ...]:
        """What may be answered: the labels, and None for "none of these" where that is allowed."""
        labels = (each.label for each in self.classes)
        return (*labels, None) if self.allow_none else tuple(labels)

    @property
    def choices(self) -> int:
        """How many are `offered`."""
        return len(self.classes) + self.allow_none

    def vote_share(self, votes: int, of: int) -> float:
        """The probability of a choice that has `votes` of `of` votes, above 0 and below 1.

            p = (votes + 1 / choices) / (of + 1)

        This is the mean of a Dirichlet distribution whose prior is worth one vote, evenly spread:
        no choice has the probability 0 for want of a vote. Source: Gelman et al., Bayesian Data
        Analysis, 3rd edition, section 3.4.
        """
        return (votes + PRIOR / self.choices) / (of + PRIOR)

    def votes_lacking(self, votes: int, of: int, *, left: int) -> int:
        """How many more votes lift a choice with `votes` of `of` votes to the threshold; 0 if it is
        there, or can't get there with those that are left."""
        lifting = range(left + 1)
        wanted = self.confidence_threshold
        return next((n for n in lifting if self.vote_share(votes + n, of + n) >= wanted), 0)

    @property
    def least_votes(self) -> int:
        """The least votes that a picture takes: as many as decide it when they all agree, and lift
        the answer to the threshold if that is possible."""
        lacking = self.votes_lacking(1, 1, left=self.votes - 1)
        return max(self.votes // 2, lacking) + 1

    @cached_property
    def truths(self) -> frozenset[str]:
        """What may be named as a picture's true class: one of the classes, or NONE."""
        return frozenset((*self.labels, NONE))

    @cached_property
    def version(self) -> str:
        """Changes with everything that changes what a provider is asked; 12 hex digits."""
        asked: dict[str, Any] = self.model_dump(
            include={"classes", "prompt_template", "detail", "image_size", "allow_none"}
        )
        for name, usual in (("orders", 1), ("votes", 1), ("few_shot", 0)):
            if getattr(self, name) != usual:
                asked[name] = getattr(self, name)
        text = json.dumps(asked, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
