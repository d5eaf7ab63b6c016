"""JSON schemas made small: every client's model pays for ``tools/list`` in tokens.

Pydantic's schemas say much that a caller does not need. Here goes what changes no answer: titles,
closed-object marks, "or null" of optional arguments, references; and from outputs, whose values the
hub has checked already, every bound and pattern.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = dict[str, Any]

_INPUT: Final = frozenset(
    {
        "type",
        "description",
        "enum",
        "const",
        "format",
        "pattern",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "required",
        "default",
    }
)
_OUTPUT: Final = frozenset({"type", "enum", "const"})
_DEEP: Final = 2
"""An object further in than a result's own lists of objects is only said to be one."""
_LONG: Final = 5
"""An enumeration of more values is not repeated in results."""


def compact_input(schema: Schema) -> Schema:
    """Give an argument schema without what a caller does not need."""
    small = _walk(schema, schema.get("$defs", {}), _INPUT, nullable=False)
    return {"type": "object", "properties": {}, **small}


def compact_output(schema: Schema) -> Schema:
    """Give a result schema of types alone; of what is required, the outermost."""
    small = _walk(schema, schema.get("$defs", {}), _OUTPUT, nullable=True, depth=_DEEP)
    return small | {"required": schema["required"]} if "required" in schema else small


def _walk(
    schema: Schema,
    definitions: Mapping[str, Schema],
    kept: frozenset[str],
    *,
    nullable: bool,
    depth: int = 100,
) -> Schema:
    def again(part: Schema, further: int = 0) -> Schema:
        return _walk(part, definitions, kept, nullable=nullable, depth=depth - further)

    if "$ref" in schema:
        target = dict(definitions[schema["$ref"].rpartition("/")[2]])
        target.pop("description", None)  # the class's docstring, not the argument's
        return again(target | {key: value for key, value in schema.items() if key != "$ref"})
    small = {
        key: value
        for key, value in schema.items()
        if key in kept and not (key == "default" and value is None)
    }
    if nullable and len(small.get("enum", ())) > _LONG:
        del small["enum"]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            small |= _union([again(part) for part in schema[key]], nullable)
    if "properties" in schema and depth:
        small["properties"] = {name: again(part, 1) for name, part in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        small["items"] = again(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        small |= _values(schema["additionalProperties"], again)
    return small


def _union(parts: list[Schema], nullable: bool) -> Schema:
    """Give the union of schemas; one that may be null where that matters."""
    given = [part for part in parts if part.get("type") != "null" and part != {}]
    if len(given) == 1 and (len(parts) == 1 or not nullable):
        return given[0]
    if len(given) == 1 and isinstance(given[0].get("type"), str) and "enum" not in given[0]:
        return given[0] | {"type": [given[0]["type"], "null"]}
    return {"anyOf": [part for part in parts if part != {}]} if given else {}


def _values(part: Schema, again: Callable[[Schema], Schema]) -> Schema:
    small = again(part)
    return {"additionalProperties": small} if small else {}
