"""Descriptions of the keys of an adapter's config, derived from the class that checks them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ensembler.frozen import Frozen

Schema = Mapping[str, Any]

PLAIN: Final = {"string": "text", "boolean": "true or false", "object": "table", "array": "list"}
BOUNDS: Final = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}
NULL: Final = {"type": "null"}
PLACEHOLDERS: Final = {"string": "…", "boolean": False, "array": [], "number": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """A key that a definition's `[config]` may have.

    Attributes:
        name: the key, with dots where it is in a table, such as "head.kind".
        kind: the values that it takes, in words, such as "integer ≥ 1".
        required: whether the key must be given wherever its table is.
        value: the default as plain data; None where it is unset. For a required key, a placeholder
            of the same kind.
        about: its description; empty where the class has none.
    """

    name: str
    kind: str
    required: bool
    value: Any
    about: str


def config_keys(config: type[Frozen]) -> tuple[ConfigKey, ...]:
    """Every key of a config, in the class's order; the keys of a table follow the table.

    Args:
        config: an adapter's config class.
    """
    schema = config.model_json_schema()
    return tuple(_keys_of(schema, schema.get("$defs", {}), ""))


def _keys_of(schema: Schema, shared: Mapping[str, Schema], table: str) -> Iterator[ConfigKey]:
    for key, field in schema.get("properties", {}).items():
        whole = _resolved(field, shared)
        required = key in schema.get("required", ())
        yield ConfigKey(
            name=f"{table}{key}",
            kind=_kind(whole, shared),
            required=required,
            value=_placeholder(whole, shared) if required else field.get("default"),
            about=field.get("description", ""),
        )
        yield from _keys_of(whole, shared, f"{table}{key}.")


def _resolved(field: Schema, shared: Mapping[str, Schema]) -> Schema:
    """The schema that a field refers to; of `X | None` that of X, since TOML has no None."""
    if "$ref" in field:
        return shared[field["$ref"].rpartition("/")[2]]
    choices = [choice for choice in field.get("anyOf", field.get("allOf", ())) if choice != NULL]
    return _resolved(choices[0], shared) if len(choices) == 1 else field


def _kind(schema: Schema, shared: Mapping[str, Schema]) -> str:
    schema = _resolved(schema, shared)
    if "anyOf" in schema:
        return " or ".join(_kind(choice, shared) for choice in schema["anyOf"] if choice != NULL)
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    if "prefixItems" in schema:
        return f"list of {len(schema['prefixItems'])}: {_kind(schema['prefixItems'][0], shared)}"
    if "items" in schema:
        return f"list: {_kind(schema['items'], shared)}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"table of name = {_kind(schema['additionalProperties'], shared)}"
    name = schema.get("type", "anything")
    limits = [f"{sign} {schema[bound]:g}" for bound, sign in BOUNDS.items() if bound in schema]
    matched = f" matching {schema['pattern']}" if "pattern" in schema else ""
    return f"{PLAIN.get(name, name)} {', '.join(limits)}".rstrip() + matched


def _placeholder(schema: Schema, shared: Mapping[str, Schema]) -> Any:  # noqa: ANN401 - plain data
    """A value of a schema's kind, for the user to replace."""
    schema = _resolved(schema, shared)
    if "enum" in schema or "const" in schema:
        return schema.get("enum", [schema.get("const")])[0]
    if schema.get("type") == "integer":
        return schema.get("minimum", 0)
    if schema.get("type") != "object":
        return PLACEHOLDERS.get(schema.get("type", "string"), "…")
    fields = schema.get("properties", {})
    table = {key: _placeholder(fields[key], shared) for key in schema.get("required", ())}
    if schema.get("minProperties") and isinstance(schema.get("additionalProperties"), Mapping):
        table["…"] = _placeholder(schema["additionalProperties"], shared)
    return table
