"""Tables: order, alignment, formats, the best in bold."""

import numpy as np
import pytest

from jaxgen.report import table

ROWS = [
    {"sampler": "ddpm", "fd": (4.61, 0.21), "seconds": 12.4},
    {"sampler": "ddim", "fd": (4.67, 0.2), "seconds": np.float32(1.25), "note": "fast"},
    {"sampler": "none", "fd": None, "seconds": float("nan")},
]


def texts(laid_out):
    return [[cell.text for cell in row] for row in laid_out.rows]


def test_all_columns_as_they_first_appear_with_dashes_for_what_is_missing():
    laid_out = table(ROWS)
    assert [cell.text for cell in laid_out.header] == ["sampler", "fd", "seconds", "note"]
    assert texts(laid_out) == [
        ["ddpm", "4.61 ± 0.21", "12.4", "–"],
        ["ddim", "4.67 ± 0.20", "1.25", "fast"],
        ["none", "–", "–", "–"],
    ]
    assert [cell.number for cell in laid_out.rows[2]] == [False, True, True, False]
    assert [cell.number for cell in laid_out.header] == [False, True, True, False]


def test_a_column_of_nothing_is_text():
    assert not table([{"a": None}]).rows[0][0].number


def test_columns_choose_order_and_title():
    laid_out = table(
        ROWS, {"seconds": "time (s)", "sampler": "sampler"}, formats={"seconds": ".1f", "sampler": str.upper}
    )
    assert [cell.text for cell in laid_out.header] == ["time (s)", "sampler"]
    assert texts(laid_out)[:2] == [["12.4", "DDPM"], ["1.2", "DDIM"]]
    assert [cell.text for cell in table(ROWS, ["seconds"]).header] == ["seconds"]
    assert texts(table([{"x": -1.5}], formats={"x": ".2f"})) == [["−1.50"]]
    assert texts(table([{"x": np.pi}], digits=2)) == [["3.1"]]


def test_the_best_ignores_what_is_missing_and_marks_ties():
    marked = table([ROWS[2], *ROWS[:2], ROWS[0]], best={"fd": "min", "seconds": "max"})
    assert [row[1].best for row in marked.rows] == [False, True, False, True]
    assert [row[2].best for row in marked.rows] == [False, True, False, True]
    assert not any(cell.best for row in table(ROWS).rows for cell in row)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["fid"]}, "columns names \\['fid'\\]"),
        ({"formats": {"fid": ".1f"}}, "formats names \\['fid'\\]"),
        ({"best": {"fid": "min"}}, "best names \\['fid'\\]"),
        ({"best": {"fd": "lowest"}}, "'min' or 'max'"),
        ({"best": {"sampler": "min"}}, "a column of numbers"),
    ],
)
def test_refuses_unknown_columns(options, message):
    with pytest.raises(ValueError, match=message):
        table(ROWS, **options)
    with pytest.raises(ValueError, match="at least one row"):
        table([], **options)
