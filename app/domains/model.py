"""What a domain is: its classes, its prompt, and how sure an answer must be."""

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

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_CLASSES = 500

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
        (), description="Other names; the local model looks them up too.", examples=[["pay-phone"]]
    )


def _class_of(value: object) -> object:
    return {"label": value} if isinstance(value, str) else value


AnyClass = Annotated[DomainClass, BeforeValidator(_class_of)]


class DomainSpec(BaseModel):
    """A domain without its name, as config/domains.yaml and the API hold it."""

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
        description="What a chat model is told; `{classes}` becomes the table of classes.",
    )
    confidence_threshold: float = Field(
        0.7, ge=0, le=1, description="Answers below it need review."
    )
    max_retries: int | None = Field(
        None, ge=0, le=10, description="Calls after the first one; unset: `api.max_retries`."
    )
    detail: Literal["low", "high", "auto"] = Field(
        "low", description="How closely a chat model looks; `high` costs more tokens."
    )
    image_size: int = Field(
        512, ge=64, le=2048, description="Longest side of the picture that is sent, in pixels."
    )
    quality: Literal["warn", "review", "reject"] = Field(
        "warn",
        description="What becomes of bad pictures: they are answered with a warning, need review "
        "too, or are refused.",
    )
    allow_none: bool = Field(False, description='Whether "none of these" is an answer.')
    providers: tuple[str, ...] = Field(
        (), description="Who is asked, in this order, the next one when one is down.", max_length=8
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "{classes}" not in self.prompt_template:
            raise ValueError("prompt_template must contain {classes}")
        if any(each.label.casefold() == "none" for each in self.classes):
            raise ValueError("classes: 'none' is no class, it is what allow_none allows")
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

    @cached_property
    def version(self) -> str:
        """Changes with everything that changes what a provider is asked; 12 hex digits."""
        asked: dict[str, Any] = self.model_dump(
            include={"classes", "prompt_template", "detail", "image_size", "allow_none"}
        )
        text = json.dumps(asked, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
