"""The Gram statistics: all that a blend's score needs, kept scale-free and per row.

With unit vectors `x̂_im` and the unit target `t_i`, a blend with coefficients `v_im` on them scores

    cos_i = Σ_m v_im <x̂_im, t_i> / sqrt(Σ_mn v_im v_in <x̂_im, x̂_in>),

so the pairwise cosines, the cosines with the target and the lengths `‖x_im‖` (which turn weights
and norms into `v_im`) are enough. No search ever passes over rows × members × d again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ensembler.arrays import map_array
from ensembler.files import BROKEN

Precision = Literal["float32", "float64"]
HeldOut = int | frozenset[int] | None  # folds whose targets nothing fitted may know
Layout = dict[str, tuple[tuple[int, ...], str]]  # shapes and types of arrays, by name

SAFE_SQUARES = (1e-20, 1e20)  # squared lengths between which float32 neither under- nor overflows


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Statistics of the members under one centring; M members, P pairs, F folds.

    P is M(M-1)/2, or 0 where the members are known each by itself: `ScarcePairs` has what few pairs
    are asked for.

    Attributes:
        cosines: (rows, P) float32 or float64, between members m < n, the strict upper triangle row
            by row; 0 where either is absent.
        cross: (rows, M) float64, with the row's target; 0 where absent.
        lengths: (rows, M) float64, ‖x‖; 0 where absent.
        fold_cosines: (rows, M, F) like `cosines`, with each fold's mean-target direction.
    """

    cosines: NDArray[np.floating]
    cross: NDArray[np.float64]
    lengths: NDArray[np.float64]
    fold_cosines: NDArray[np.floating]

    @staticmethod
    def shapes(
        rows: int, members: int, folds: int, *, pairs: bool = True
    ) -> dict[str, tuple[int, ...]]:
        """The shape of each array."""
        return {
            "cosines": (rows, members * (members - 1) // 2 if pairs else 0),
            "cross": (rows, members),
            "lengths": (rows, members),
            "fold_cosines": (rows, members, folds),
        }


GEOMETRY: Final = tuple(field.name for field in fields(Geometry))


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Gram statistics of a store's rows, raw and centred.

    Attributes:
        names: the M members, in order.
        weight: (rows,) float64, the row weights.
        fold: (rows,) int64, the evaluation fold of each row, in 0..F-1.
        means: (M, d) float32, each member's mean embedding over the rows of any weight that it
            covers.
        fold_sums: (F, d) float64, each fold's weighted sum of unit targets.
        target_cosines: (rows, F) float64, each target with each fold's mean-target direction.
        raw: the members as they are.
        centred: the members less their means.
    """

    names: tuple[str, ...]
    weight: NDArray[np.float64]
    fold: NDArray[np.int64]
    means: NDArray[np.float32]
    fold_sums: NDArray[np.float64]
    target_cosines: NDArray[np.float64]
    raw: Geometry
    centred: Geometry

    def __len__(self) -> int:
        return len(self.fold)

    @property
    def folds(self) -> int:
        """How many evaluation folds there are."""
        return len(self.fold_sums)

    def geometry(self, centred: bool) -> Geometry:
        """The statistics under one centring."""
        return self.centred if centred else self.raw

    def prior_parts(self, held_out: HeldOut) -> NDArray[np.float64]:
        """How each fold's rows compose their prior from the folds' mean-target directions.

        The prior of a row is the unit-length sum of all targets but those of its own fold and of
        the held-out ones, so that nothing scores a row that saw its fold.

        Args:
            held_out: the folds that a nested estimate holds out; None for the fit on all rows.

        Returns:
            (F, F) float64: row j holds the coefficients of the F directions for rows of fold j;
            zeros where no fold is left.
        """
        lengths = np.linalg.norm(self.fold_sums, axis=1)
        gram = self.fold_sums @ self.fold_sums.T
        allowed = ~np.eye(self.folds, dtype=bool)
        folds = () if held_out is None else (held_out,) if isinstance(held_out, int) else held_out
        allowed[:, list(folds)] = False
        squares = np.einsum("jf,fg,jg->j", allowed, gram, allowed)
        with np.errstate(divide="ignore", invalid="ignore"):
            parts = allowed * lengths / np.sqrt(squares)[:, None]
        return np.asarray(np.where(squares[:, None] > 0.0, parts, 0.0))


def layout(
    rows: int, members: int, folds: int, precision: Precision, *, pairs: bool = True
) -> Layout:
    """Shape and type of each array on disk that has a line for every row, by its file's stem."""
    shapes = Geometry.shapes(rows, members, folds, pairs=pairs)
    return {
        **{
            f"{centring}.{name}": (shapes[name], _dtype(name, precision))
            for centring in ("raw", "centred")
            for name in GEOMETRY
        },
        "target_cosines": ((rows, folds), "float64"),
    }


def row_bytes(expected: Layout) -> int:
    """What one row takes in all arrays together."""
    return sum(
        math.prod(shape[1:]) * np.dtype(dtype).itemsize for shape, dtype in expected.values()
    )


def is_laid_out(folder: Path, expected: Layout) -> bool:
    """Whether a folder holds all the arrays of a layout, each of the size that its header says."""
    try:
        for name, (shape, dtype) in expected.items():
            file = folder / f"{name}.npy"
            array = map_array(file)
            whole = array.offset + array.nbytes == file.stat().st_size
            if not whole or (array.shape, array.dtype) != (shape, np.dtype(dtype)):
                return False
    except BROKEN:
        return False
    return True


def load_statistics(
    folder: Path, names: Sequence[str], fold: NDArray[np.int64], weight: NDArray[np.float64]
) -> Statistics:
    """The statistics that a build wrote, their arrays memory-mapped read-only.

    Args:
        folder: where they are.
        names: the members, in order.
        fold: (rows,) int64, the evaluation folds.
        weight: (rows,) float64, the row weights.

    Raises:
        One of `files.BROKEN`: a file is missing or is not what its name says.
    """

    def load(name: str) -> NDArray[Any]:
        # As a plain array: a memmap object would pay for its class at every slice.
        return np.asarray(map_array(folder / f"{name}.npy"))

    return Statistics(
        names=tuple(names),
        weight=weight,
        fold=fold,
        raw=Geometry(**{name: load(f"raw.{name}") for name in GEOMETRY}),
        centred=Geometry(**{name: load(f"centred.{name}") for name in GEOMETRY}),
        **{name: load(name) for name in ("means", "fold_sums", "target_cosines")},
    )


def _dtype(name: str, precision: Precision) -> str:
    return "float64" if name in ("cross", "lengths") else precision
