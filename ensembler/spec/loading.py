"""Reading a frozen spec, and sealing a new one with its digest.

A spec's file is exactly the canonical bytes of what it holds, so every changed byte is found: by
the JSON, by a field's own rules, by the digest or, where only the spelling changed, by comparing
the bytes.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from ensembler.errors import SpecError, first_few
from ensembler.faults import faults_of
from ensembler.spec.composed import ComposedSpec
from ensembler.spec.model import FORMAT, VERSION, Coreset, EnsembleSpec, Provenance, Scores
from ensembler.spec.tensors import Tensors, find_sidecar, read_tensors
from ensembler.spec.thaw import thaw
from ensembler.spec.weighted import WeightedSpec

_REMEDY = "restore it from a copy or write it again with `ensembler fit`"
_UNSEALED = "0" * 64  # stands where the digest goes while the digest is computed


def load_spec(path: str | Path) -> EnsembleSpec:
    """Read a spec of any released version.

    Args:
        path: the file.

    Returns:
        The spec, every field checked, its bytes those that `EnsembleSpec.save` wrote; a composed
        blend with the tensors from beside it.

    Raises:
        SpecError: missing, not a spec, of an unknown version, a faulty field, or changed after it
            was written, it or its tensors; the message names file, field and remedy.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SpecError(
            f"{file} cannot be read ({error.strerror or error}); name the spec that"
            " `ensembler fit` wrote"
        ) from error
    _check_head(file, _parse(file, content))
    try:
        spec = EnsembleSpec.model_validate_json(content)
    except ValidationError as error:
        raise SpecError(f"{file}: {faults_of(error, EnsembleSpec)}; {_REMEDY}") from error
    _check_unchanged(file, content, spec)
    if isinstance(spec.blend, ComposedSpec):
        return _with_tensors(file, spec, spec.blend.tensors)
    return spec


def seal(
    *,
    dim: int,
    blend: WeightedSpec | ComposedSpec,
    scores: Scores,
    provenance: Provenance,
    coreset: Coreset,
    tensors: Tensors | None = None,
) -> EnsembleSpec:
    """Freeze a blend with all that belongs to it under its digest.

    Args:
        dim: the dimension of embeddings and targets.
        blend: members, weights, means and prior; of a composed one the tree too.
        scores: how good it is.
        provenance: where it came from.
        coreset: statistics rows to re-solve the weights from.
        tensors: of a composed blend.

    Returns:
        The spec, ready to be saved.

    Raises:
        ValueError: a vector's size does not fit `dim` or the number of members, or tensors do not
            fit the tree (our bug).
    """
    spec = EnsembleSpec(
        dim=dim,
        blend=blend,
        scores=scores,
        provenance=provenance,
        coreset=coreset,
        digest=_UNSEALED,
        tensors=tensors,
    )
    _check_tree(spec)
    return spec.model_copy(update={"digest": spec.digest_of_contents()})


def _with_tensors(file: Path, spec: EnsembleSpec, sha256: str) -> EnsembleSpec:
    whole = spec.model_copy(update={"tensors": read_tensors(file, sha256)})
    try:
        _check_tree(whole)
    except ValueError as error:
        raise SpecError(
            f"{file} and {find_sidecar(file, sha256)} do not fit: {error}; {_REMEDY}"
        ) from error
    return whole


def _check_tree(spec: EnsembleSpec) -> None:
    """Check that a spec's tree and its fallback name the same members."""
    blended, listed = thaw(spec).members, {member.name for member in spec.weighted.members}
    if set(blended) != listed:
        differing = first_few(sorted(listed.symmetric_difference(blended)))
        raise ValueError(f"the tree and its fallback differ in the members {differing}")


def _parse(file: Path, content: bytes) -> object:
    """The JSON document, stricter than `json`: no key twice, no NaN, no infinity."""
    if not content.strip():
        raise SpecError(f"{file} is empty; {_REMEDY}")
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_unique_keys,
            parse_float=_finite,
            parse_constant=_not_a_number,
        )
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{file} is not whole JSON in UTF-8: {error}; {_REMEDY}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        count = Counter(key for key, _ in pairs)
        twice = first_few(repr(key) for key in count if count[key] > 1)
        raise ValueError(f"key {twice} occurs twice in one object")
    return document


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is beyond float64")
    return value


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _check_head(file: Path, document: object) -> None:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise SpecError(
            f'{file} is not a frozen spec: it lacks "format": "{FORMAT}"; name the spec that'
            " `ensembler fit` wrote"
        )
    if document.get("version") != VERSION:
        raise SpecError(
            f"{file}: version is {document.get('version')!r}; this ensembler reads version"
            f" {VERSION}: upgrade ensembler"
        )


def _check_unchanged(file: Path, content: bytes, spec: EnsembleSpec) -> None:
    try:
        canonical, digest = spec.canonical(), spec.digest_of_contents()
    except ValueError as error:  # half a surrogate pair: JSON can spell it, UTF-8 cannot
        raise SpecError(f"{file} holds text that is not Unicode: {error}; {_REMEDY}") from error
    if spec.digest != digest:
        raise SpecError(
            f"{file}: digest is {spec.digest[:12]}…, the contents have {digest[:12]}…: the file was"
            f" changed after it was written; {_REMEDY}"
        )
    if content != canonical:
        lines = zip_longest(content.split(b"\n"), canonical.split(b"\n"))
        line = next(n for n, (found, written) in enumerate(lines, 1) if found != written)
        raise SpecError(
            f"{file}: line {line} is spelt differently from how it was written, though its values"
            f" are the same; {_REMEDY}"
        )
