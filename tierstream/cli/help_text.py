"""Texts of `--help`."""


def examples(*lines: str) -> str:
    """Write examples below the options, each on a line of its own that can be copied."""
    # Two spaces end a line in Markdown, which joins lines otherwise.
    return "  \n".join(["Examples:" if len(lines) > 1 else "Example:", *(f"`{line}`" for line in lines)])
