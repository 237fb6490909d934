"""`config show`: the value of every setting, and where it comes from."""

from functools import reduce

from app.cli.output import as_text, on_terminal, print_json, print_lines, print_table
from app.settings import load_settings, sources
from app.settings_sources import redacted, variable


def show(*, as_json: bool) -> None:
    """Raises ConfigurationError."""
    settings = load_settings()
    found = [
        {
            "key": ".".join(path),
            "variable": variable(path),
            "value": redacted(reduce(getattr, path, settings)),
            "source": source,
            "description": field.description,
        }
        for path, field, source in sources(settings)
    ]
    if as_json:
        for each in found:
            print_json(each)
        return
    names = ("key", "value", "source", "description")
    rows = [[as_text(each[name]) for name in names] for each in found]
    if on_terminal():
        print_table(names, rows)
    else:
        print_lines(rows)
