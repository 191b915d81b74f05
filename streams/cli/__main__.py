"""`python -m streams.cli` is `unimargin`."""

from streams.cli.unimargin import main

main()
