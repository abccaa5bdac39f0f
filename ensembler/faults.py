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
    if kind != "extra_forbidden":
        message = message.removeprefix("Value error, ")
        return f"{_spelt(place)}: {message}" if place else message
    sentence = unknown_name("key", str(place[-1]), _keys_at(place[:-1], model))
    return f"{_spelt(place[:-1])}: {sentence}" if place[:-1] else sentence


def _spelt(place: Place) -> str:
    return ".".join(map(str, place))


def _keys_at(place: Place, model: type[BaseModel]) -> list[str]:
    """The keys that are known at a place; numbers and keys of mappings lead no deeper."""
    for step in place:
        field = model.model_fields.get(str(step))
        model = (_model_within(field.annotation) if field else None) or model
    return list(model.model_fields)


def _model_within(annotation: object) -> type[BaseModel] | None:
    """The model that `X`, `X | None`, `tuple[X, ...]` or `dict[str, X]` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_within, get_args(annotation))), None)
