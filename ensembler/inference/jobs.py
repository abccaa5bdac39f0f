"""The jobs of a run over images: each member of a spec, its checkpoints and their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ensembler.errors import PredictorError
from ensembler.faults import faults_of
from ensembler.images.find import ImageFiles
from ensembler.images.identity import file_identities
from ensembler.images.preprocess import Preprocess
from ensembler.images.stream import can_be_read
from ensembler.inference.messages import Setup
from ensembler.predicting.averaging import average_directions
from ensembler.predicting.checkpoints import Located, locate_checkpoints
from ensembler.predicting.definition import PredictorDefinition, check_definition
from ensembler.predicting.registry import check_installed, find_adapter
from ensembler.predicting.versions import code_versions
from ensembler.spec.model import EnsembleSpec
from ensembler.spec.weighted import MemberSpec
from ensembler.work.entry import Entry
from ensembler.work.store import WorkStore


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

    def whole(self) -> list[Entry]:
        """The checkpoints that all images went through, to some good."""
        return [one for one in self.entries if one.is_whole() and not one.is_barren()]

    def parts(self) -> list[int]:
        """Images still to be embedded, of each checkpoint that is not whole."""
        left = (len(entry.pending(1)) for entry in self.entries)
        return [images for images in left if images]

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """The member's rows of images start..stop-1, from the checkpoints that are whole.

        Of several, which have each seen all folds but one, the average direction at the member's
        mean out-of-fold length; of a single one the vectors as they are.

        Returns:
            (stop - start, d) float32; zero rows where an image has none.
        """
        blocks = [entry.vectors[start:stop] for entry in self.whole()]
        length = self.member.origin.mean_norm
        return (
            blocks[0]
            if len(blocks) == 1 or length is None
            else average_directions(np.stack(blocks), length)
        )


class Found(NamedTuple):
    """The members that can be made here, and the others.

    Attributes:
        located: member → its checkpoints.
        unusable: member → why it cannot be made, the others.
    """

    located: Mapping[str, tuple[Located, ...]]
    unusable: Mapping[str, str]


def find_members(spec: EnsembleSpec, folders: Sequence[Path], *, strict: bool) -> Found:
    """Find the members that can be made here, as far as that shows without loading a model.

    Args:
        spec: the frozen blend.
        folders: where checkpoints may lie.
        strict: refuse to go on without one of them.

    Raises:
        PredictorError: of all members, or of one where it is strict, an adapter or its packages are
            not installed, a config does not fit, or files are missing; all are told at once.
    """
    located: dict[str, tuple[Located, ...]] = {}
    unusable: dict[str, str] = {}
    for member in spec.weighted.members:
        try:
            located[member.name] = _find(member, folders)
        except PredictorError as error:
            unusable[member.name] = str(error).removeprefix(f"member {member.name!r}: ")
    if unusable and (strict or not located):
        raise PredictorError("; ".join(f"member {name!r}: {why}" for name, why in unusable.items()))
    return Found(located, unusable)


def make_jobs(
    spec: EnsembleSpec,
    located: Mapping[str, tuple[Located, ...]],
    files: ImageFiles,
    work: WorkStore,
    setups: Sequence[Setup],
) -> list[Job]:
    """The members that were found with their places in the work store.

    What an earlier run failed at and this one may not is pending again.

    Args:
        spec: the frozen blend.
        located: the checkpoints of each, as `find_members` found them.
        files: the images.
        work: the work store.
        setups: of the devices, which share one precision.

    Raises:
        WorkError: the work store cannot be written.
    """
    images = file_identities(files.paths)
    # Asked once, however many checkpoints could not read an image.
    readable = cache(lambda position, as_: can_be_read(files.paths[position], as_))
    kinds = sorted({setup.device.partition(":")[0] for setup in setups})
    jobs = []
    for member in spec.weighted.members:
        if member.name not in located:
            continue
        origin, preprocess = member.origin, _preprocess(member)
        shared = {
            "predictor": origin.predictor,
            "config": origin.config,
            "preprocessing": origin.preprocessing,
            "encoder": origin.encoder and origin.encoder.sha256,
            "precision": setups[0].precision,
            "devices": kinds,
            "code": code_versions(origin.predictor or ""),
        }
        checkpoints = [
            {f.role: f.sha256 for f in at.checkpoint.files} for at in located[member.name]
        ]
        entries = tuple(
            work.entry(shared | {"checkpoint": digests}, images, spec.dim)
            for digests in checkpoints
        )
        for entry in entries:
            entry.try_again(partial(readable, as_=preprocess))
        jobs.append(
            Job(
                member=member,
                preprocess=preprocess,
                located=located[member.name],
                entries=entries,
            )
        )
    return jobs


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
