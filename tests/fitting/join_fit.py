"""One process of several that share a study, for tests to hold, stop and kill at a known moment.

Usage: join_fit.py MARK HOLD ARGUMENT…: `ensembler ARGUMENT…` with heartbeats of a second. When it
is about to score for the HOLDth time, and so holds a claim, it writes the file MARK and waits until
that file is gone. With HOLD 0 it never waits, and writes MARK as it first scores.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ensembler.cli.main import main
from ensembler.search import claims
from ensembler.search.scoring import Scored, Scorer

SLOW_S = 0.03  # so that all of them come to score
score = Scorer.score


def hold(mark: Path, at: int) -> None:
    times = 0

    def scoring(*given: object, **named: object) -> list[Scored]:
        nonlocal times
        times += 1
        if times == max(at, 1):
            mark.touch()
            while at and mark.exists():
                time.sleep(SLOW_S)
        time.sleep(SLOW_S)
        return score(*given, **named)  # type: ignore[arg-type] # passed on as they came

    Scorer.score = scoring  # type: ignore[method-assign] # in a process of its own


if __name__ == "__main__":
    claims.HEARTBEAT_S, claims.GRACE_S = 1, 5  # the machine may be busy: beats come late
    hold(Path(sys.argv[1]), int(sys.argv[2]))
    sys.argv[1:] = sys.argv[3:]
    main()
