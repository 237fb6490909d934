"""config/domains.yaml."""

from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter

from app.domains.model import NAME_PATTERN, Domain, DomainSpec
from app.yaml_file import YamlFile

_ADAPTER = TypeAdapter(
    dict[Annotated[str, StringConstraints(pattern=NAME_PATTERN)], DomainSpec],
)


def read_domains(path: Path) -> dict[str, Domain]:
    """Raises ConfigurationError with file, line, key and reason of every complaint."""
    specs = YamlFile.read(path).validate(_ADAPTER)
    return {
        name: Domain(name=name, **{key: getattr(spec, key) for key in DomainSpec.model_fields})
        for name, spec in specs.items()
    }
