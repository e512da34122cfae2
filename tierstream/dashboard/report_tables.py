"""Any report's JSON as figures and tables: what a value is, money or a share or a time, is read from its name."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from tierstream.csv_cells import csv_cell
from tierstream.dashboard.words import NONE, count, moment, money, share, span

_WORDS: Final = {"usd": "", "p50": "median", "p95": "p95", "p99": "p99", "ms": "", "id": "id", "money": ""}
_MONEY: Final = re.compile(r"(^|_)(usd|cost|dollars)(_|$)")
_SHARE: Final = re.compile(r"(^|_)(share|rate|ratio|confidence|percent|accuracy|discount)$")
_SPAN: Final = re.compile(r"(_|^)ms$")
_PERCENTILE: Final = re.compile(r"(^|\.)p\d\d$")
_SPANS: Final = {"latency", "provider", "own"}
"""Names of objects whose percentiles are milliseconds."""
_REQUESTS: Final = {"request_id", "request_ids", "evidence", "examples", "example"}
_VALUES: Final = {"statuses": "Requests", "kinds": "Times"}
"""What the figures of an object count, by its name."""
_LABELS: Final = {"built_at": "Roll-ups built", "n": "Number"}
"""Of fields whose names say too little."""
_NAMES: Final = {"tier", "first_tier", "revision"}
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_DEEPEST: Final = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """A value as it is written.

    Attributes:
        part: Of a share, its size from 0 to 1, which is drawn; else None.
        requests: Ids of requests that it names, for links.
    """

    text: str
    is_number: bool = False
    part: float | None = None
    requests: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A list of the report."""

    name: str
    """Its place in the JSON, such as `tiers`."""
    title: str
    columns: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class ReportTables:
    """A report: single figures first, then its lists."""

    figures: Sequence[tuple[str, Cell]]
    tables: Sequence[Table]


def tables_of(report: Mapping[str, Any]) -> ReportTables:
    """Sort the values of a report into figures and tables."""
    figures: list[tuple[str, Cell]] = []
    tables: list[Table] = []
    by = report.get("by")
    # Reports that are by one of several things call it their rows' key.
    known = {"rows": f"by_{by}", "key": by} if isinstance(by, str) else {}
    for path, value in _parts(report):
        if known and path == ("by",):
            continue
        if isinstance(value, list) and any(isinstance(one, dict) for one in value):
            items = [one if isinstance(one, dict) else {"value": one} for one in value]
            tables.append(_table(path, items, known=known))
        elif isinstance(value, dict):
            tables.append(_table(path, [{_key_name(path): key, "value": one} for key, one in value.items()], path[-1]))
        elif not (isinstance(value, list) and not value):
            figures.append((_title(path), cell(path[-1], value, path[:-1])))
    return ReportTables(figures, tables)


def as_csv(report: Mapping[str, Any], name: str) -> str | None:
    """Write one list of the report as CSV, values as in the JSON but for `csv_cell`; None where it has no such list."""
    for path, value in _parts(report):
        if ".".join(path) == name and isinstance(value, (list, dict)):
            rows = _rows_of(path, value)
            columns = _columns(rows)
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerow(map(csv_cell, columns))
            writer.writerows([csv_cell(_plain(row.get(column))) for column in columns] for row in rows)
            return text.getvalue()
    return None


def cell(name: str, value: Any, place: Sequence[str] = ()) -> Cell:  # noqa: ANN401 - whatever a report has
    """Write one value by its name."""
    if value is None or (isinstance(value, (str, list)) and not value):
        return Cell(NONE)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    values = value if isinstance(value, list) else [value]
    if name in _REQUESTS:
        return Cell("", requests=[str(one) for one in values])
    if isinstance(value, list):
        return Cell(", ".join(cell(name, one, place).text for one in values))
    number = _number(name, value)
    if number is not None:
        return _figure(name, number, place)
    return Cell(_moment(value) if isinstance(value, str) and _MOMENT.match(value) else str(value))


def _figure(name: str, number: float, place: Sequence[str]) -> Cell:
    if _MONEY.search(name):
        return Cell(money(number), is_number=True)
    if _SHARE.search(name) and -1 <= number <= 1:
        is_part = number >= 0 and not name.endswith("discount")
        return Cell(share(number), is_number=True, part=number if is_part else None)
    if _SPAN.search(name) or (name in {"p50", "p95", "p99"} and set(place) & _SPANS):
        return Cell(span(number), is_number=True)
    # The number of a tier is its name.
    return Cell(str(number)) if name in _NAMES else Cell(count(number), is_number=True)


def _number(name: str, value: Any) -> float | None:  # noqa: ANN401 - whatever a report has
    if isinstance(value, (int, float)):
        return value
    # Decimals are written as text; other texts that look like numbers are names.
    if isinstance(value, str) and _DECIMAL.fullmatch(value) and (_MONEY.search(name) or _SHARE.search(name)):
        return float(value)
    return None


def _moment(text: str) -> str:
    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:
        return text


def _parts(report: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what has a place of its own: single values, lists, and objects whose keys are data."""
    for key, value in report.items():
        place = (*path, key)
        if isinstance(value, dict) and value and len(place) < _DEEPEST and _is_record(value):
            yield from _parts(value, place)
        elif not (isinstance(value, dict) and not value):
            yield place, value


def _is_record(value: Mapping[str, Any]) -> bool:
    """Whether an object has fields, rather than figures under keys that are data: those have one type and any key."""
    kinds = {type(one) for one in value.values()}
    if all(map(_MONEY.search, value)):
        return True
    return len(kinds) > 1 or not kinds <= {int, float, str} or bool({"p50", "p95"} & value.keys())


def _rows_of(path: Sequence[str], value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a list or an object
    if isinstance(value, dict):
        return [{_key_name(path): key, "value": one} for key, one in value.items()]
    return [_flat(one) if isinstance(one, dict) else {"value": one} for one in value]


def _table(
    path: Sequence[str],
    items: Sequence[Mapping[str, Any]],
    value_name: str = "value",
    known: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    rows = [_flat(one) for one in items]
    columns = _columns(rows)
    cells = [[_named_cell(column, row.get(column), value_name) for column in columns] for row in rows]
    return Table(
        name=".".join(path),
        title=_title([known.get(part, part) for part in path]),
        columns=[
            _title(known.get(column, column).split(".")) if column != "value" else _VALUES.get(path[-1], "Value")
            for column in columns
        ],
        numeric=[_is_of_numbers(column, [row[n] for row in cells]) for n, column in enumerate(columns)],
        rows=cells,
    )


def _is_of_numbers(column: str, cells: Sequence[Cell]) -> bool:
    """Whether a column holds figures; one in which nothing is known does if its name says so."""
    if all(one.text == NONE for one in cells):
        return any(kind.search(column) for kind in (_MONEY, _SHARE, _SPAN, _PERCENTILE))
    return any(one.is_number for one in cells)


def _named_cell(column: str, value: Any, value_name: str) -> Cell:  # noqa: ANN401 - whatever a report has
    *place, name = column.split(".")
    return cell(value_name if name == "value" else name, value, place)


def _flat(row: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        place = f"{path}{key}"
        if isinstance(value, dict) and place.count(".") < _DEEPEST:
            found.update(_flat(value, f"{place}."))
        elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
            found[place] = [
                " ".join(f"{k} {v}" for k, v in one.items()) if isinstance(one, dict) else one for one in value
            ]
        else:
            found[place] = value
    return found


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _key_name(path: Sequence[str]) -> str:
    return {"statuses": "status", "kinds": "kind"}.get(path[-1], path[-1].rstrip("s") or "key")


def _title(path: Sequence[str]) -> str:
    if path[-1] in _LABELS:
        return _LABELS[path[-1]]
    words = [word for part in path for word in part.split("_")]
    kept = [_WORDS.get(word, word) for word in words]
    text = " ".join(word for word in kept if word) or "US dollars"
    return text[:1].upper() + text[1:]


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a report has
    return " ".join(map(str, value)) if isinstance(value, list) else value
