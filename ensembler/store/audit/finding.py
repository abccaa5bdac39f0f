"""The findings of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SAME: Final = 0.999  # vectors with a larger cosine are practically one; float16 keeps .9999999
FEW: Final = 3  # members with fewer usable rows are not called constant, pairs not twins


class Kind(StrEnum):
    """Kinds of fault in a store whose files are sound."""

    NAN = "nan"
    ZERO_NORM = "zero_norm"
    HASH = "hash"
    CONSTANT = "constant"
    TWIN = "twin"
    LEAK = "leak"
    MISALIGNED = "misaligned"
    GROUP_ACROSS_FOLDS = "group_across_folds"
    FOLDS = "folds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A suspicion about a store or one of its members.

    Attributes:
        kind: what it is.
        member: whose it is; None for the store's samples and targets.
        rows: how many rows it concerns.
        message: one line, with the remedy.
    """

    kind: Kind
    member: str | None
    rows: int
    message: str
