"""`python -m tierstream`: the command line."""

from tierstream.cli import main

main()
