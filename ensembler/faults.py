"""What pydantic finds wrong with a user's file, as one line of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from pydantic import BaseModel, ValidationError

from ensembler.errors import unknown_name

Place = tuple[int | str, ...]


def faults_of(
    error: ValidationError, model: type[BaseModel], sentences: Mapping[str, str] | None = None
) -> str:
    """All faults of a document, each once and with its place.

    Args:
        error: what pydantic raised.
        model: what the document should have been; an unknown key is answered with the nearest of
            its keys.
        sentences: for a key of the document, what to say whatever is wrong there: of a union,
            pydantic tells a fault for each of its shapes.

    Returns:
        One line without a full stop, the faults between semicolons.
    """
    found = (
        (sentences or {}).get(str(next(iter(fault["loc"]), "")))
        or _fault(fault["type"], fault["loc"], fault["msg"], model)
        for fault in error.errors()
    )
    return "; ".join(dict.fromkeys(found))


def _fault(kind: str, place: Place, message: str, model: type[BaseModel]) -> str:
    unknown = kind == "extra_forbidden"
    spelt, keys = _walk(place[:-1] if unknown else place, model)
    if unknown:
        sentence = unknown_name("key", str(place[-1]), keys)
    else:
        sentence = message.removeprefix("Value error, ")
    return f"{spelt}: {sentence}" if spelt else sentence


def _walk(place: Place, model: type[BaseModel]) -> tuple[str, list[str]]:
    """A place as the document spells it, and the keys that are known there.

    Numbers and keys of mappings lead no deeper. Of models told apart by their `kind`, pydantic
    takes a step that is in no document: the kind.
    """
    spelt: list[str] = []
    models = [model]
    for step in map(str, place):
        kinds = {_kind(found): found for found in models}
        if len(models) > 1 and step in kinds:
            models = [kinds[step]]
            continue
        spelt.append(step)
        field = models[0].model_fields.get(step)
        models = (_models_within(field.annotation) if field else []) or models
    return ".".join(spelt), list(models[0].model_fields)


def _kind(model: type[BaseModel]) -> object:
    field = model.model_fields.get("kind")
    return field and field.default


def _models_within(annotation: object) -> list[type[BaseModel]]:
    """The models that `X`, `X | Y`, `X | None`, `tuple[X, ...]` or `dict[str, X]` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_within(part)]
