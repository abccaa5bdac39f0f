"""Messages between a run and its worker processes: one JSON object per line."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from ensembler.frozen import Frozen
from ensembler.predicting.batches import Precision
from ensembler.store.model import EncoderRecord


class Setup(Frozen):
    """The first line to a worker: what stays the same for all members."""

    kind: Literal["setup"] = "setup"
    images: tuple[str, ...]  # paths, in the run's order
    device: str
    precision: Precision
    threads: int  # that decode


class Load(Frozen):
    """Load a checkpoint in place of the last one; answered by Loaded or Refused."""

    kind: Literal["load"] = "load"
    predictor: str
    config: dict[str, Any]
    files: dict[str, str]  # role → path
    preprocessing: dict[str, Any]  # as the spec records it
    encoder: EncoderRecord | None = None  # likewise, of a captioner's texts
    dim: int


class Probe(Frozen):
    """Find the batch size; answered by Probed."""

    kind: Literal["probe"] = "probe"


class Embed(Frozen):
    """Embed images with what is loaded; answered by Done for each batch, then Finished."""

    kind: Literal["embed"] = "embed"
    folder: str  # the work store's entry
    positions: tuple[int, ...]
    batch: int
    limit: int | None = None  # images at once, where an earlier run found that no more fit
    cache: str | None = None  # a folder to keep and find resized images in


class Loaded(Frozen):
    """The checkpoint is on the device."""

    kind: Literal["loaded"] = "loaded"


class Probed(Frozen):
    """The batch size that suits the device."""

    kind: Literal["probed"] = "probed"
    batch: int


class Done(Frozen):
    """So many more images are embedded, or unreadable, and on disk."""

    kind: Literal["done"] = "done"
    images: int
    limit: int | None = None  # images that the device takes at once, where it refused more
    cache_fault: str | None = None  # why resized images are not kept any more


class Finished(Frozen):
    """All of an Embed is done."""

    kind: Literal["finished"] = "finished"


class Refused(Frozen):
    """The member cannot be used; others may."""

    kind: Literal["refused"] = "refused"
    reason: str


class Stopped(Frozen):
    """The run cannot go on, whatever the member: the work folder cannot be written."""

    kind: Literal["stopped"] = "stopped"
    reason: str


Task = Setup | Load | Probe | Embed
Message = Loaded | Probed | Done | Finished | Refused | Stopped

TASKS: TypeAdapter[Task] = TypeAdapter(Annotated[Task, Field(discriminator="kind")])
MESSAGES: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])
