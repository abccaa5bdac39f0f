"""Files that a predictor learns from a store: beside its definition, or else beside the store.

A definition may lie where nothing can be written, as the inputs of a Kaggle kernel do. What was
learned is a checkpoint like the definition's other files: a spec counts on it. So it goes to a
folder that stays, and not into the cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ensembler.errors import PredictorError
from ensembler.frozen import Frozen
from ensembler.predicting.contract import Adapter, Learner
from ensembler.predicting.definition import PredictorDefinition
from ensembler.store.reader import Store


class Learned(NamedTuple):
    """A definition whose files are all made.

    Attributes:
        definition: with the names of what was made.
        folders: that its paths are relative to: its own and, where that is read-only, the one of
            what was made.
    """

    definition: PredictorDefinition
    folders: tuple[Path, ...]


def learn_files(
    definition: PredictorDefinition,
    adapter: type[Adapter],
    config: Frozen,
    root: Path,
    *,
    store: Store,
    images: Mapping[str, Path],
    device: str,
    progress: Callable[[int, int], None] | None,
) -> Learned:
    """Make the files that a predictor learns from the store.

    Args:
        definition: of the predictor.
        adapter: the predictor's.
        config: the predictor's, checked.
        root: the definition's folder.
        store: the samples.
        images: sample id → image, of the samples that have one.
        device: as torch names it.
        progress: called with (images done, images in all).

    Raises:
        PredictorError: a file cannot be made, or does not fit the store.
    """
    learner: object = adapter
    if not isinstance(learner, Learner):
        return Learned(definition, (root,))
    lacking = {
        role: path
        for role, path in definition.files.items()
        if adapter.roles[role].learned and not (root / path).exists()
    }
    aside = bool(lacking) and not os.access(root, os.W_OK)
    out_dir = _room_for(lacking, root, store) if aside else root
    made = learner.learn(
        config,
        {role: (out_dir if role in lacking else root) / p for role, p in definition.files.items()},
        store=store,
        images=images,
        device=device,
        out_dir=out_dir,
        progress=progress,
    )
    whole = definition.model_dump() | {"files": definition.files | dict(made)}
    folders = (root, out_dir) if aside else (root,)
    return Learned(PredictorDefinition.model_validate(whole), folders)


def learned_folder(store: Path) -> Path:
    """The folder for what is learned from a store if the definition's cannot be written."""
    whole = store.resolve()
    return whole.with_name(f"{whole.name}.checkpoints")


def _room_for(lacking: Mapping[str, str], root: Path, store: Store) -> Path:
    """Make the folder beside the store, with those within it that some paths want."""
    folder = learned_folder(store.path)
    try:
        for path in lacking.values():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PredictorError(
            f"neither {root} nor {folder} can be written ({error.strerror or error}): copy the"
            " predictor's definition, and the files it names, to a folder that can be"
        ) from error
    return folder
