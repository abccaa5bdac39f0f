"""Results of finished fits: the numbers that tables show, kept in the cache folder.

A file of arrays for each fit, none of them pickled. The cache folder keeps one folder of them for
each blender on each store, foldings, weights and all; its name is the digest of whatever decides
the numbers, the code itself included, so that an evaluation goes on where the last one stopped and
never finds what would come out otherwise today.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import read_arrays
from ensembler.blenders.contract import Blender
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blending.weighting import Weighting
from ensembler.caching import cache_folder, lock_entry, mark_used
from ensembler.evaluation.parts import as_plain_data, parts_of
from ensembler.evaluation.rows import Extremes
from ensembler.files import BROKEN, atomic_write, sha256_arrays, sha256_json
from ensembler.fitting.inputs import study_identity
from ensembler.spec.freeze import versions


@dataclass(frozen=True, eq=False, kw_only=True)
class Finished:
    """One fit, without a fold or on all rows.

    Attributes:
        members: those it blends.
        objective: mean cosine on its training rows; NaN of a fit without a fold.
        status: how it ended.
        weighting: the blend in Gram space; None where it is more than weights.
        seconds: that it took.
        cosines: (n,) float64, of the rows of the fold it was without; none of a fit on all rows.
        extremes: the worst and best of these rows.
    """

    members: tuple[str, ...]
    objective: float
    status: str
    weighting: Weighting | None
    seconds: float
    cosines: NDArray[np.float64]
    extremes: Extremes


Fit = Callable[[Data, HeldFolds], Finished]


def cache_fits(fit: Fit, blender: Blender, seed: int, extremes: int) -> Fit:
    """Wrap a fit so that its result is looked up first, and written down once it is made.

    Where nothing can be written it is made every time.

    Args:
        fit: of the blender, the seed in it.
        blender: what is fitted.
        seed: of the fit.
        extremes: how many rows it tells of.
    """

    def cached_fit(data: Data, held_out: HeldFolds) -> Finished:
        folder = _folder(data, blender, seed, extremes)
        if folder is None:
            return fit(data, held_out)
        file = folder / ("-".join(map(str, sorted(held_out))) or "all")
        found = _read(file)
        if found is None:
            found = fit(data, held_out)
            _write(file, found)
        return found

    return cached_fit


def _folder(data: Data, blender: Blender, seed: int, extremes: int) -> Path | None:
    """The folder of a blender's finished fits on some data; None where its code has no files."""
    packages = {type(part).__module__.partition(".")[0] for part in parts_of(blender)}
    try:
        code = [code_digest(package) for package in sorted(packages)]
    except (ImportError, ValueError):  # it was defined in no file, as in a notebook
        return None
    entry = cache_folder() / sha256_json(
        {
            "code": [code_digest("ensembler"), *code],
            "versions": versions(),
            "inputs": study_identity(data.store, data.space),
            "definition": data.space.definition.model_dump(mode="json"),
            "seconds": _seconds(data),
            "fold": sha256_arrays(data.statistics.fold),
            "weight": sha256_arrays(data.statistics.weight),
            "corpus": data.corpus and data.corpus.sha256,
            "blender": as_plain_data(blender),
            "seed": seed,
            "extremes": extremes,
        }
    )
    if not entry.is_dir():
        with lock_entry(entry):
            entry.mkdir(exist_ok=True)
    mark_used(entry)
    return entry


def _seconds(data: Data) -> list[float | None]:
    records = {record.name: record for record in data.store.manifest.members}
    return [records[name].origin.seconds_per_image for name in data.names]


@cache
def code_digest(package: str) -> str:
    """The sha256 of a package's modules.

    Raises:
        ImportError: there is none of this name.
        ValueError: it is not in a file.
    """
    spec = find_spec(package)
    if spec is None:
        raise ImportError(package)
    folders = spec.submodule_search_locations
    files = [Path(spec.origin or "")] if folders is None else []
    for folder in folders or ():
        files += sorted(Path(folder).rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _write(file: Path, finished: Finished) -> None:
    summary = {
        "members": finished.members,
        "objective": finished.objective,
        "status": finished.status,
        "weighting": finished.weighting and asdict(finished.weighting),
        "seconds": finished.seconds,
    }
    content = io.BytesIO()
    rows, vectors = finished.extremes
    np.savez(
        content, summary=np.array(json.dumps(summary)), cosines=finished.cosines, rows=rows,
        vectors=vectors,
    )  # fmt: skip
    with suppress(OSError), atomic_write(file) as opened:
        opened.write(content.getbuffer())


def _read(file: Path) -> Finished | None:
    """The result in a file; None where there is no file, or a broken one."""
    try:
        arrays = read_arrays(file)
        summary = json.loads(str(arrays["summary"]))
        weighting = summary["weighting"]
        return Finished(
            members=tuple(summary["members"]),
            objective=summary["objective"],
            status=summary["status"],
            weighting=weighting and _weighting(**weighting),
            seconds=summary["seconds"],
            cosines=arrays["cosines"],
            extremes=Extremes(arrays["rows"], arrays["vectors"]),
        )
    except BROKEN:
        return None


def _weighting(*, centred: bool, alphas: list[float], weights: list[float]) -> Weighting:
    return Weighting(centred=centred, alphas=tuple(alphas), weights=tuple(weights))
