"""Generating the JSON Schema of messages and the tables of `docs/wire.md` from their types.

`make schema` writes both; tests check that they match the types.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from auricle.wire.messages import TYPES, VERSION, Computed, Message, Placed
from auricle.wire.pcm import PcmHeader

SCHEMA: Final = Path(__file__).with_name("schema.json")
"""The JSON Schema of all messages, shipped with the package."""

_TABLE: Final = re.compile(r"<!-- fields of (?P<name>\w+) -->\n.*?<!-- end -->", re.DOTALL)

_BASES: Final[tuple[type[msgspec.Struct], ...]] = (Message, Placed, Computed)

_NOT_SENT: Final = {"received", "values"}
"""Fields that are not in the map: set by the subscriber, or sent in a separate frame."""

_ALWAYS_SENT: Final = ("v", "engine", "topic_id", "seq", "published")
"""Fields that the server sets in every message."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the maps of all published messages, with a definition for each type."""
    references, definitions = msgspec.json.schema_components(
        TYPES, schema_hook=lambda kind: {"type": "array"}, ref_template="#/$defs/{name}"
    )
    for definition in definitions.values():
        # Python 3.13 takes the indentation out of docstrings, earlier versions leave it in.
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    for name in (kind.__name__ for kind in TYPES):
        properties = definitions[name]["properties"]
        for field in _NOT_SENT:
            properties.pop(field, None)
        for field in _ALWAYS_SENT:
            properties[field].pop("default")
        definitions[name]["required"] = ["type", *_ALWAYS_SENT, *definitions[name]["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Messages of Auricle, version {VERSION}",
        "anyOf": list(references),
        "$defs": definitions,
    }


def with_tables(page: str) -> str:
    """Write the table of each type between its markers on a Markdown page.

    Args:
        page: Text with pairs of lines `<!-- fields of TYPE -->` and `<!-- end -->`.

    Returns:
        The page, where each table lists the fields that the type adds to those of its base class.
    """
    all_kinds: tuple[type[msgspec.Struct], ...] = (*_BASES, *TYPES, PcmHeader)
    kinds = {kind.__name__: kind for kind in all_kinds}

    def table(match: re.Match[str]) -> str:
        lines = "\n".join(_rows(kinds[match["name"]]))
        return f"<!-- fields of {match['name']} -->\n{lines}\n<!-- end -->"

    return _TABLE.sub(table, page)


def _rows(kind: type[msgspec.Struct]) -> Iterator[str]:
    """Lines of a Markdown table of the fields that a type adds to those of its base class."""
    yield "| field | type | unit | |"
    yield "|---|---|---|---|"
    if kind is Message:
        yield "| `type` | text | | type of the message, second part of the topic |"
    inherited = {
        field.name
        for base in _BASES
        if base is not kind and issubclass(kind, base)
        for field in msgspec.structs.fields(base)
    }
    properties = _properties(kind)
    for field in msgspec.structs.fields(kind):
        if field.name in inherited | _NOT_SENT:
            continue
        form = properties[field.encode_name]
        unit, about = _unit(field.type), form.get("description", "")
        yield f"| `{field.name}` | {_form(form)} | {unit} | {about} |"


def _properties(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    _, definitions = msgspec.json.schema_components(
        [kind], schema_hook=lambda kind: {"type": "array"}, ref_template="{name}"
    )
    properties: Mapping[str, Any] = definitions[kind.__name__]["properties"]
    return properties


def _unit(annotation: Any) -> str:
    for meta in getattr(annotation, "__metadata__", ()):
        if meta.extra:
            return str(meta.extra.get("unit", ""))
    return ""


_FORMS: Final = {
    "string": "text",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "nil",
}


def _form(schema: Mapping[str, Any]) -> str:
    """A JSON type in the words of `docs/wire.md`."""
    if "anyOf" in schema:
        return " or ".join(_form(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return "map"
    if "enum" in schema:
        return "text"
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(map(_form, schema['prefixItems']))}]"
        return f"[{_form(schema['items'])}, ...]"
    if schema.get("type") == "object":
        return "{text: " + _form(schema["additionalProperties"]) + "}"
    return _FORMS[schema["type"]]


def main(page: Path = Path("docs/wire.md")) -> None:
    """Write the schema, and the tables of `docs/wire.md`, below the working directory."""
    schema = msgspec.json.format(msgspec.json.encode(json_schema()), indent=2)
    SCHEMA.write_bytes(schema + b"\n")
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
