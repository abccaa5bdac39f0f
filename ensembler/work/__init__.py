"""The work folder: the vectors embedded so far, from which the same command resumes."""
