import re
import tarfile

import numpy as np
import pytest
from hostile import PNG, put, tar
from PIL import Image

from jaxgen.data import load_images

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)
LABELS = np.array([2, 0, 1, 1, 0, 2])


def save_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def tree(tmp_path):
    """A tree of train/<class>/ and test/<class>/ with six images, beside files that are none."""
    root = tmp_path / "tree"
    places = ["test/cat/0", "test/dog/0", "train/cat/0", "train/cat/1", "train/dog/0", "train/dog/1"]
    for place, pixels in zip(places, COLOUR, strict=True):
        save_png(root / f"{place}.png", pixels)
    (root / "train/cat/notes.txt").write_text("no image")
    (root / "train/cat/._0.png").write_bytes(b"resource fork")
    return root


def tar_of(tree, path):
    with tarfile.open(path, "w:" + {"tar": "", "gz": "gz", "xz": "xz"}[path.suffix[1:]]) as archive:
        for file in sorted(tree.rglob("*"), reverse=True):
            archive.add(file, arcname=file.relative_to(tree), recursive=False)
    return path


class TestArrays:
    def test_npy(self, tmp_path):
        np.save(tmp_path / "x.npy", COLOUR)
        data = load_images(tmp_path / "x.npy", size=8)
        np.testing.assert_array_equal(data.images, COLOUR)
        assert data.labels is None

    @pytest.mark.parametrize("form", ["integers", "column", "one-hot", "float one-hot", "array"])
    def test_npy_with_labels(self, tmp_path, form):
        np.save(tmp_path / "x.npy", COLOUR)
        stored = {
            "column": LABELS[:, None],
            "one-hot": np.eye(3, dtype=int)[LABELS],
            "float one-hot": np.eye(3)[LABELS],
        }
        np.save(tmp_path / "y.npy", stored.get(form, LABELS))
        data = load_images(str(tmp_path / "x.npy"), labels=LABELS if form == "array" else tmp_path / "y.npy")
        np.testing.assert_array_equal(data.labels, LABELS)
        assert np.issubdtype(data.labels.dtype, np.integer)

    def test_grey_and_float_arrays(self, tmp_path):
        grey = RNG.random((5, 8, 8))
        np.save(tmp_path / "x.npy", grey)
        data = load_images(tmp_path / "x.npy")
        np.testing.assert_array_equal(data.images, grey[..., None])

    @pytest.mark.parametrize(
        ("image_key", "label_key", "subset"),
        [
            ("images", "labels", None),
            ("x", "y", None),
            ("pixels", "y", None),
            ("x_train", "y_train", "train"),
            ("val_images", "val_labels", "val"),
        ],
    )
    def test_npz_keys(self, tmp_path, image_key, label_key, subset):
        names = np.array(["a", "b", "c"])
        decoys = {"other": np.zeros((2, 2)), "x_test": COLOUR[:2], "test_images": COLOUR[:2]} if subset else {}
        arrays = {image_key: COLOUR, label_key: LABELS, "label_names": names, **decoys}
        np.savez(tmp_path / "d.npz", **arrays)
        data = load_images(tmp_path / "d.npz", subset=subset)
        np.testing.assert_array_equal(data.images, COLOUR)
        np.testing.assert_array_equal(data.labels, LABELS)
        assert data.label_names == ("a", "b", "c")

    def test_labels_under_another_name_are_not_dropped_silently(self, tmp_path, recwarn):
        for arrays, options, message in (
            ({"targets": LABELS}, {}, r"d.npz has no labels under 'labels' or 'y', and its arrays \['targets'\]"),
            ({"x_train": COLOUR, "classes_train": LABELS}, {"subset": "train"}, r"\['images', 'classes_train'\]"),
            ({"x_train": COLOUR, "x_test": COLOUR, "targets": LABELS}, {"subset": "train"}, r"\['images', 'targets'\]"),
            ({"targets": LABELS}, {"labels": LABELS}, None),
            ({"targets": LABELS, "y": LABELS}, {}, None),
            ({}, {}, None),
        ):
            np.savez(tmp_path / "d.npz", images=COLOUR, **arrays)
            data = load_images(tmp_path / "d.npz", **options)
            assert (data.labels is None) == (message is not None or not arrays)
            assert message is None or re.search(message, str(recwarn.pop(UserWarning).message))
            assert not recwarn

    def test_label_names_without_labels_are_dropped(self, tmp_path):
        np.savez(tmp_path / "d.npz", images=COLOUR, label_names=np.array(["a"]))
        assert load_images(tmp_path / "d.npz").label_names == ()

    def test_resize_of_arrays_averages_boxes(self, tmp_path):
        values = RNG.random((3, 8, 8, 3)).astype(np.float32)
        np.save(tmp_path / "x.npy", values)
        data = load_images(tmp_path / "x.npy", size=4, resize=4, resize_filter="box")
        means = values.reshape(3, 4, 2, 4, 2, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(data.images, means, rtol=1e-5)

    def test_resized_floats_stay_in_their_range(self, tmp_path):
        edge = np.zeros((1, 16, 16, 1), np.float32)
        edge[:, :, 8:] = 1.0
        np.save(tmp_path / "x.npy", edge)
        resized = load_images(tmp_path / "x.npy", resize=32, resize_filter="lanczos").images
        assert (resized.min(), resized.max()) == (0.0, 1.0)


class TestImageFiles:
    def test_folder_classes_are_parent_folders(self, tree):
        data = load_images(tree)
        np.testing.assert_array_equal(data.images, COLOUR)
        assert data.label_names == ("cat", "dog")
        np.testing.assert_array_equal(data.labels, [0, 1, 0, 0, 1, 1])

    def test_subset(self, tree):
        data = load_images(tree, subset="train")
        np.testing.assert_array_equal(data.images, COLOUR[2:])
        np.testing.assert_array_equal(data.labels, [0, 0, 1, 1])

    @pytest.mark.parametrize("name", ["d.tar", "d.tar.gz", "d.tar.xz"])
    @pytest.mark.parametrize("subset", [None, "test"])
    def test_a_tar_is_its_folder(self, tree, tmp_path, name, subset):
        folder, tar = load_images(tree, subset=subset), load_images(tar_of(tree, tmp_path / name), subset=subset)
        np.testing.assert_array_equal(tar.images, folder.images)
        np.testing.assert_array_equal(tar.labels, folder.labels)
        assert tar.label_names == folder.label_names

    def test_a_flat_folder_is_unlabelled(self, tree):
        data = load_images(tree / "train" / "dog")
        np.testing.assert_array_equal(data.images, COLOUR[4:])
        assert data.labels is None
        assert data.label_names == ()

    def test_grey_images_have_one_channel_unless_others_have_colour(self, tmp_path):
        grey = COLOUR[0, ..., 0]
        save_png(tmp_path / "d" / "0.png", grey)
        np.testing.assert_array_equal(load_images(tmp_path / "d").images, grey[None, ..., None])
        save_png(tmp_path / "d" / "1.png", COLOUR[1])
        mixed = load_images(tmp_path / "d").images
        np.testing.assert_array_equal(mixed, [np.repeat(grey[..., None], 3, -1), COLOUR[1]])

    def test_transparency_is_laid_on_white(self, tmp_path):
        alpha = np.full((8, 8, 1), 255, np.uint8)
        alpha[:4] = 0
        save_png(tmp_path / "d" / "0.png", np.concatenate([COLOUR[0], alpha], axis=-1))
        loaded = load_images(tmp_path / "d").images[0]
        assert (loaded[:4] == 255).all()
        np.testing.assert_array_equal(loaded[4:], COLOUR[0, 4:])

    def test_resize_crops_to_the_central_square(self, tmp_path):
        wide = np.concatenate([np.zeros((8, 4, 3), np.uint8), COLOUR[0], np.zeros((8, 4, 3), np.uint8)], axis=1)
        save_png(tmp_path / "d" / "wide.png", wide)
        save_png(tmp_path / "d" / "plain.png", COLOUR[1].repeat(3, 0).repeat(3, 1))
        data = load_images(tmp_path / "d", size=8, resize=8, resize_filter="box")
        np.testing.assert_array_equal(data.images, COLOUR[[1, 0]])

    def test_filters_differ(self, tree):
        results = {load_images(tree, resize=5, resize_filter=f).images.tobytes() for f in ("nearest", "box", "bicubic")}
        assert len(results) == 3


class TestRefusals:
    def refuse(self, error, message, path, **options):
        with pytest.raises(error, match=message):
            load_images(path, **options)

    def test_paths(self, tmp_path):
        self.refuse(FileNotFoundError, "missing.npy does not exist", tmp_path / "missing.npy")
        (tmp_path / "x.zip").touch()
        self.refuse(ValueError, "unknown extension; expected .npy, .npz", tmp_path / "x.zip")
        (tmp_path / "empty").mkdir()
        self.refuse(FileNotFoundError, "holds no images", tmp_path / "empty")

    def test_sizes(self, tree, tmp_path):
        np.save(tmp_path / "x.npy", COLOUR)
        for path in (tmp_path / "x.npy", tree):
            self.refuse(ValueError, r"16×16.*pass resize=16", path, size=16)
            self.refuse(ValueError, "resize=4 contradicts size=8", path, size=8, resize=4)
            self.refuse(ValueError, "resize is 0", path, resize=0)
            self.refuse(ValueError, r"resize_filter is 'cubic'; expected one of", path, resize=4, resize_filter="cubic")
        save_png(tree / "train/dog/9.png", COLOUR[0, :6])
        self.refuse(ValueError, r"9.png has 6×8 pixels, but the size of .* is 8×8: pass resize=8", tree)

    def test_subsets(self, tree, tmp_path):
        self.refuse(ValueError, r"no folder 'valid'.*\['cat', 'dog', 'test', 'train'\]", tree, subset="valid")
        np.save(tmp_path / "x.npy", COLOUR)
        self.refuse(ValueError, "one array without parts", tmp_path / "x.npy", subset="train")
        np.savez(tmp_path / "d.npz", x_train=COLOUR)
        self.refuse(
            ValueError, r"\['x_train'\]; expected images under 'test_images' or", tmp_path / "d.npz", subset="test"
        )

    def test_npz_without_clear_images(self, tmp_path):
        np.savez(tmp_path / "two.npz", a=COLOUR, b=COLOUR)
        self.refuse(ValueError, r"\['a', 'b'\]; expected images under 'images' or 'x'", tmp_path / "two.npz")

    def test_labels(self, tree, tmp_path):
        np.save(tmp_path / "x.npy", COLOUR)
        x = tmp_path / "x.npy"
        self.refuse(ValueError, r"labels have shape \(5,\); expected \(6,\)", x, labels=LABELS[:5])
        self.refuse(ValueError, "not one-hot", x, labels=np.ones((6, 3)))
        self.refuse(ValueError, r"shape \(6, 1, 1\); expected integers", x, labels=LABELS[:, None, None])
        self.refuse(TypeError, "labels are float64", x, labels=LABELS / 2)
        self.refuse(ValueError, r"span 0 to 4294967296, beyond 32 bits", x, labels=LABELS.clip(0, 1) * 2**32)
        np.save(tmp_path / "y.npy", LABELS / 2)
        self.refuse(ValueError, "y.npy: labels have dtype float64; expected integers", x, labels=tmp_path / "y.npy")
        self.refuse(FileNotFoundError, "nowhere.npy does not exist", x, labels=tmp_path / "nowhere.npy")
        self.refuse(ValueError, "expected a .npy file", x, labels=tree)
        self.refuse(ValueError, "labels of .* are its folders", tree, labels=LABELS)
        self.refuse(ValueError, r"x.npy: the labels 0, 5000, 10000 make 10,001 classes", x, labels=LABELS * 5000)

    def test_dtypes_and_shapes(self, tmp_path):
        for array, error, message in [
            (COLOUR.astype(np.int32), ValueError, "dtype int32; expected uint8"),
            (COLOUR.transpose(0, 3, 1, 2), ValueError, "channels-first"),
            (COLOUR[0, 0], ValueError, "expected four axes"),
            (COLOUR[:0], ValueError, "there is nothing in it"),
        ]:
            np.save(tmp_path / "x.npy", array)
            self.refuse(error, message, tmp_path / "x.npy")
            self.refuse(error, message, tmp_path / "x.npy", resize=4)

    def test_images_at_different_depths(self, tree):
        save_png(tree / "stray.png", COLOUR[0])
        self.refuse(ValueError, "different depths, such as stray.png and", tree)

    def test_broken_images_and_tars(self, tree, tmp_path):
        whole = tar_of(tree, tmp_path / "d.tar.xz").read_bytes()
        (tmp_path / "d.tar.xz").write_bytes(whole[: len(whole) // 2])
        self.refuse(ValueError, "not a readable", tmp_path / "d.tar.xz")
        (tmp_path / "d.tar").write_bytes(b"garbage" * 1000)
        self.refuse(ValueError, "not a readable tar", tmp_path / "d.tar")
        (tree / "train/cat/2.png").write_bytes(b"garbage")
        self.refuse(ValueError, "2.png is not a readable image", tree)

    def test_missing_pillow(self, tree, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "PIL", None)
        self.refuse(ImportError, r"pip install jaxgen\[experiments\]", tree)


def test_tars_with_dotted_paths(tmp_path):
    data = load_images(put(tmp_path, "d.tar", tar((b"./cat/0.png", PNG), (b"./dog/0.png", PNG))))
    assert len(data) == 2
    assert data.label_names == ("cat", "dog")
