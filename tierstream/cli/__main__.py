"""`python -m tierstream.cli`, for whoever starts commands as processes."""

from tierstream.cli import main

main()
