"""The work folder: what a run has embedded so far, so that the same command goes on from there."""
