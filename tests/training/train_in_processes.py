"""A training for `test_processes.py` to start several of: `train_in_processes.py COMMAND …`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ensembler.cli.main import main
from ensembler.metrics import unit_rows
from ensembler.store.model import EncoderRecord
from predictors.shared import text
from predictors.shared.training import targets


class Letters(NamedTuple):
    """The encoder of the other tests here."""

    record: EncoderRecord = EncoderRecord(name="letters", sha256="0" * 64)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 6) float32 of unit length."""
        drawn = [np.random.default_rng([*map(ord, one)]).normal(1.0, 1.0, 6) for one in texts]
        return unit_rows(np.stack(drawn)).astype(np.float32)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for module in (targets, text):
        vars(module)["load_encoder"] = lambda _: Letters()
    main()
