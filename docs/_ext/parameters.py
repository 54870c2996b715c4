"""Tables of parameters, read from the JSON Schema that pydantic makes of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]

WORDS = {
    "boolean": "true or false",
    "integer": "integer",
    "null": "null",
    "number": "number",
    "object": "mapping",
    "string": "text",
}
"""Types of JSON Schema, as the pages call them."""

BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}


def table(model: type[BaseModel]) -> list[str]:
    """Lines of a Markdown table of a model's fields, then one for each model nested in it."""
    schema = model.model_json_schema(by_alias=True)
    lines = _rows(schema, schema.get("$defs", {}))
    for name, nested in schema.get("$defs", {}).items():
        if "properties" in nested:
            lines += ["", f"**{name}**: {_first_paragraph(nested)}", ""]
            lines += _rows(nested, schema["$defs"])
    return lines


def _rows(schema: Schema, definitions: Schema) -> list[str]:
    properties = schema.get("properties", {})
    if not properties:
        return ["No parameters."]
    required = schema.get("required", [])
    lines = ["| parameter | meaning | type | default | range |", "|---|---|---|---|---|"]
    for name, each in properties.items():
        default = "required" if name in required else _default(each)
        cells = (
            f"`{name}`",
            each.get("description", ""),
            kind_of(each, definitions),
            default,
            range_of(each),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _default(schema: Schema) -> str:
    return f"`{json.dumps(schema.get('default'))}`"


def _first_paragraph(schema: Schema) -> str:
    return " ".join(schema.get("description", "").partition("\n\n")[0].split())


def kind_of(schema: Schema, definitions: Schema) -> str:
    """The type of a value in words, such as `list of text`; null is left out."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return name if "properties" in definitions[name] else kind_of(definitions[name], {})
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    branches = [each for key in ("anyOf", "oneOf", "allOf") for each in schema.get(key, ())]
    if branches:
        kinds = [kind_of(each, definitions) for each in branches if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}), definitions)}"
    if schema.get("format") == "path":
        return "path"
    return WORDS.get(schema.get("type", ""), "any")


def range_of(schema: Schema) -> str:
    """The bounds of a number, the least length of a list, or the pattern of a text."""
    found = list(_bounds(schema))
    for each in schema.get("anyOf", ()):
        found += _bounds(each)
    return ", ".join(found)


def _bounds(schema: Schema) -> Iterator[str]:
    for key, sign in BOUNDS.items():
        if key in schema:
            yield f"{sign} {schema[key]:g}"
    if "minItems" in schema and schema["minItems"] != schema.get("maxItems"):
        yield f"at least {schema['minItems']}"
    if "pattern" in schema:
        yield f"`{schema['pattern']}`"
