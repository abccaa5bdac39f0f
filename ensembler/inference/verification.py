"""Checkpoints' files held to the spec's digests while other work goes on."""

from __future__ import annotations

import math
from concurrent.futures import Future

from ensembler.inference.jobs import Job
from ensembler.predicting.checkpoints import start_verifying


class Verification:
    """Hashes the files of members, each once, in threads."""

    def __init__(self) -> None:
        self._verdicts: dict[str, Future[None]] = {}

    def start(self, job: Job) -> None:
        """Begin to hash a member's files, unless that was begun before."""
        if job.name not in self._verdicts:
            self._verdicts[job.name] = start_verifying(job.located, member=job.name)

    def wait(self, job: Job, timeout_s: float) -> None:
        """Return when a member's files, hashing of which was begun, are known to be the spec's.

        Args:
            job: the member.
            timeout_s: seconds to wait; infinity for as long as it takes, and none below 0.

        Raises:
            PredictorError: a file is not the spec's.
            TimeoutError: that was not known in time.
        """
        timeout = None if math.isinf(timeout_s) else max(timeout_s, 0.0)
        self._verdicts[job.name].result(timeout)
