"""`python -m ensembler`: the command line, where its script is not on the path."""

from ensembler.cli.main import main

main()
