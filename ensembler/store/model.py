"""OOF store format 1: what its two JSON files hold; FORMAT.md beside this file explains it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from ensembler.frozen import Frozen, Sha256

# To raise VERSION: keep these classes as model_v1.py, convert in reader.open_store, leave
# tests/golden/store-v1 untouched, add store-v2, note it in CHANGELOG.md.
VERSION: Final = 1
FORMAT: Final = "ensembler-oof"

# Of the samples; the last two are optional. Further columns are text, and readers may ignore them.
COLUMNS: Final = ("id", "fold", "group", "source", "prompt", "weight")
PRIOR: Final = "prior"  # the blend's constant member; no predictor may take its name
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")  # safe as a folder on every system


def check_name(name: str) -> str:
    """Return a member's name unchanged if it can be one.

    Raises:
        ValueError: it could not be a folder's name everywhere, or it is the prior's.
    """
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a member: use letters, digits and . _ + -, beginning with a"
            " letter or digit, at most 100"
        )
    if name == PRIOR:
        raise ValueError(f"{PRIOR!r} is the blend's constant member; choose another name")
    return name


MemberName = Annotated[str, AfterValidator(check_name)]
Dtype = Literal["float16", "float32"]


class CheckpointFile(Frozen):
    """A file or folder that a checkpoint is loaded from."""

    role: str  # what the adapter calls it
    path: str  # relative, with forward slashes; found again below any checkpoints folder
    sha256: Sha256  # of the file's bytes, or of a folder's names and contents


class Checkpoint(Frozen):
    """Trained parameters behind a member: all that one model is loaded from."""

    sha256: Sha256  # of its files' roles, paths and digests; of the file where it is a single one
    fold: int | None = None  # the fold it was not trained on; None: it never saw the data
    files: tuple[CheckpointFile, ...] = ()


class Origin(Frozen):
    """How a member was made; a dump fills in all of it, an imported file what it knows."""

    predictor: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    checkpoints: tuple[Checkpoint, ...] = ()
    preprocessing: dict[str, Any] = Field(default_factory=dict)
    seconds_per_image: float | None = None
    mean_norm: float | None = None  # of its out-of-fold rows: averaged folds are brought back to it
    device: str | None = None
    files: dict[str, Sha256] = Field(default_factory=dict)  # imported from: file name → its sha256
    encoder: EncoderRecord | None = None  # where texts were turned into vectors


class EncoderRecord(Frozen):
    """The sentence encoder that made vectors from texts."""

    name: str
    sha256: Sha256  # of the folder's files


class MemberRecord(Frozen):
    """`member.json`, and the same in the manifest: one member's shape and content."""

    name: MemberName
    rows: int = Field(ge=1)
    zero_rows: int = Field(ge=0)  # stored but of zero length: they count as absent
    dim: int = Field(ge=1)
    dtype: Dtype
    captions: bool = False
    sha256: Sha256  # of rows and embeddings
    origin: Origin = Origin()


class SamplesRecord(Frozen):
    """The samples table's size and content."""

    rows: int = Field(ge=1)
    columns: tuple[str, ...]
    sha256: Sha256


class TargetsRecord(Frozen):
    """The targets' content and the encoder that made them, where one did."""

    sha256: Sha256
    encoder: EncoderRecord | None = None


class Manifest(Frozen):
    """`manifest.json`: the store's commit point; a folder that it does not list is not a member."""

    format: Literal["ensembler-oof"] = FORMAT
    version: Literal[1] = VERSION
    dim: int | None = Field(default=None, ge=1)  # None: no targets, and no member yet
    samples: SamplesRecord
    targets: TargetsRecord | None = None
    members: tuple[MemberRecord, ...] = ()


Origin.model_rebuild()
