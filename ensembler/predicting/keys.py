"""The keys of an adapter's config, in words: from the same class that checks them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ensembler.store.model import Frozen

Schema = Mapping[str, Any]

PLAIN: Final = {"string": "text", "boolean": "true or false", "object": "table", "array": "list"}
BOUNDS: Final = {
    "minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<",
}  # fmt: skip
NOTHING: Final = {"type": "null"}
PLACEHOLDERS: Final = {"string": "…", "boolean": False, "array": [], "number": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """A key that a definition's `[config]` may have.

    Attributes:
        name: with dots where it is a key of a table, as in "head.kind".
        kind: what it may be, in words, as in "integer ≥ 1".
        required: whether it must be given, wherever its table is.
        value: the default, as plain data; None where it is unset. Of a required key, something of
            its kind that is to be replaced.
        about: what it is; empty where its class does not say.
    """

    name: str
    kind: str
    required: bool
    value: Any
    about: str


def config_keys(config: type[Frozen]) -> tuple[ConfigKey, ...]:
    """Every key of a config, in its class's order; those of a table follow it.

    Args:
        config: an adapter's.
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
    """What a field refers to; of `X | None` what X is, since a file cannot say None."""
    if "$ref" in field:
        return shared[field["$ref"].rpartition("/")[2]]
    choices = [one for one in field.get("anyOf", field.get("allOf", ())) if one != NOTHING]
    return _resolved(choices[0], shared) if len(choices) == 1 else field


def _kind(schema: Schema, shared: Mapping[str, Schema]) -> str:
    schema = _resolved(schema, shared)
    if "anyOf" in schema:
        return " or ".join(_kind(one, shared) for one in schema["anyOf"] if one != NOTHING)
    if "enum" in schema or "const" in schema:
        known = schema.get("enum", [schema.get("const")])
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in known)
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
    """Something of a kind, to be replaced."""
    schema = _resolved(schema, shared)
    if "enum" in schema or "const" in schema:
        return schema.get("enum", [schema.get("const")])[0]
    if schema.get("type") == "integer":
        return schema.get("minimum", 0)
    if schema.get("type") != "object":
        return PLACEHOLDERS.get(schema.get("type", "string"), "…")
    fields = schema.get("properties", {})
    found = {key: _placeholder(fields[key], shared) for key in schema.get("required", ())}
    if schema.get("minProperties") and isinstance(schema.get("additionalProperties"), Mapping):
        found["…"] = _placeholder(schema["additionalProperties"], shared)
    return found
