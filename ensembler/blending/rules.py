"""The one number that decides when vectors have cancelled; blend and statistics share it."""

from __future__ import annotations

from typing import Final

# Of the lengths that went into a sum or a difference, the share at or below which the result is
# rounding noise without a direction. A centred row that short counts as absent; a blend that short
# scores 0 when fitted and gives the prior when predicted. Relative, so tiny embeddings are safe.
CANCELLED: Final = 1e-6
