"""The loader of the published dSprites file, on small files of the same form and on hostile ones."""

import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hostile import Marker, npy, put, zipped

from jaxgen.data import Batches, dsprites_factors, load_dsprites, render_dsprites

INDEX = np.random.default_rng(0).choice(737_280, 60, replace=False)


def arrays(folder, **changed):
    """The keys and dtypes of the published file, of a few of its images."""
    classes = dsprites_factors(INDEX).astype(np.int64)
    published = {
        "metadata": np.array(Marker(folder / "unpickled"), dtype=object),
        "imgs": (render_dsprites(INDEX)[..., 0] > 0).astype(np.uint8),
        "latents_classes": classes,
        "latents_values": classes.astype(np.float64),
    }
    return {key: value for key, value in (published | changed).items() if value is not None}


@pytest.fixture
def save(tmp_path):
    def saved(**changed):
        np.savez_compressed(tmp_path / "d.npz", **arrays(tmp_path, **changed))
        return tmp_path / "d.npz"

    return saved


def test_images_and_factors_are_those_of_the_file_and_nothing_is_unpickled(save, tmp_path):
    data = load_dsprites(str(save()))
    np.testing.assert_array_equal(data.index, INDEX)
    np.testing.assert_array_equal(data.factors, dsprites_factors(INDEX))
    images = data.images(data.codes)
    assert (images.shape, images.dtype) == ((60, 64, 64, 1), np.uint8)
    np.testing.assert_array_equal(images, render_dsprites(INDEX))
    assert data.codes.nbytes == 60 * 512
    assert not (tmp_path / "unpickled").exists()
    np.load(tmp_path / "d.npz", allow_pickle=True)["metadata"]  # it would have
    assert (tmp_path / "unpickled").exists()


def test_it_serves_where_a_rendered_set_does(save):
    data = load_dsprites(save()).subset(shape=(0, 1))
    assert 20 < len(data) < 60
    batches = Batches(data.codes, 5, seed=3)
    np.testing.assert_array_equal(jax.jit(data.images)(batches(2)), render_dsprites(data.index[batches.indices(2)]))
    assert data.take(slice(0, 3)).images(data.codes[:3]).shape == (3, 64, 64, 1)


@pytest.mark.parametrize("size", [16, pytest.param(32, marks=pytest.mark.slow)])
def test_smaller_sizes_are_averages(save, size):
    data = load_dsprites(save(), size=size, average=True)
    for codes in (data.codes, jnp.asarray(data.codes)):
        np.testing.assert_array_equal(data.images(codes), render_dsprites(INDEX, size, average=True))


def test_blocks_change_nothing(save, monkeypatch):
    monkeypatch.setattr("jaxgen.data.dsprites.files._BLOCK", 7)
    data = load_dsprites(save())
    np.testing.assert_array_equal(data.images(data.codes), render_dsprites(INDEX))


def refuse(message, path, error=ValueError, **options):
    with pytest.raises(error, match=message):
        load_dsprites(path, **options)


def test_paths_and_sizes_are_refused(tmp_path, save):
    refuse("nowhere.npz does not exist", tmp_path / "nowhere.npz", FileNotFoundError)
    refuse("not a readable .npz", put(tmp_path, "x.npz", b"garbage"))
    refuse("is a folder, pipe, socket or device", tmp_path)
    refuse("size=32 needs average=True", save(), size=32)
    refuse("size is 20", save(), size=20, average=True)


def test_arrays_are_refused(save):
    none = np.array([[None]])
    for changed, message in (
        *(({key: None}, rf"but not \['{key}'\]: is it the dSprites file") for key in ("imgs", "latents_classes")),
        *(({key: none}, rf"\[{key}\] is pickled, and loading that can run") for key in ("imgs", "latents_classes")),
        ({"imgs": np.zeros((60, 64, 64))}, r"imgs\] is float64 of shape .*; expected uint8 \(60, 64, 64\)"),
        ({"imgs": np.zeros((59, 64, 64), np.uint8)}, r"of shape \(59, 64, 64\); expected uint8 \(60, 64, 64\)"),
        ({"imgs": np.zeros((60, 32, 32), np.uint8)}, r"of shape \(60, 32, 32\)"),
        ({"imgs": np.zeros((60, 4096), np.uint8)}, r"shape \(60, 4096\); expected 3 axes"),
        ({"imgs": np.zeros((64, 64, 60), np.uint8).T}, "in column order; expected 3 axes, row-major"),
        ({"imgs": np.full((60, 64, 64), 255, np.uint8)}, "values up to 255; dSprites are binary"),
        ({"latents_classes": np.zeros((60, 5), int)}, r"of shape \(60, 5\); expected integers \(N, 6\)"),
        ({"latents_classes": np.zeros((60, 6))}, "is float64 of shape"),
        ({"latents_classes": np.full((60, 6), 7)}, "colour spans .7, 7.; its classes are 0 to 0"),
        ({"latents_classes": np.zeros((0, 6), int), "imgs": np.zeros((0, 64, 64), np.uint8)}, r"N to 737280"),
    ):
        refuse(message, save(**changed))


def test_altered_files_are_refused(save, tmp_path):
    whole = save().read_bytes()
    refuse("not a readable .npz", put(tmp_path, "cut.npz", whole[: len(whole) // 2]))
    altered = bytearray(whole)
    altered[whole.index(b"imgs.npy") + 600] ^= 0xFF
    refuse(r"altered.npz\[imgs\] is not a readable array", put(tmp_path, "altered.npz", bytes(altered)))
    images, classes = (npy(arrays(tmp_path)[key]) for key in ("imgs", "latents_classes"))
    for first, second, message in (
        # shorter and longer than announced
        (images[:128], classes, r"shape \(60, 64, 64\), 245760 bytes, but holds 0"),
        (images + b"\0", classes, r"shape \(60, 64, 64\), 245760 bytes, but holds 245761"),
        *(
            (images[:20] + garble + images[25:], classes[:20] + garble + classes[25:], "not a readable array of numb")
            for garble in (b"(((((", b"'imgs", b"{{{{{", b"\x00\xff\x00\xff\x00")
        ),
    ):
        refuse(message, put(tmp_path, "d.npz", zipped(("imgs.npy", first), ("latents_classes.npy", second))))


def test_absurd_claims_are_refused_before_anything_is_allocated(tmp_path):
    """Headers that promise 10¹² images, with nothing behind them."""
    headers = [
        (f"{key}.npy", npy(header=f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"))
        for key, descr, shape in (("imgs", "|u1", (10**12, 64, 64)), ("latents_classes", "<i8", (10**12, 6)))
    ]
    path = put(tmp_path, "d.npz", zipped(*headers))
    tracemalloc.start()
    refuse(r"shape \(1000000000000, 6\); expected integers \(N, 6\), N to 737280", path)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()
