"""Pydantic's validation errors of a user's file as one line of text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel, ValidationError

from ensembler.errors import unknown_name

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]


def faults_of(
    error: ValidationError, model: type[BaseModel], sentences: Mapping[str, str] | None = None
) -> str:
    """All faults of a document, each once and with its place.

    Args:
        error: the exception that pydantic raised.
        model: the model of the document; for an unknown key, the nearest of its keys is offered.
        sentences: for a key of the document, the sentence that replaces all faults below it: for a
            union, pydantic reports a fault for each alternative.

    Returns:
        One line without a full stop, the faults between semicolons.
    """
    details = error.errors()
    told = (
        (sentences or {}).get(str(next(iter(detail["loc"]), ""))) or _fault(detail, model)
        for detail in details
        if not _follows(detail, details)
    )
    return "; ".join(dict.fromkeys(told))


def _follows(detail: ErrorDetails, details: Iterable[ErrorDetails]) -> bool:
    """Whether a list is too short only because an item of it was refused."""
    place = detail["loc"]
    within = (other["loc"][: len(place)] == place for other in details if other is not detail)
    return detail["type"] == "too_short" and any(within)


def _fault(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, place = detail["type"], detail["loc"]
    unknown = kind == "extra_forbidden"
    spelt, keys = _walk(place[:-1] if unknown else place, model)
    if unknown:
        sentence = unknown_name("key", str(place[-1]), keys)
    else:
        sentence = detail["msg"].removeprefix("Value error, ") + _found(detail)
    return f"{spelt}: {sentence}" if spelt else sentence


def _found(detail: ErrorDetails) -> str:
    """The value that was found, where it is a single one and pydantic does not tell it."""
    value, kind = detail["input"], detail["type"]
    if kind in ("value_error", "missing") or not isinstance(value, str | int | float | None):
        return ""
    if kind == "literal_error" and isinstance(value, str):
        options = re.findall("'(.*?)'", detail.get("ctx", {}).get("expected", ""))
        nearest = get_close_matches(value, options, n=1)
        return f", not {value!r}" + (f"; did you mean {nearest[0]!r}?" if nearest else "")
    return f", not {value!r}"


def _walk(place: Place, model: type[BaseModel]) -> tuple[str, list[str]]:
    """A place as the document spells it, and the keys that are known there.

    Numbers and keys of mappings lead no deeper. In a union of models discriminated by `kind`,
    pydantic's place has a step that the document lacks: the kind.
    """
    spelt: list[str] = []
    models = [model]
    for step in map(str, place):
        kinds = {_kind(candidate): candidate for candidate in models}
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
    """The models within an annotation such as `X | Y`, `tuple[X, ...]` or `dict[str, X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_within(part)]
