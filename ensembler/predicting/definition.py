"""A predictor's definition: adapter, config and files, from TOML.

adapter = "clip_vit"

[config]
model = "vit_large_patch14_clip_quickgelu_336.openai"

[files]                       # shared by all folds; paths are relative to this file
encoder = "minilm"

[[checkpoints]]               # one for each fold: it has not seen the fold's samples
fold = 0
weights = "clip_vit/fold0.safetensors"
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, ValidationError, model_validator

from ensembler.errors import PredictorError, first_few, unknown_name
from ensembler.faults import faults_of
from ensembler.frozen import Frozen
from ensembler.predicting.contract import Adapter
from ensembler.predicting.registry import find_adapter


class FoldFiles(Frozen):
    """The files of one fold's checkpoint, by role."""

    fold: int = Field(ge=0)
    files: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Move the roles, which stand beside `fold` in the file, into `files`."""
        if isinstance(data, dict) and "files" not in data:
            if "fold" not in data:
                raise ValueError(_no_fold(data))
            roles = {key: value for key, value in data.items() if key != "fold"}
            return {"fold": data.get("fold"), "files": roles}
        return data


def _no_fold(keys: Iterable[str]) -> str:
    close = difflib.get_close_matches("fold", keys, n=1)
    if close:
        return unknown_name("key", close[0], ["fold"])
    return "lacks the key fold: the fold whose samples the checkpoint has not seen, as in fold = 0"


class PredictorDefinition(Frozen):
    """A predictor's adapter, config and files, as plain data.

    Paths are relative, with forward slashes: a checkpoint is found again below any folder that
    holds it at the same relative path.
    """

    adapter: str
    config: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    checkpoints: tuple[FoldFiles, ...] = ()

    @model_validator(mode="after")
    def _relative(self) -> PredictorDefinition:
        named = [*self.files.values(), *(p for c in self.checkpoints for p in c.files.values())]
        for path in map(PurePosixPath, named):
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(
                    f"{str(path)!r} must be relative and stay below this file's folder, so that"
                    " it is found again elsewhere"
                )
        return self

    def files_of(self, fold: int | None) -> list[dict[str, str]]:
        """The files of each checkpoint of a fold; for None, the files shared by all.

        Two checkpoints of one fold are two predictors, whose vectors are averaged.
        """
        if fold is None:
            return [dict(self.files)]
        return [self.files | own.files for own in self.checkpoints if own.fold == fold]


def load_definition(path: str | Path) -> PredictorDefinition:
    """Read a definition and check it against its adapter; no model is loaded.

    Args:
        path: a TOML file.

    Raises:
        PredictorError: the file does not exist or is not TOML, an adapter, key or role is unknown
            (the nearest is offered), or a required file is not named.
    """
    file = Path(path)
    if not file.exists():
        siblings = (other.name for other in file.parent.glob("*.toml"))
        raise PredictorError(
            f"there is no predictor definition {file}: in {file.parent},"
            f" {unknown_name('file', file.name, siblings)}"
        )
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        definition = PredictorDefinition.model_validate(data, strict=False)
    except ValidationError as error:
        raise PredictorError(f"{file}: {faults_of(error, PredictorDefinition)}") from error
    except (OSError, ValueError) as error:
        raise PredictorError(f"{file} cannot be read as a predictor definition: {error}") from error
    try:
        check_definition(definition, find_adapter(definition.adapter))
    except PredictorError as error:
        raise PredictorError(f"{file}: {error}") from error
    return definition


def check_definition(definition: PredictorDefinition, adapter: type[Adapter]) -> Frozen:
    """Check a definition's config and roles against its adapter.

    Args:
        definition: a predictor's definition.
        adapter: the adapter that it names.

    Returns:
        The config as an instance of the adapter's `Config`.

    Raises:
        PredictorError: a key or role is unknown, or a required file is not named.
    """
    try:
        config = adapter.Config.model_validate(definition.config, strict=False)
    except ValidationError as error:
        raise PredictorError(f"config: {faults_of(error, adapter.Config)}") from error
    for fold in [None, *(checkpoint.fold for checkpoint in definition.checkpoints)]:
        for files in definition.files_of(fold):
            for role in files:
                if role not in adapter.roles:
                    raise PredictorError(unknown_name("file", role, adapter.roles))
            lacking = [r for r, role in adapter.roles.items() if role.required and r not in files]
            if lacking and (fold is not None or not definition.checkpoints):
                raise PredictorError(
                    f"no file is named for {first_few(lacking)}: "
                    + "; ".join(f"{role} is {adapter.roles[role].what}" for role in lacking)
                )
    return config
