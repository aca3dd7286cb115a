"""The points of the plane at which fields are evaluated."""

import numpy as np
import pytest

from experiments.kit.plane import lattice


def test_a_lattice_is_the_centres_of_equal_cells_row_by_row_from_below():
    points = lattice((0.0, 3.0), 3)
    np.testing.assert_allclose(points[0], [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5]])
    np.testing.assert_allclose(points[:, 0], [[0.5, 0.5], [0.5, 1.5], [0.5, 2.5]])
    for arguments in (((1.0, 1.0), 3), ((0.0, 1.0), 0)):
        with pytest.raises(ValueError, match="ascending limits"):
            lattice(*arguments)
