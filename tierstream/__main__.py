"""`tierstream` and `python -m tierstream`: the command line."""

from tierstream.interrupts import end_at_once


def main() -> None:
    """Run the console script."""
    end_at_once()
    from tierstream.cli import app  # noqa: PLC0415 - Ctrl-C is looked after first

    app()


if __name__ == "__main__":
    main()
