"""The adapter `retrieval`: what the nearest known images were prompted with.

adapter = "retrieval"

[config]
neighbours = 32

[files]
features = "lite0/predictor.toml"      # of another predictor, its paths relative to it
reference = "lite0-train.safetensors"  # made by `ensembler dump` where it does not exist
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ensembler.errors import PredictorError
from ensembler.frozen import Frozen
from ensembler.predicting.contract import Role

if TYPE_CHECKING:
    from ensembler.store.reader import Store
    from predictors.retrieval.search import NeighbourSearch


class RetrievalConfig(Frozen):
    """The number of neighbours; farther ones count less, so that a few too many do no harm."""

    neighbours: int = Field(default=32, ge=1, description="whose targets are averaged")


class Retrieval:
    """The mean target of the nearest images of a reference set, by any predictor's features."""

    Config: ClassVar[type[Frozen]] = RetrievalConfig
    roles: ClassVar[Mapping[str, Role]] = {
        "features": Role(
            "the definition (.toml) of a predictor without fold checkpoints, whose vectors are"
            " compared; of what lies beside it, only the files that it names count"
        ),
        "reference": Role(
            "the images to compare with, as features and targets (.safetensors); `ensembler dump`"
            " makes it from the store's samples where it does not exist",
            learned=True,
        ),
    }
    needs: ClassVar[tuple[str, ...]] = ("faiss", "safetensors", "torch")
    install: ClassVar[str] = "'oof-ensembler[retrieval]'"

    @classmethod
    def load(
        cls, config: RetrievalConfig, files: Mapping[str, Path], *, device: str
    ) -> NeighbourSearch:
        """Load features and references.

        Args:
            config: of this adapter.
            files: `features` and `reference`.
            device: of the features; neighbours are searched on the CPU.

        Raises:
            PredictorError: a file is not what its role says, the reference set was made with other
                features, or it has too few rows.
        """
        from predictors.retrieval.checks import check_features
        from predictors.retrieval.features import load_features
        from predictors.retrieval.references import load_references
        from predictors.retrieval.search import NeighbourSearch

        features = load_features(files["features"], device)
        references = load_references(files["reference"])
        check_features(references, files["features"])
        return NeighbourSearch(features, references, config.neighbours)

    @classmethod
    def learn(
        cls,
        config: RetrievalConfig,  # noqa: ARG003 - references serve any number of neighbours
        files: Mapping[str, Path],
        *,
        store: Store,
        images: Mapping[str, Path],
        device: str,
        out_dir: Path,
        progress: Callable[[int, int], None] | None = None,
    ) -> dict[str, str]:
        """Make the reference set from a store's samples; see `Learner.learn`.

        One that exists is kept, if it says of each of the store's samples what the store says:
        the fold, lest a row be predicted from its own target, the target and the image. Interrupted
        or killed, the same call goes on with the images that are left.

        Raises:
            PredictorError: a role is not named under [files], the features cannot be loaded, no
                image could be read, another run makes the set, the disk is full, or the reference
                set that exists does not fit the features or the store.
            StoreError: the store has no targets.
        """
        from predictors.retrieval.checks import check_features, check_store
        from predictors.retrieval.learning import learn_references
        from predictors.retrieval.references import check_suffix, load_references

        lacking = [role for role in cls.roles if role not in files]
        if lacking:
            raise PredictorError(
                f"retrieval's {' and '.join(lacking)} must be named under [files]: one reference"
                " set serves all folds, each time without the fold in question"
            )
        place = check_suffix(files["reference"])
        if place.exists():
            references = load_references(place)
            check_features(references, files["features"])
            check_store(references, store, images)
        else:
            learn_references(place, files["features"], store, images, device, progress)
        return {"reference": place.relative_to(out_dir).as_posix()}
