"""What is made from the code is as the code is."""

import json

import pytest

from docs.generate import ROOT, generated

FILES = generated()


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_not_stale(name):
    """`make docs` would change nothing."""
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name]


def test_every_field_of_a_body_has_a_description_or_an_example():
    """Swagger UI leaves no reader guessing."""
    shapes = json.loads(FILES["openapi.json"])["components"]["schemas"]

    bare = [
        f"{name}.{field}"
        for name, shape in shapes.items()
        for field, schema in shape.get("properties", {}).items()
        if not ({"description", "examples", "$ref", "enum", "anyOf"} & schema.keys())
        and "items" not in schema
    ]

    assert bare == []
