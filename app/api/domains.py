"""`/domains`: what pictures may be classified as."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from app.api.dependencies import Caller, InMemory, Joined, Operator
from app.api.raising import Raises
from app.domains import NAME_PATTERN, Domain, DomainSpec
from app.errors import ConfigurationRefused, DomainExists, DomainNotFound, DomainReadOnly

router = APIRouter(prefix="/domains", tags=["domains"])

NameOfDomain = Annotated[str, Path(max_length=64, examples=["garden-birds"])]
DomainName = Annotated[NameOfDomain, Raises(DomainNotFound)]
NewDomainName = Annotated[str, Path(pattern=NAME_PATTERN, examples=["garden-birds"])]


class DomainView(DomainSpec):
    """A domain, and where it comes from."""

    name: str = Field(examples=["garden-birds"])
    version: str = Field(
        description="Changes with what providers are asked: classes, prompt, size of the picture "
        "and so on.",
        examples=["0f3b1c2d4e5f"],
    )
    source: Literal["file", "api"] = Field(
        description="`file`: config/domains.yaml, read-only here. `api`: created by POST or PUT."
    )


class DomainList(BaseModel):
    domains: list[DomainView]


def _view(domain: Domain, parts: Joined) -> DomainView:
    source = "file" if parts.domains.is_read_only(domain.name) else "api"
    return DomainView(**domain.model_dump(), version=domain.version, source=source)


@router.get("")
async def list_domains(parts: InMemory, caller: Caller) -> DomainList:
    """List all domains, by name."""
    return DomainList(domains=[_view(domain, parts) for domain in parts.domains.all()])


@router.post("", status_code=201)
@Raises(DomainExists)
async def create_domain(
    domain: Domain, response: Response, parts: Joined, operator: Operator
) -> DomainView:
    """Create a domain; the next request can use it."""
    await parts.domains.create(domain, by=operator.by)
    response.headers["Location"] = f"/domains/{domain.name}"
    return _view(domain, parts)


@router.post("/reload")
@Raises(ConfigurationRefused)
async def reload_domains(parts: Joined, operator: Operator) -> DomainList:
    """Read config/domains.yaml again. If it is invalid, the last valid version stays in force."""
    parts.domains.reload_file()
    await parts.audit.add(operator.by, "domains.reloaded")
    await parts.audit.add_when_new(operator.by, "domain.configured", parts.domains.configured)
    return await list_domains(parts, operator)


@router.get("/{name}")
async def get_domain(name: DomainName, parts: Joined, caller: Caller) -> DomainView:
    """Get one domain."""
    return _view(await parts.domains.find(name), parts)


@router.put("/{name}")
@Raises(DomainNotFound, DomainReadOnly)
async def replace_domain(
    name: NewDomainName, spec: DomainSpec, parts: Joined, operator: Operator
) -> DomainView:
    """Replace a domain that was created through the API."""
    domain = Domain(name=name, **spec.model_dump())
    await parts.domains.replace(domain, by=operator.by)
    return _view(domain, parts)


@router.delete("/{name}", status_code=204)
@Raises(DomainReadOnly)
async def delete_domain(name: DomainName, parts: Joined, operator: Operator) -> None:
    """Delete a domain that was created through the API, with its examples and lessons. Its results
    stay."""
    await parts.domains.delete(name, by=operator.by)
    await parts.lessons.load()
