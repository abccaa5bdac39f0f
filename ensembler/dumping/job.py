"""Settings of a dump: all that decides the bytes of its vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensembler.dumping.images import SampleImages
from ensembler.dumping.learning import learn_files
from ensembler.predicting.batches import Precision
from ensembler.predicting.checkpoints import checkpoint_digests
from ensembler.predicting.definition import PredictorDefinition, check_definition
from ensembler.predicting.registry import find_adapter
from ensembler.predicting.versions import code_versions
from ensembler.store.model import Checkpoint
from ensembler.store.reader import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpJob:
    """A predictor with its files, its images, and how it embeds them.

    Attributes:
        adapter: the predictor's, by name.
        config: plain data, every key spelt out.
        checkpoints: in the definition's order.
        folders: that their paths are relative to.
        images: of the samples.
        device: as torch names it.
        batch: images embedded at once.
        precision: of the arithmetic.
        workers: threads that decode.
    """

    adapter: str
    config: Mapping[str, Any]
    checkpoints: tuple[Checkpoint, ...]
    folders: tuple[Path, ...]
    images: SampleImages
    device: str
    batch: int
    precision: Precision
    workers: int

    def key(self, store: Store) -> dict[str, Any]:
        """Plain data that decides a vector's bytes, beside its image."""
        return {
            "adapter": self.adapter,
            "code": code_versions(self.adapter),
            "config": dict(self.config),
            "checkpoints": [one.model_dump(mode="json") for one in self.checkpoints],
            "samples": store.manifest.samples.sha256,
            "device": self.device,
            "batch": self.batch,
            "precision": self.precision,
        }


def make_job(
    definition: PredictorDefinition,
    root: Path,
    store: Store,
    images: SampleImages,
    *,
    device: str,
    batch: int,
    precision: Precision,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> DumpJob:
    """Learn the files that a definition lacks from the store, and hash all of them.

    Args:
        definition: of the predictor.
        root: its folder.
        store: the samples.
        images: theirs.
        device: as torch names it.
        batch: images embedded at once.
        precision: of the arithmetic.
        workers: threads that decode.
        progress: called while something is learned.

    Raises:
        PredictorError: a file is missing, or cannot be made.
    """
    adapter = find_adapter(definition.adapter)
    config = check_definition(definition, adapter)
    learned = learn_files(
        definition,
        adapter,
        config,
        root,
        store=store,
        images=images.by_id(),
        device=device,
        progress=progress,
    )
    return DumpJob(
        adapter=definition.adapter,
        config=config.model_dump(mode="json"),
        checkpoints=checkpoint_digests(learned.definition, *learned.folders),
        folders=learned.folders,
        images=images,
        device=device,
        batch=batch,
        precision=precision,
        workers=workers,
    )
