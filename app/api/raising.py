"""Which errors a route raises, noted where they come from, so that openapi.json can tell them."""

from collections.abc import Callable
from typing import Any, TypeVar, get_args, get_type_hints

from app.errors import ClassifierError

Kind = type[ClassifierError]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Raises:
    """In the type of a parameter, `Annotated[str, Path(), Raises(BatchNotFound)]`: what every route
    raises that has it. As the decorator of a route, `@Raises(BatchOver)`: what it raises besides.
    """

    def __init__(self, *errors: Kind) -> None:
        self.errors = errors

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        vars(endpoint)["raises"] = self
        return endpoint


def raised_by(endpoint: Callable[..., Any]) -> set[Kind]:
    """What is noted of a route and of its parameters."""
    hints = get_type_hints(endpoint, include_extras=True).values()
    noted = (
        getattr(endpoint, "raises", None),
        *(part for each in hints for part in get_args(each)),
    )
    return {kind for each in noted if isinstance(each, Raises) for kind in each.errors}
