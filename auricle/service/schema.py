"""The JSON Schema of graph files, for editors."""

from __future__ import annotations

from typing import Any, cast

from auricle.nodes import CLASSES
from auricle.service.building import NodeClasses, find_class
from auricle.service.graph_file import GraphFile


def json_schema(classes: NodeClasses = CLASSES) -> dict[str, Any]:
    """JSON Schema of graph files, with the parameters of every class that has a short name."""
    schema = GraphFile.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    general = definitions.pop("NodeSpec")
    known = [_schema_of_class(name, classes, general, definitions) for name in classes]
    own = {
        **general,
        "properties": {**general["properties"], "class": {"type": "string", "pattern": ":"}},
    }
    schema["properties"]["nodes"]["items"] = {"anyOf": [*known, own]}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return cast(dict[str, Any], _without_open_properties(schema))


def _schema_of_class(
    name: str, classes: NodeClasses, general: dict[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    """Schema of a node of one class; definitions of its parameters are moved to `definitions`."""
    node_class = find_class(name, classes)
    params = node_class.Params.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(params.pop("$defs", {}))
    first_line = (node_class.__doc__ or "").partition("\n")[0]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **general["properties"],
            "class": {"const": name, "description": first_line},
            "params": params,
        },
        "required": ["id", "class", *(["params"] if params.get("required") else [])],
    }


def _without_open_properties(schema: object) -> object:
    """A schema without `additionalProperties: true`, which is the default.

    Newer versions of pydantic write it, older ones do not; the file in the tree is to be the same.
    """
    if isinstance(schema, list):
        return [_without_open_properties(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_open_properties(part)
        for key, part in schema.items()
        if not (key == "additionalProperties" and part is True)
    }
