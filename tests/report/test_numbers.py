"""Numbers as text, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.report.numbers import format_value, is_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.012345, "0.0123"),
        (0.00012, "0.000120"),
        (9.996, "10.0"),
        (999.96, "1,000"),
        (123456.7, "123,457"),
        (1.234e7, "1.23×10⁷"),
        (1.2e-5, "1.20×10⁻⁵"),
        (-2.5, "−2.50"),
        (float("nan"), "–"),
        (None, "–"),
        (float("inf"), "∞"),
        (-float("inf"), "−∞"),
        (12000, "12,000"),
        (-7, "−7"),
        (True, "yes"),
        (np.False_, "no"),
        ("ddim-50", "ddim-50"),
        (np.float32(0.1), "0.100"),
        (jnp.float32(2.5), "2.50"),
        (np.int64(5000), "5,000"),
        ((4.613, 0.2074), "4.61 ± 0.21"),
        ((121.34, 12.2), "121 ± 12"),
        ((1234.5, 120.0), "1,234 ± 120"),
        ((-0.00012, 0.000034), "−0.000120 ± 0.000034"),
        ((-1.2e-12, 3.4e-13), "−1.2×10⁻¹² ± 3×10⁻¹³"),
        ((4.613, 0.0), "4.61"),
        ((4.613, float("nan")), "4.61"),
        ((jnp.float32(1.5), np.float32(0.25)), "1.50 ± 0.25"),
    ],
)
def test_readable(value, text):
    assert format_value(value) == text


def test_digits_are_a_choice():
    assert format_value(np.pi, digits=5) == "3.1416"
    assert format_value(2.4e9, digits=1) == "2×10⁹"


def test_numbers_are_told_from_the_rest():
    assert all(map(is_number, [1, 1.5, np.float32(2), jnp.int32(3), (1.0, 0.1), float("nan")]))
    assert not any(map(is_number, ["1", None, True, np.True_, np.ones(2), (1, 2, 3), ("a", 1), ((1, 2), 3)]))
