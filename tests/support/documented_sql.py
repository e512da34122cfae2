"""The SQL that the documentation shows."""

import re
from pathlib import Path

from analytics.migrate import split_statements

_ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented_queries() -> list[str]:
    """Return every statement of README.md and docs/sql.md."""
    pages = (_ROOT / "README.md", _ROOT / "docs" / "sql.md")
    return [query for page in pages for text in _FENCE.findall(page.read_text()) for query in split_statements(text)]
