"""Every complaint about a file names file, line, key and reason."""

import pytest
from pydantic import BaseModel, ConfigDict

from app.errors import ConfigurationError
from app.yaml_file import YamlFile


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int
    names: list[str] = []


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner


def complaints(tmp_path, text: str) -> list[str]:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        YamlFile.read(path).validate(Outer)
    return [line.removeprefix(f"{tmp_path}/") for line in str(raised.value).splitlines()]


def test_a_right_file_is_taken(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("inner: {size: 3, names: [ä]}\n", encoding="utf-8")

    file = YamlFile.read(path)

    assert file.validate(Outer) == Outer(inner=Inner(size=3, names=["ä"]))
    assert file.holds(("inner", "size"))
    assert not file.holds(("inner", "length"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# a\ninner:\n\n  size: x\n", ["a.yaml:4: inner.size: "]),
        ("inner:\n  size: 1\n  names:\n    - a\n    - 7\n", ["a.yaml:5: inner.names.1: "]),
        ("inner:\n  size: 1\n  colour: red\n", ["a.yaml:3: inner.colour: "]),
        ("\ninner: {}\n", ["a.yaml:2: inner.size: "]),
        ("inner:\n  size: x\n  y: 1\nz: 2\n", ["a.yaml:2: ", "a.yaml:3: ", "a.yaml:4: "]),
        ("", ["a.yaml:1: (the whole file): "]),
        ("- 1\n", ["a.yaml:1: (the whole file): "]),
        ("inner:\n  size: 1\n  size: 2\n", ["a.yaml:3: size: is there twice"]),
        ("inner: [\n", ["a.yaml:2: "]),
        ("a: b: c\n", ["a.yaml:1: "]),
        ("inner:\n\tsize: 1\n", ["a.yaml:2: "]),
        ("a: *x\n", ["a.yaml:1: "]),
        ("a: !!python/object:os.system {}\n", ["a.yaml:1: "]),
        ("{a: 1}: 2\n", ["a.yaml:1: "]),
        ("[a]: 2\n", ["a.yaml:1: "]),
        ("a: 1\x07\n", ["a.yaml:1: "]),
        ("a: &x\n  <<: *x\n  b: 1\n", ["a.yaml:"]),
        ("a: &x [*x]\n", ["a.yaml:1: "]),
        ("a: 2026-99-99\n", ["a.yaml:1: "]),
    ],
)
def test_a_wrong_place_is_named(tmp_path, text, told):
    """The line of the key, or of the nearest one above it that is there."""
    found = complaints(tmp_path, text)

    assert len(found) >= len(told)
    assert all(line.startswith(start) for line, start in zip(found, told, strict=False))


@pytest.mark.parametrize("content", [b"\xff\xfea: 1", b"a: \xe4\n"])
def test_what_is_not_utf_8_is_refused(tmp_path, content):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="not UTF-8"):
        YamlFile.read(path)


def test_a_file_that_can_not_be_read_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigurationError, match=str(path)):
            YamlFile.read(path)
