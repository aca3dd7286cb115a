"""Arrays, archives of them and idx files that lie, hide code or ask for more than there is."""

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hostile import Marker, npy, refused

from jaxgen.data import load_dsprites, load_images
from jaxgen.data.reading.untrusted import check_expansion

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
CODE = "__import__('os').mkdir('ran')"


def header(descr="'|u1'", order="False", shape="(4, 8, 8, 3)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


HEADERS = {
    "10^15 elements": (header(shape="(1000000000000000,)"), "1000000000000000 bytes, but holds 768"),
    "elements that wrap round 64 bits": (header(shape="(4294967296, 4294967296, 1, 768)"), "bytes, but holds 768"),
    "many digits": (header(shape=f"({'9' * 5000},)"), "its header is"),
    "a negative side": (header(shape="(-4, 8, 8, -3)"), "its header is"),
    "a side that is no number": (header(shape="(True, 8, 8, 3)"), "its header is"),
    "a shape that is no tuple": (header(shape="768"), "its header is"),
    "no elements, vast sides": (header(shape="(0, 1000000000000000000, 8, 3)"), "bytes, but holds 768"),
    "a hundred axes": (header(shape=f"(768{', 1' * 100})"), "not a readable array"),
    "records": (header("[('r', '|u1'), ('g', '|u1')]"), "its header is"),
    "records of objects": (header("[('r', '|u1'), ('o', '|O')]"), "its header is"),
    "objects": (header("'|O'"), "is pickled, and loading that can run code"),
    "void": (header("'|V1'"), "have dtype .*V1; expected uint8"),
    "dates": (header("'<M8[s]'", shape="(96,)"), "its header is"),
    "dates without a unit": (header("'<M8'", shape="(96,)"), "have dtype datetime64; expected uint8"),
    "complex numbers": (header("'<c8'", shape="(4, 8, 3)"), "have dtype complex64; expected uint8"),
    "text": (header("'|S1'"), r"have dtype .*S1; expected uint8"),
    "text of absurd width": (header("'<U999999999'", shape="(1,)"), "not know|expected uint8"),
    "an unknown dtype": (header("'<f3'"), "which NumPy does not know"),
    "16 bits": (header("'<u2'", shape="(4, 8, 8)"), "have dtype uint16; expected uint8"),
    "code for a header": (CODE, "its header is"),
    "code in a header": (header(shape=f"({CODE},)"), "its header is"),
    "code for a dtype": (header(CODE), "its header is"),
    "nested brackets": (header(shape="(" * 5000), "its header is"),
    "nested signs": (header(shape=f"({'-' * 9000}1,)"), "its header is"),
    "a wide sum": (header(shape=f"({'1+' * 4000}1,)"), "its header is"),
    "many spaces": (header(shape="(4, 8, 8, 3)" + " " * 9000 + "!"), "its header is"),
    "many commas": (header(shape="(" + "1, " * 3000 + "!"), "its header is"),
    "an item twice": ("{'descr': '|u1', 'descr': '|u1', 'shape': (768,)}", "its header is"),
    "an item missing": ("{'descr': '|u1', 'fortran_order': False}", "its header is"),
    "more items": (header()[:-1] + "'more': 1}", "its header is"),
    "a long header": (header() + " " * 20_000, "has a header of .* expected at most 10000"),
}


@pytest.mark.parametrize("attack", HEADERS)
def test_headers(tmp_path, monkeypatch, attack):
    text, message = HEADERS[attack]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.npy"
    path.write_bytes(npy(header=text, values=bytes(768)))
    refused(load_images, message, path)
    zipped(tmp_path / "x.npz", [("images.npy", path.read_bytes())])
    refused(load_images, message, tmp_path / "x.npz")
    zipped(tmp_path / "d.npz", [(f"{key}.npy", path.read_bytes()) for key in ("imgs", "latents_classes")])
    refused(load_dsprites, "", tmp_path / "d.npz")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x93NUM", "begins with 93 4e 55 4d"),
        (npy(IMAGES)[:40], "its header is"),
        (npy(IMAGES)[:-1], "768 bytes, but holds 767"),
        (npy(IMAGES) + b"\0", "768 bytes, but holds 769"),
        (npy(header=header(), version=(9, 9), values=bytes(768)), "begins with"),
        (npy(header=header(), version=(2, 0), values=bytes(768), length=2**32 - 1), "a header of 4294967295 bytes"),
        (b"PK\3\4" + bytes(100), "begins with 50 4b 03 04"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_contents(tmp_path, content, message):
    (tmp_path / "x.npy").write_bytes(content)
    refused(load_images, message, tmp_path / "x.npy")


def test_pythons_second_version_and_other_orders_are_read_without_a_warning(tmp_path, recwarn):
    for text in (
        header(shape="(4L, 8L, 8L, 3L)"),
        "{'shape': (4, 8, 8, 3), 'fortran_order': False, 'descr': '|u1'}",
        header("'<f4'", shape="(4, 8, 8, 3)"),
        header("'>f4'", shape="(4, 8, 8, 3)"),
    ):
        dtype = {"<f4": "<f4", ">f4": ">f4"}.get(text[11:14], "|u1")
        (tmp_path / "x.npy").write_bytes(npy(header=text, values=IMAGES.astype(dtype).tobytes()))
        found = load_images(tmp_path / "x.npy").images
        np.testing.assert_array_equal(found, IMAGES)
        assert found.dtype.isnative
    np.save(tmp_path / "x.npy", np.asfortranarray(IMAGES))
    np.testing.assert_array_equal(load_images(tmp_path / "x.npy").images, IMAGES)
    np.savez(tmp_path / "x.npz", images=np.asfortranarray(IMAGES))
    np.testing.assert_array_equal(load_images(tmp_path / "x.npz").images, IMAGES)
    assert not recwarn


class TestPickles:
    """Whatever the disguise, nothing is unpickled: the folder that would be made is not there."""

    @pytest.fixture
    def marker(self, tmp_path):
        return tmp_path / "ran"

    @pytest.fixture
    def array(self, marker):
        return np.array([Marker(marker), None], dtype=object)

    def test_the_payload_works(self, array, marker):
        pickle.loads(pickle.dumps(array))
        assert marker.exists()

    def test_arrays(self, array, marker, tmp_path):
        np.save(tmp_path / "x.npy", array, allow_pickle=True)
        records = np.array([(1, array)], dtype=[("number", "i4"), ("object", "O")])
        np.save(tmp_path / "r.npy", records, allow_pickle=True)
        np.save(tmp_path / "images.npy", IMAGES)
        for name in ("x.npy", "r.npy"):
            refused(load_images, "Pickled objects are refused", tmp_path / name)
            with pytest.raises(ValueError, match="Pickled objects are refused"):
                load_images(tmp_path / "images.npy", labels=tmp_path / name)
        assert not marker.exists()

    @pytest.mark.parametrize("key", ["images", "labels", "label_names", "pixels"])
    def test_members(self, array, marker, tmp_path, key):
        arrays = {"images": IMAGES, "labels": np.arange(4), key: array}
        if key == "pixels":
            del arrays["images"]
        np.savez(tmp_path / "x.npz", **arrays)
        refused(load_images, rf"x.npz\[{key}\] is pickled, and loading that can run code", tmp_path / "x.npz")
        assert not marker.exists()

    @pytest.mark.parametrize(
        "name",
        ["x.npy", "x.npz", "x-images-idx3-ubyte", "x-images-idx3-ubyte.gz", "x.tar", "x.tar.gz", "x.tar.xz", "d/0.png"],
    )
    @pytest.mark.parametrize("protocol", [0, 2, 5])
    def test_disguised(self, array, marker, tmp_path, name, protocol):
        content = pickle.dumps(array, protocol)
        (tmp_path / "d").mkdir()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        refused(load_images, "", tmp_path / name.removesuffix("/0.png"))
        for load in (load_images, load_dsprites):
            zipped(
                tmp_path / "z.npz", [("images.npy", content), ("imgs.npy", content), ("latents_classes.npy", content)]
            )
            refused(load, "not a readable array of numbers", tmp_path / "z.npz")
        assert not marker.exists()


class TestArchives:
    def refuse(self, message, path, **options):
        refused(load_images, message, path, **options)

    def write(self, tmp_path, *members, **options):
        return zipped(tmp_path / "x.npz", members, **options)

    def patch(self, path, *changes):
        """Change fields of the list of members, and of the members' own headers: (offset there, offset here, bytes)."""
        content = bytearray(path.read_bytes())
        for listed, own, value in changes:
            for start, offset in ((content.index(b"PK\1\2"), listed), (content.index(b"PK\3\4"), own)):
                content[start + offset : start + offset + len(value)] = value
        path.write_bytes(content)
        return path

    def test_an_array_named_as_an_archive_and_the_other_way_round(self, tmp_path):
        (tmp_path / "x.npz").write_bytes(npy(IMAGES))
        self.refuse("not a readable .npz", tmp_path / "x.npz")
        np.savez(tmp_path / "y.npz", images=IMAGES)
        (tmp_path / "y.npz").rename(tmp_path / "y.npy")
        self.refuse("begins with 50 4b 03 04", tmp_path / "y.npy")

    def test_nothing_in_it(self, tmp_path):
        self.refuse(r"holds the arrays \[\]", self.write(tmp_path))

    @pytest.mark.parametrize("name", ["../images.npy", "/images.npy", "a/../../images.npy", "a\\..\\images.npy"])
    def test_paths_out_of_it(self, tmp_path, name):
        self.refuse("a path out of its folder", self.write(tmp_path, ("images.npy", npy(IMAGES)), (name, npy(IMAGES))))
        assert not [file for file in tmp_path.parent.rglob("*images.npy") if file.parent == tmp_path.parent]

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_names_that_come_twice(self, tmp_path):
        self.refuse("holds 'images.npy' twice", self.write(tmp_path, *[("images.npy", npy(IMAGES))] * 2))

    def test_archives_in_archives(self, tmp_path):
        inner = self.write(tmp_path, ("images.npy", npy(IMAGES))).read_bytes()
        self.refuse("not a readable array", self.write(tmp_path, ("images.npy", inner)))
        for name in ("images", "images.npz", "images.zip"):
            self.refuse(r"holds the arrays \[\]", self.write(tmp_path, (name, inner)))

    def test_encryption(self, tmp_path):
        path = self.patch(self.write(tmp_path, ("images.npy", npy(IMAGES))), (8, 6, b"\1\0"))
        self.refuse(r"x.npz\[images\] is encrypted", path)

    @pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_compressions_that_python_unpacks_without_bound(self, tmp_path, compression):
        path = self.write(tmp_path, ("images.npy", npy(IMAGES)), compression=compression)
        self.refuse("compressed in another way than numpy.savez_compressed", path)

    def test_an_unknown_compression(self, tmp_path):
        path = self.patch(self.write(tmp_path, ("images.npy", npy(IMAGES))), (10, 8, b"\x63\0"))
        self.refuse("compressed in another way|not a readable", path)

    @pytest.mark.parametrize("size", [0, 100, 895, 897, 10**4, 2**31, 2**32 - 2])
    @pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_sizes_that_lie(self, tmp_path, size, compression):
        path = self.write(tmp_path, ("images.npy", npy(IMAGES)), compression=compression)
        self.refuse("", self.patch(path, (24, 22, struct.pack("<I", size))))
        path = self.write(tmp_path, ("images.npy", npy(IMAGES)), compression=compression)
        self.refuse("", self.patch(path, (20, 18, struct.pack("<I", size if size > 897 else size // 2))))

    def test_wrong_checksums(self, tmp_path):
        path = self.write(tmp_path, ("images.npy", npy(IMAGES)))
        self.refuse("Bad CRC-32", self.patch(path, (16, 14, b"\0\0\0\0")))

    def test_an_offset_beyond_the_end(self, tmp_path):
        path = self.write(tmp_path, ("images.npy", npy(IMAGES)))
        content = bytearray(path.read_bytes())
        at = content.index(b"PK\1\2") + 42
        content[at : at + 4] = b"\xff\xff\xff\x7f"
        path.write_bytes(content)
        self.refuse("not a readable", path)

    def test_thousands_of_members(self, tmp_path):
        members = [(f"{i:04}.npy", npy(np.arange(3))) for i in range(3000)]
        self.refuse(r"'0009'\] and 2990 more; expected images under", self.write(tmp_path, *members))
        path = self.write(tmp_path, *members, ("images.npy", npy(IMAGES)))
        np.testing.assert_array_equal(load_images(path).images, IMAGES)

    def test_a_list_of_members_without_end(self, tmp_path):
        self.refuse("lists its members in", self.write(tmp_path, *((f"{i:0>60000}.npy", b"") for i in range(20))))

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"label_names": np.array("abc")}, r"label_names\] has shape \(\)"),
            ({"label_names": np.arange(4)}, "have dtype int64; expected a text for each class"),
            ({"label_names": np.array(["a", "b", "c\x1b[2J", "d"])}, "holds control characters"),
            ({"label_names": np.array([2**31] * 4, np.uint32).view("<U1")}, "not a readable array of text"),
            ({"labels": np.arange(4) + 2**40}, "beyond 32 bits"),
            ({"labels": np.full(4, 2**64 - 1, np.uint64)}, "beyond 32 bits"),
            ({"labels": np.arange(4.0)}, "have dtype float64; expected integers"),
            ({"labels": np.array(["a"] * 4)}, "expected integers"),
        ],
    )
    def test_labels(self, tmp_path, arrays, message):
        np.savez(tmp_path / "x.npz", **{"images": IMAGES, "labels": np.arange(4), **arrays})
        with pytest.raises(ValueError, match=message):
            load_images(tmp_path / "x.npz")


def test_only_what_is_wanted_is_unpacked(tmp_path):
    """A broken member that nobody asks for does no harm; of an array whose name is not known, the header is read."""
    path = zipped(tmp_path / "x.npz", [("pixels.npy", npy(IMAGES)), ("more.npy", npy(header=header(shape="(9,)")))])
    np.testing.assert_array_equal(load_images(path).images, IMAGES)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (1, 2**32 - 1, 1), (0, 0, 0), (1, 0, 4096), (2**31, 1, 1)])
def test_idx_files_of_absurd_shapes(tmp_path, suffix, shape):
    content = struct.pack(">HBB3I", 0, 8, 3, *shape) + bytes(100)
    path = tmp_path / f"x-images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    refused(load_images, "announces", path)


def test_gzips_with_hostile_headers(tmp_path):
    path = tmp_path / "x-images-idx3-ubyte.gz"
    good = gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 1, 8, 8) + bytes(64))
    for content in (
        b"\x1f\x8b\x08\x08" + bytes(5) + b"\xff" + b"n" * 10**6,  # a name without end
        b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff" + b"x",  # more than there is
        b"\x1f\x8b\x07" + good[3:],
        good + good,  # a second member, which goes on after the first
        good + b"garbage",
    ):
        path.write_bytes(content)
        refused(load_images, "not a readable idx file|goes on after", path)


def test_limits_let_large_sets_through():
    """Those that were published, by their bytes; dSprites inflate most."""
    published = {"dSprites": (737_280 * 64 * 64, 26_723_538), "MNIST": (60_000 * 28 * 28, 9_912_422)}
    stored = {"a terabyte, not compressed": (2**40, 2**40), "a little of zeros": (2**29, 1)}
    for name, (inflated, there) in (published | stored).items():
        check_expansion(name, inflated, there)
    for inflated, there in ((2**29 + 1, 1), (12 * 2**30, 12 * 2**20), (2**40, 2**32)):
        with pytest.raises(ValueError, match=r"x.npz grows from .* to .* in memory, over 250 times.*save it again"):
            check_expansion("x.npz", inflated, there)


def test_no_reader_can_unpickle():
    """None of the modules that read data names pickle, or a function that would use it."""
    import ast
    from pathlib import Path

    import jaxgen.data

    forbidden = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "eval", "exec", "allow_pickle"}
    files = list(Path(jaxgen.data.__file__).parent.rglob("*.py"))
    assert len(files) > 20
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            used = {getattr(node, name, None) for name in ("id", "attr", "arg", "module", "name")}
            assert not {word for word in used if isinstance(word, str)} & forbidden, (file, node.lineno)
    buffer = io.BytesIO()
    np.save(buffer, np.array([None]), allow_pickle=True)  # and NumPy alone would refuse as well
    buffer.seek(0)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(buffer)
