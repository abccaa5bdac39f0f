"""What a run over images has to do: each member of a spec, its checkpoints and their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ensembler.errors import PredictorError
from ensembler.faults import faults_of
from ensembler.images.find import ImageFiles
from ensembler.images.preprocess import Preprocess
from ensembler.inference.work import Entry, WorkStore
from ensembler.predicting.averaging import averaged
from ensembler.predicting.batches import Precision
from ensembler.predicting.checkpoints import Located, locate_checkpoints
from ensembler.predicting.definition import PredictorDefinition, check_definition
from ensembler.predicting.registry import check_installed, find_adapter
from ensembler.spec.model import EnsembleSpec, MemberSpec


@dataclass(frozen=True, kw_only=True)
class Job:
    """One member to be made from images.

    Attributes:
        member: as the spec has it.
        preprocess: how its predictor wants images.
        located: its checkpoints and their files.
        entries: the vectors of each checkpoint.
    """

    member: MemberSpec
    preprocess: Preprocess
    located: tuple[Located, ...]
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """The member's name."""
        return self.member.name

    @property
    def is_whole(self) -> bool:
        """Whether all its vectors are there."""
        return all(entry.is_whole() for entry in self.entries)

    def images_left(self) -> int:
        """Images still to be embedded, counted once for each checkpoint."""
        return sum(len(entry.pending(1)) for entry in self.entries)

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """The member's rows of images start..stop-1.

        Of several checkpoints, which have each seen all folds but one, the average direction at the
        member's mean out-of-fold length; of a single one the vectors as they are.

        Returns:
            (stop - start, d) float32; zero rows where an image has none.
        """
        blocks = [entry.vectors[start:stop] for entry in self.entries]
        length = self.member.origin.mean_norm
        return (
            blocks[0] if len(blocks) == 1 or length is None else averaged(np.stack(blocks), length)
        )


def find_members(spec: EnsembleSpec, folders: Sequence[Path]) -> dict[str, tuple[Located, ...]]:
    """Check that every member can be made here, as far as that shows without loading a model.

    Args:
        spec: the frozen blend.
        folders: where checkpoints may lie.

    Returns:
        The checkpoints of each member by name.

    Raises:
        PredictorError: an adapter or its packages are not installed, a config does not fit, or
            files are missing; of all members at once.
    """
    found, faults = {}, []
    for member in spec.blend.members:
        try:
            found[member.name] = _find(member, folders)
        except PredictorError as error:
            text = str(error)
            told = text.startswith(f"member {member.name!r}")
            faults.append(text if told else f"member {member.name!r}: {text}")
    if faults:
        raise PredictorError("; ".join(faults))
    return found


def make_jobs(
    spec: EnsembleSpec,
    located: dict[str, tuple[Located, ...]],
    files: ImageFiles,
    work: WorkStore,
    precision: Precision,
) -> list[Job]:
    """The members of a spec with their places in the work store.

    Args:
        spec: the frozen blend.
        located: what `find_members` found.
        files: the images.
        work: the work store.
        precision: of the arithmetic.

    Raises:
        WorkError: the work store cannot be written.
    """
    images = _identities(files)
    return [
        Job(
            member=member,
            preprocess=_preprocess(member),
            located=located[member.name],
            entries=tuple(
                work.entry(
                    {
                        "predictor": member.origin.predictor,
                        "config": member.origin.config,
                        "preprocessing": member.origin.preprocessing,
                        "encoder": member.origin.encoder and member.origin.encoder.sha256,
                        "checkpoint": {f.role: f.sha256 for f in at.checkpoint.files},
                        "precision": precision,
                    },
                    images,
                    spec.dim,
                )
                for at in located[member.name]
            ),
        )
        for member in spec.blend.members
    ]


def _identities(files: ImageFiles) -> list[str]:
    """Name, size and time of change of each image.

    Contents are not read: a run that goes on would wait minutes for what never changes.
    """
    stats = ((path.name, path.stat()) for path in files.paths)
    return [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]


def _find(member: MemberSpec, folders: Sequence[Path]) -> tuple[Located, ...]:
    origin = member.origin
    if origin.predictor is not None:
        adapter = find_adapter(origin.predictor)
        check_installed(origin.predictor, adapter)
        for checkpoint in origin.checkpoints:
            files = {file.role: file.path for file in checkpoint.files}
            check_definition(
                PredictorDefinition(adapter=origin.predictor, config=origin.config, files=files),
                adapter,
            )
    located = locate_checkpoints(origin, folders, member=member.name)
    if not located:
        raise PredictorError("no checkpoint is recorded; dump it again with `ensembler dump`")
    if len(located) > 1 and origin.mean_norm is None:
        raise PredictorError(
            f"the average of its {len(located)} checkpoints needs the mean out-of-fold norm, which"
            " is not recorded; dump it again with `ensembler dump`"
        )
    _preprocess(member)
    return located


def _preprocess(member: MemberSpec) -> Preprocess:
    try:
        return Preprocess.model_validate(member.origin.preprocessing, strict=False)
    except ValidationError as error:
        raise PredictorError(
            f"preprocessing: {faults_of(error, Preprocess)}; dump it again with `ensembler dump`"
        ) from error
