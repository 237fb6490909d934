"""The schema of XML exports, whatever their columns."""

from collections.abc import Sequence

from app.exports.columns import COLUMNS, Column, Kind, Tree, tree

TYPES: dict[Kind, str] = {
    "text": "xs:string",
    "integer": "xs:integer",
    "number": "xs:double",
    "boolean": "xs:boolean",
    "time": "xs:dateTime",
    "texts": "any",
    "numbers": "any",
    "json": "any",
}

HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="results">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="result" type="result" minOccurs="0" maxOccurs="unbounded"/>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
"""

ANY = """\
  <!-- Whatever JSON can hold: a text, unless `type` says otherwise. -->
  <xs:complexType name="any" mixed="true">
    <xs:choice minOccurs="0" maxOccurs="unbounded">
      <xs:element name="value" type="any"/>
      <xs:element name="entry">
        <xs:complexType mixed="true">
          <xs:complexContent mixed="true">
            <xs:extension base="any">
              <xs:attribute name="key" type="xs:string" use="required"/>
            </xs:extension>
          </xs:complexContent>
        </xs:complexType>
      </xs:element>
    </xs:choice>
    <xs:attribute name="type">
      <xs:simpleType>
        <xs:restriction base="xs:string">
          <xs:enumeration value="null"/>
          <xs:enumeration value="boolean"/>
          <xs:enumeration value="number"/>
          <xs:enumeration value="list"/>
          <xs:enumeration value="map"/>
        </xs:restriction>
      </xs:simpleType>
    </xs:attribute>
  </xs:complexType>
</xs:schema>
"""


def schema() -> str:
    """XML Schema 1.0. Elements may be absent, and appear in any order."""
    body = '  <xs:complexType name="result">\n' + _all(tree(COLUMNS), COLUMNS, 4)
    return HEAD + body + "  </xs:complexType>\n" + ANY


def _all(branch: Tree, columns: Sequence[Column], indent: int) -> str:
    space = " " * indent
    elements = (_element(name, part, columns, indent + 2) for name, part in branch.items())
    return f"{space}<xs:all>\n{''.join(elements)}{space}</xs:all>\n"


def _element(name: str, part: Tree | int, columns: Sequence[Column], indent: int) -> str:
    space = " " * indent
    if isinstance(part, int):
        kind = TYPES[columns[part].kind]
        return f'{space}<xs:element name="{name}" type="{kind}" minOccurs="0"/>\n'
    return (
        f'{space}<xs:element name="{name}" minOccurs="0">\n{space}  <xs:complexType>\n'
        f"{_all(part, columns, indent + 4)}{space}  </xs:complexType>\n{space}</xs:element>\n"
    )
