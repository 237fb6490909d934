"""`domains`: lists the domains that pictures can be classified in."""

import asyncio
from typing import Any

from app.cli.output import on_terminal, print_json, print_lines, print_record, print_table
from app.cli.start import start
from app.domains import Domain, DomainRegistry
from app.parts import build_parts
from app.settings import Settings

HEADS = ("name", "threshold", "providers", "classes")


def list_domains(*, as_json: bool) -> None:
    """Sorted by name."""
    found = asyncio.run(_asked(start(log_level="warning"), None))
    if as_json:
        for each in found:
            print_json(each)
    elif on_terminal():
        print_table(HEADS, [_row(each, ", ") for each in found])
    else:
        print_lines(_row(each, ",") for each in found)


def show_domain(name: str, *, as_json: bool) -> None:
    """Raises DomainNotFound."""
    (found,) = asyncio.run(_asked(start(log_level="warning"), name))
    if as_json:
        print_json(found)
    else:
        print_record(_fields(found))


async def _asked(settings: Settings, name: str | None) -> list[dict[str, Any]]:
    """In the format of the API."""
    async with build_parts(settings) as parts:
        domains = parts.domains
        found = domains.all() if name is None else [await domains.find(name)]
        return [_told(each, domains) for each in found]


def _told(domain: Domain, domains: DomainRegistry) -> dict[str, Any]:
    source = "file" if domains.is_read_only(domain.name) else "api"
    told = domain.model_dump(mode="json") | {"version": domain.version, "source": source}
    return {"name": told.pop("name"), **told}


def _row(told: dict[str, Any], comma: str) -> list[str]:
    labels = [each["label"] for each in told["classes"]]
    return [
        told["name"],
        f"{told['confidence_threshold']:g}",
        comma.join(told["providers"]),
        comma.join(labels),
    ]


def _fields(told: dict[str, Any]) -> list[tuple[str, Any]]:
    """One line for each class."""
    fields = [(name, value) for name, value in told.items() if name != "classes"]
    return [*fields, *(("class", _class(each)) for each in told["classes"])]


def _class(told: dict[str, Any]) -> str:
    """`phone: mobile or desk phone (pay-phone)`."""
    description = f": {told['description']}" if told["description"] else ""
    aliases = f" ({', '.join(told['aliases'])})" if told["aliases"] else ""
    return f"{told['label']}{description}{aliases}"
