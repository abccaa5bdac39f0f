"""Evaluate a store, note each fit that is made, and die by SIGKILL before a given one.

Usage: kill_evaluation.py STORE FITS DIES JOBS. Each fit is a line of the file FITS. Dies before the
fit of number DIES, counted from 0; -1 for never. The evaluation is printed as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from threading import Lock

from ensembler import api
from ensembler.blenders.contract import Blender, FittedBlend
from ensembler.blenders.data import Data, HeldFolds
from ensembler.blenders.refitting.memory import fit_once
from ensembler.evaluation import estimate
from ensembler.search.definition import parse_study

BLENDERS = ("uniform", "weighted", "gains")


def main(store: str, fits: Path, dies: int, jobs: int) -> None:
    made, lock = 0, Lock()

    def noted(data: Data, blender: Blender, held_out: HeldFolds, seed: int) -> FittedBlend:
        nonlocal made
        with lock:
            if made == dies:
                os.kill(os.getpid(), signal.SIGKILL)
            made += 1
            with fits.open("a") as file:
                of = data.statistics
                file.write(f"{blender.name} {of.weight.tolist()} {of.fold.tolist()} {held_out}\n")
        return fit_once(data, blender, held_out, seed)

    vars(estimate)["fit_once"] = noted
    found = api.evaluate(
        store, blenders=BLENDERS, study=parse_study({"trials": 1}, "here"), repeats=2, jobs=jobs,
        contributions=True, leave_source_out=True,
    )  # fmt: skip
    sys.stdout.write(json.dumps(found.summary()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
