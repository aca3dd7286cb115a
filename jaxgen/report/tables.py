"""Tables of results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxgen.report.numbers import format_value, is_number, scalar

Format = str | Callable[[Any], str]


@dataclass(frozen=True)
class Cell:
    """One entry as text; `number` aligns it to the right, `best` makes it bold."""

    text: str
    number: bool = False
    best: bool = False


@dataclass(frozen=True)
class Table:
    """The header and the rows of a table."""

    header: list[Cell]
    rows: list[list[Cell]]


def table(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | Mapping[str, str] | None = None,
    *,
    formats: Mapping[str, Format] | None = None,
    best: Mapping[str, str] | None = None,
    digits: int = 3,
) -> Table:
    """Lay out rows of values as a table of text.

    Args:
        rows: rows {column: value}. A missing value is a dash; a (value, error) pair becomes value ± error.
        columns: columns to show, in order, or {column: title}; by default all, as they first appear.
        formats: a format such as ".2f", or a function, by column.
        best: {column: "min" or "max"}: which value is set in bold.
        digits: significant digits of numbers without a format.

    Returns:
        The table, with a cell for each row and column.

    Raises:
        ValueError: if there are no rows, a column is unknown, or a `best` is neither "min" nor "max" of numbers.
    """
    if not rows:
        raise ValueError("a table needs at least one row")
    known = list(dict.fromkeys(column for row in rows for column in row))
    titles = dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns or known}
    formats, best = formats or {}, best or {}
    for what, names in (("columns", titles), ("formats", formats), ("best", best)):
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{what} names {unknown}, which no row has: the rows have {known}")
    body = {}
    for column in titles:
        values = [scalar(row.get(column)) for row in rows]
        numeric = all(is_number(value) for value in values if value is not None) and any(v is not None for v in values)
        winner = _best(column, values, best[column]) if column in best else None
        body[column] = [
            Cell(_text(value, formats.get(column), digits), numeric, winner is not None and _key(value) == winner)
            for value in values
        ]
    header = [Cell(titles[column], number=body[column][0].number) for column in titles]
    return Table(header, [list(cells) for cells in zip(*body.values(), strict=True)])


def _text(value: Any, how: Format | None, digits: int) -> str:
    if how is None or value is None:
        return format_value(value, digits)
    return how(value) if callable(how) else format(value, how).replace("-", "−")


def _key(value: Any) -> Any:
    return scalar(value[0] if isinstance(value, tuple) else value)


def _best(column: str, values: Sequence[Any], which: str) -> Any:
    numbers = [_key(value) for value in values if is_number(value) and _key(value) == _key(value)]
    if which not in ("min", "max") or not numbers:
        raise ValueError(f"best[{column!r}] must be 'min' or 'max' of a column of numbers, got {which!r}")
    return min(numbers) if which == "min" else max(numbers)
