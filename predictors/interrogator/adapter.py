"""The adapter `interrogator`: a caption and the phrases that CLIP ranks best, embedded as one text.

Another predictor makes the caption. Its adapter and config are part of our config; its files are
given under its own roles, prefixed with `captioner_`:

[config]
captioner = {adapter = "blip", config = {beams = 3}}
phrases = {mediums = 1, artists = 1, flavors = 3}    # of mediums.txt, artists.txt and flavors.txt

[files]
captioner_model = "blip-large"
clip = "open_clip_model.safetensors"
vocabulary = "vocabulary"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from ensembler.errors import PredictorError, unknown_name
from ensembler.frozen import Frozen
from ensembler.plugins import PREDICTORS, registered
from ensembler.predicting.checkpoints import load_predictor
from ensembler.predicting.contract import Captioner, Role
from ensembler.predicting.registry import find_adapter
from predictors.interrogator.config import CaptionerConfig, InterrogatorConfig
from predictors.interrogator.vocabulary import read_vocabulary
from predictors.shared.text import ENCODER, load_text_head

if TYPE_CHECKING:
    from predictors.interrogator.interrogation import Interrogation

NAME: Final = "interrogator"  # the registered name
NESTED: Final = "captioner_"  # prefix of the roles of the captioner's files


class _Roles(Mapping[str, Role]):
    """Our own roles, and the prefixed roles of every registered adapter that may caption."""

    _own: ClassVar[Mapping[str, Role]] = {
        "clip": Role("open_clip's checkpoint of a CLIP model (.safetensors, .pt or .bin)"),
        "vocabulary": Role("a text file with a phrase on each line, or a folder of such *.txt"),
        "encoder": ENCODER,
    }

    @cached_property
    def _all(self) -> Mapping[str, Role]:
        return dict(self._nested()) | dict(self._own)

    @staticmethod
    def _nested() -> Iterator[tuple[str, Role]]:
        # Not at import: the registry lists this adapter too.
        for name in registered(PREDICTORS):
            if name == NAME:
                continue
            try:
                roles = find_adapter(name).roles
            except PredictorError:  # another package is broken, and perhaps not needed
                continue
            for role in roles:
                yield f"{NESTED}{role}", Role(f"the {role} of the captioner", required=False)

    def __getitem__(self, role: str) -> Role:
        return self._all[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class Interrogator:
    """A caption joined with the phrases that CLIP ranks nearest to the image, as one text."""

    Config: ClassVar[type[Frozen]] = InterrogatorConfig
    roles: ClassVar[Mapping[str, Role]] = _Roles()
    needs: ClassVar[tuple[str, ...]] = ("open_clip", "sentence_transformers", "torch")
    install: ClassVar[str] = "oof-ensembler[captioners,coca]"

    @classmethod
    def load(
        cls, config: InterrogatorConfig, files: Mapping[str, Path], *, device: str
    ) -> Interrogation:
        """Load captioner, CLIP and encoder; phrases not seen before are embedded now.

        Args:
            config: this adapter's config.
            files: `clip`, `vocabulary`, the captioner's under `captioner_…`, and `encoder` unless
                it is the packaged one.
            device: a torch device name; texts are encoded on the CPU.

        Raises:
            PredictorError: a file is not what its role says, or the captioner's adapter does not
                make texts.
        """
        from predictors.interrogator.clip import load_clip
        from predictors.interrogator.interrogation import Interrogation
        from predictors.interrogator.ranking import PhraseRanking

        lists = read_vocabulary(files["vocabulary"], config.phrases)
        captioner = _load_captioner(config.captioner, files, device)
        head = load_text_head(files.get("encoder"))
        clip = load_clip(config.clip, files["clip"], device)
        return Interrogation(captioner, clip, PhraseRanking(clip, lists), head)


def _load_captioner(config: CaptionerConfig, files: Mapping[str, Path], device: str) -> Captioner:
    roles = find_adapter(config.adapter).roles
    theirs = {r.removeprefix(NESTED): path for r, path in files.items() if r.startswith(NESTED)}
    for role in theirs:
        if role not in roles:
            raise PredictorError(unknown_name("file", NESTED + role, [NESTED + r for r in roles]))
    if "encoder" in roles and "encoder" in files:
        theirs.setdefault("encoder", files["encoder"])  # its vectors are not used
    try:
        predictor = load_predictor(config.adapter, config.config, theirs, device)
    except PredictorError as error:
        raise PredictorError(f"captioner (its files are {NESTED}…): {error}") from error
    if not isinstance(predictor, Captioner):
        raise PredictorError(
            f"captioner: {config.adapter!r} makes vectors but no texts; name a captioner, as blip"
        )
    return predictor
