"""dSprites against polygons, areas and symmetries, and the set that holds none of its images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.path import Path

from jaxgen.data import DSPRITES_FACTORS, Batches, DSprites, dsprites_factors, dsprites_index, render_dsprites

SHAPES = SQUARE, ELLIPSE, HEART = range(3)
COUNT = 737_280


def number(shape=0, scale=5, orientation=0, x=15, y=15):
    """The numbers of the images of all combinations, flat."""
    grid = np.meshgrid([0], shape, scale, orientation, x, y, indexing="ij")
    return dsprites_index(np.stack([axis.reshape(-1) for axis in grid], axis=1))


def inside(**factors):
    return render_dsprites(number(**factors))[..., 0] > 0


def outline(shape):
    """The corners of a polygon as close to the unturned shape as pixels can tell."""
    tau = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    if shape == SQUARE:
        return 9.599 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    if shape == ELLIPSE:
        return np.stack([12.77 * np.cos(tau), 7.2125 * np.sin(tau)], 1)
    wave = 13 * np.cos(tau) - 5 * np.cos(2 * tau) - 2 * np.cos(3 * tau) - np.cos(4 * tau)
    return np.stack([9.594 * np.sin(tau) ** 3, -1.4365 - 0.6622 * wave], 1)


def polygon_image(shape, scale, orientation, x, y, size=64):
    """A pixel is inside if matplotlib finds its centre in the polygon, scaled, turned and moved into place."""
    angle, s = 2 * np.pi * orientation / 39, 0.5 + 0.1 * scale
    # (u, v) = R (x, y), so that points of the shape are turned by the transpose
    turned = outline(shape) @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    rows, columns = np.mgrid[:size, :size]
    centres = (np.stack([columns, rows], -1).reshape(-1, 2) + 0.5) * (64 / size)
    path = Path(s * turned + (16 + 32 * x / 31, 16 + 32 * y / 31))
    return path.contains_points(centres).reshape(size, size)


@pytest.mark.parametrize("size", [64, 32, 16])
def test_the_shapes_are_the_polygons_of_their_outlines(size, daily):
    index = np.random.default_rng(size).integers(0, COUNT, 600 // size if daily else 150)
    images = render_dsprites(index, size)[..., 0] > 0
    for image, (_, *factors) in zip(images, dsprites_factors(index).tolist(), strict=True):
        np.testing.assert_array_equal(image, polygon_image(*factors, size), str(factors))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [3, *(pytest.param(scale, marks=pytest.mark.slow) for scale in (0, 5))])
def test_areas(shape, scale):
    s, edges = 0.5 + 0.1 * scale, np.diff(outline(shape), axis=0, append=outline(shape)[:1])
    perimeter = s * np.sum(np.hypot(*edges.T))
    u, v = outline(HEART).T
    area_of_heart = abs(np.sum(u * np.roll(v, -1) - v * np.roll(u, -1))) / 2  # Green's theorem
    area = s**2 * (19.198**2, np.pi * 12.77 * 7.2125, area_of_heart)[shape]
    counts = inside(shape=shape, scale=scale, orientation=range(1, 40, 3), x=range(0, 31, 4), y=range(0, 31, 4)).sum(
        (1, 2)
    )
    assert np.abs(counts - area).max() < perimeter
    # Where the centres of pixels fall is as good as random, so that over many places the errors average out.
    error = counts.std() / np.sqrt(len(counts))
    assert abs(counts.mean() - area) < 4 * error < 0.004 * area


def test_where_a_square_lies():
    """Half-side 9.599 about 16 and 48: centres from 6.5 to 25.5 and from 38.5 to 57.5; x across, y down."""
    for x, columns in ((0, slice(6, 26)), (31, slice(38, 58))):
        for y, rows in ((0, slice(6, 26)), (31, slice(38, 58))):
            expected = np.zeros((64, 64), bool)
            expected[rows, columns] = True
            np.testing.assert_array_equal(inside(x=x, y=y)[0], expected)
    assert inside(scale=0, x=0, y=0).sum() == 10**2  # half-side 4.7995: centres from 11.5 to 20.5


def test_a_heart_points_down_and_turns_to_the_right_first():
    upright, quarter = inside(shape=HEART, orientation=(0, 10), x=0, y=0)
    rows, columns = np.nonzero(upright)
    assert columns[rows == rows.max()].tolist() == [15, 16]  # the tip
    assert not upright[rows.min(), 15:17].any()  # the cleft between the lobes
    rows, columns = np.nonzero(quarter)
    assert abs(rows[columns == columns.max()].mean() - 15.5) <= 1


def test_first_and_last_orientation_coincide_and_others_do_not():
    for shape in SHAPES:
        images = inside(shape=shape, orientation=range(40), x=7, y=20)
        np.testing.assert_array_equal(images[0], images[39])
        assert len({image.tobytes() for image in images}) == 39


@pytest.mark.parametrize("shape", SHAPES)
def test_mirrors(shape):
    """Seen in a mirror, x is 31 − x and orientation 39 − orientation, whatever the shape."""
    images = inside(shape=shape, scale=(1, 4), orientation=range(40), x=(3, 16), y=9)
    mirrored = inside(shape=shape, scale=(1, 4), orientation=range(39, -1, -1), x=(28, 15), y=9)
    np.testing.assert_array_equal(images[:, :, ::-1], mirrored)


@pytest.mark.parametrize("shape", SHAPES)
def test_half_turns(shape):
    images = inside(shape=shape, scale=(1, 4), orientation=range(40), x=(3, 16), y=9)
    turned = inside(shape=shape, scale=(1, 4), orientation=range(40), x=(28, 15), y=22)
    same = (images[:, ::-1, ::-1] == turned).all((1, 2))
    assert same.all() if shape != HEART else not same.any()


@pytest.mark.parametrize("size", [32, 16])
def test_averages_are_box_means(size):
    index = np.random.default_rng(0).integers(0, COUNT, 50)
    factor = 64 // size
    means = render_dsprites(index).reshape(-1, size, factor, size, factor).mean((2, 4))
    averaged = render_dsprites(index, size, average=True)
    assert np.abs(averaged[..., 0] - means).max() <= 0.5
    assert len(np.unique(averaged)) == factor**2 + 1
    np.testing.assert_array_equal(np.unique(render_dsprites(index, size)), [0, 255])


@pytest.mark.parametrize(
    ("size", "average"),
    [(16, True), *(pytest.param(size, False, marks=pytest.mark.slow) for size in (64, 32))],
)
def test_jax_draws_the_same_with_and_without_jit(size, average):
    index = np.random.default_rng(1).integers(0, COUNT, 100).astype(np.int32)
    images = render_dsprites(index, size, average)
    assert (images.dtype, images.shape) == (np.uint8, (100, size, size, 1))
    on_device = render_dsprites(jnp.asarray(index), size, average)
    jitted = jax.jit(lambda i: render_dsprites(i, size, average))(index)
    for other in (on_device, jitted):
        assert isinstance(other, jax.Array)
        assert other.dtype == jnp.uint8
        # float32 may see a pixel's centre on the other side of an outline, in one image in tens of thousands
        assert (np.asarray(other) != images).sum() <= 1


def test_numbers_and_factors():
    sizes = [len(values) for values in DSPRITES_FACTORS.values()]
    assert list(DSPRITES_FACTORS) == ["colour", "shape", "scale", "orientation", "x", "y"]
    assert sizes == [1, 3, 6, 40, 32, 32]
    everything = np.arange(COUNT)
    factors = dsprites_factors(everything)
    np.testing.assert_array_equal(factors, np.stack(np.unravel_index(everything, sizes), 1))
    np.testing.assert_array_equal(dsprites_index(factors), everything)
    np.testing.assert_array_equal(factors[1] - factors[0], [0, 0, 0, 0, 0, 1])  # y fastest
    ends = {"shape": (1, 3), "scale": (0.5, 1), "orientation": (0, 2 * np.pi), "x": (0, 1), "y": (0, 1)}
    for name, (first, last) in ends.items():
        values = DSPRITES_FACTORS[name]
        np.testing.assert_allclose(values[[0, -1]], [first, last])
        np.testing.assert_allclose(np.diff(values), (last - first) / (len(values) - 1))
    with pytest.raises(ValueError, match="read-only"):
        DSPRITES_FACTORS["x"][0] = 3


class TestTheSet:
    def test_the_whole_of_it(self):
        data = DSprites()
        assert len(data) == COUNT
        assert data.codes.nbytes < 3e6
        np.testing.assert_array_equal(data.codes, np.arange(COUNT))
        np.testing.assert_array_equal(data.images(data.codes[:3]), render_dsprites(np.arange(3)))

    def test_batches_of_codes_become_images_under_jit(self):
        data = DSprites(size=16, average=True).subset(shape=(0, 2), x=slice(None, None, 8), y=31)
        batches = Batches(data.codes, 7, seed=1)
        images = jax.jit(data.images)(batches(3))
        assert images.shape == (7, 16, 16, 1)
        expected = render_dsprites(data.index[batches.indices(3)], 16, average=True)
        np.testing.assert_array_equal(images, expected)

    def test_subsets(self):
        data = DSprites().subset(shape=1, orientation=slice(0, 40, 10), x=[0, 31])
        assert len(data) == 6 * 4 * 2 * 32
        for column, classes in zip(
            data.factors.T, [[0], [1], range(6), [0, 10, 20, 30], [0, 31], range(32)], strict=True
        ):
            np.testing.assert_array_equal(np.unique(column), list(classes))
        assert (np.diff(data.index) > 0).all()
        again = data.subset(scale=5, y=range(0, 32, 16))
        np.testing.assert_array_equal(
            again.index, number(shape=1, orientation=range(0, 40, 10), x=(0, 31), y=(0, 16)).reshape(-1)
        )
        part = data.take(np.arange(len(data)) % 5 == 0)
        np.testing.assert_array_equal(part.index, data.index[::5])
        assert part.size == 64

    def test_bad_subsets(self, unchecked):
        for classes, message in (
            ({"color": 0}, "no factor 'color'; the factors are colour, shape"),
            ({"shape": 3}, r"shape=3 asks for \[3\]; its classes are 0 to 2"),
            ({"scale": [0, -1]}, "scale=.* its classes are 0 to 5"),
            ({"x": slice(32, None)}, r"asks for \[\]"),
            ({"y": 0.5}, r"its classes are 0 to 31"),
            ({"shape": 1}, "no image of this set has"),
        ):
            with pytest.raises(ValueError, match=message):
                DSprites().subset(shape=2).subset(**classes)

    def test_bad_sets(self):
        for arguments, message in [
            ({"index": np.array([COUNT])}, r"index spans \[737280, 737280\]; dSprites has the images 0 to 737279"),
            ({"index": np.array([], int)}, "at least one"),
            ({"index": np.zeros((2, 2), int)}, r"expected integers \(N,\)"),
            ({"index": np.zeros(2)}, "index is float64"),
            ({"size": 48}, "size is 48"),
            ({"index": np.arange(2), "packed": np.zeros((3, 512), np.uint8)}, r"expected uint8 \(2, 512\)"),
            ({"index": np.arange(2), "packed": np.zeros((2, 512), np.uint8), "size": 32}, "needs average=True"),
        ]:
            with pytest.raises(ValueError, match=message):
                DSprites(**arguments)


def test_bad_numbers_and_factors_are_refused(unchecked):
    for bad in (np.array([0, COUNT]), np.array([-1])):
        for refuse in (render_dsprites, dsprites_factors, lambda i: render_dsprites(jnp.asarray(i))):
            with pytest.raises(ValueError, match=r"dSprites has the images 0 to 737279"):
                refuse(bad)
    with pytest.raises(ValueError, match="size is 128; dSprites are drawn on 64, 32 or 16 pixels"):
        render_dsprites(np.arange(2), 128)
    for column, (name, values) in enumerate(DSPRITES_FACTORS.items()):
        size = len(values)
        for bad in (-1, size):
            factors = np.zeros((2, 6), int)
            factors[1, column] = bad
            with pytest.raises(ValueError, match=rf"^{name} spans .*; its classes are 0 to {size - 1}\.$"):
                dsprites_index(factors)
    with pytest.raises(ValueError, match=r"shape \(2, 5\); expected \(n, 6\)"):
        dsprites_index(np.zeros((2, 5), int))
